"""Our smux against the library that Amazon's client and agent use (xtaci/smux, from Debian), each side in turn."""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_runas.ssm.core.smux.frame import PSH, SYN, encode
from aws_runas.ssm.core.smux.session import Side, SmuxSession
from aws_runas.ssm.core.smux.stream import StreamDataReceived, StreamFinished, StreamOpened
from tests.support import requires

LIBRARY = Path("/usr/share/gocode/src/github.com/xtaci/smux")
DEADLINE = 60.0  # seconds
STREAMS = 50


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Go program, built."""
    go = requires.program("go", package="golang-go")
    if not LIBRARY.is_dir():
        requires.missing("needs xtaci/smux (apt-get install golang-github-xtaci-smux-dev)")
    folder = tmp_path_factory.mktemp("peer")
    environ = {
        **os.environ,
        "GOPATH": "/usr/share/gocode",
        "GO111MODULE": "off",
        "GOFLAGS": "-p=1",
        "GOCACHE": str(folder / "cache"),
    }
    source = Path(__file__).with_name("smux") / "peer.go"
    built = subprocess.run(
        [go, "build", "-o", str(folder / "peer"), str(source)], env=environ, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return str(folder / "peer")


class Pump:
    """Moves bytes between a socket and a session."""

    def __init__(self, connection: socket.socket, session: SmuxSession) -> None:
        self.connection = connection
        self.session = session
        self._pending = b""

    def run(self) -> Iterator[StreamOpened | StreamDataReceived | StreamFinished]:
        """Yield what happens until the peer is gone."""
        while True:
            if not self._pending:
                self._pending = self.session.data_to_send(8192)
            reading, writing, _ = select.select(
                [self.connection], [self.connection] if self._pending else [], [], DEADLINE
            )
            assert reading or writing, "nothing happens any more"
            try:
                if writing:
                    self._pending = self._pending[self.connection.send(self._pending) :]
                data = self.connection.recv(65536) if reading else None
            except (ConnectionResetError, BrokenPipeError):  # it left with our last FIN unread
                return
            if data == b"":
                return
            if data:
                self.session.receive_data(data)
            for event in self.session.events():
                if isinstance(event, StreamOpened | StreamDataReceived | StreamFinished):
                    yield event


def test_our_client_against_the_librarys_server(peer: str) -> None:
    process = subprocess.Popen([peer, "server", "127.0.0.1:0"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    host, _, port = process.stdout.readline().decode().strip().rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as connection:
        session = SmuxSession(Side.CLIENT, frame_data=1016, stream_queue=1 << 20)
        sent = {session.open_stream(): random.Random(n).randbytes(100_000 + n) for n in range(STREAMS)}
        for stream, data in sent.items():
            session.send_data(stream, data)
        received = dict.fromkeys(sent, b"")
        finished: set[int] = set()
        for event in Pump(connection, session).run():
            if isinstance(event, StreamDataReceived):
                received[event.stream_id] += event.data
                session.data_delivered(event.stream_id, len(event.data))
                if len(received[event.stream_id]) == len(sent[event.stream_id]):
                    session.close_stream(event.stream_id)
            elif isinstance(event, StreamFinished):
                finished.add(event.stream_id)
                if finished == set(sent):
                    break
        assert received == sent
        assert session.open_streams() == 0
    process.wait(DEADLINE)
    process.stdout.close()


def test_our_server_against_the_librarys_client(peer: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.Popen([peer, "client", f"127.0.0.1:{listening.getsockname()[1]}"], stdout=subprocess.PIPE)
        connection, _ = listening.accept()
    with connection:
        session = SmuxSession(Side.SERVER, frame_data=1016, stream_queue=1 << 20)
        opened: list[int] = []
        for event in Pump(connection, session).run():
            if isinstance(event, StreamOpened):
                opened.append(event.stream_id)
            elif isinstance(event, StreamDataReceived):
                session.send_data(event.stream_id, event.data)
                session.data_delivered(event.stream_id, len(event.data))
            else:
                session.close_stream(event.stream_id)
    output, _ = process.communicate(timeout=DEADLINE)
    assert output == b"ok 0\n"
    assert sorted(opened) == [3 + 2 * n for n in range(STREAMS)]


def test_library_reads_an_update_in_a_session_of_version_1(peer: str) -> None:
    """So does our reader: tests/core/smux/test_frame.py."""
    process = subprocess.Popen([peer, "server", "127.0.0.1:0"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    host, _, port = process.stdout.readline().decode().strip().rpartition(":")
    update = b"\x01\x04\xf4\x01\x03\x00\x00\x00" + bytes(8)  # whatever the length in its header
    with socket.create_connection((host, int(port)), DEADLINE) as connection, process.stdout:
        connection.sendall(encode(SYN, 3) + encode(PSH, 3, b"before") + update + encode(PSH, 3, b" and after"))
        connection.settimeout(DEADLINE)
        session, echoed = SmuxSession(Side.CLIENT), b""
        session.open_stream()
        while len(echoed) < len(b"before and after"):
            session.receive_data(connection.recv(65536))
            echoed += b"".join(each.data for each in session.events() if isinstance(each, StreamDataReceived))
        assert echoed == b"before and after"
    process.wait(DEADLINE)


@pytest.mark.parametrize(
    "payload", [b"\x01" * 60_000, b"\x01\x03\0\0\0\0\0\0" * 7_500], ids=["any byte", "each eighth"]
)
def test_repeated_message_ends_the_librarys_session_whatever_it_holds(peer: str, payload: bytes) -> None:
    """Data that the library takes for frames: it is in the message that an agent executes twice."""
    session = SmuxSession(Side.CLIENT, frame_data=8184, stream_queue=1 << 20)
    session.send_data(session.open_stream(), payload)
    messages = list(iter(lambda: session.message_to_send(1024), b""))
    process = subprocess.Popen([peer, "server", "127.0.0.1:0"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    host, _, port = process.stdout.readline().decode().strip().rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as connection, process.stdout:
        try:
            connection.sendall(b"".join(messages[:21] + messages[20:]))
            while connection.recv(65536):
                pass
        except ConnectionError:
            pass  # closed with bytes unread
        assert process.stdout.readline() == b"end invalid protocol\n"
    process.wait(DEADLINE)
