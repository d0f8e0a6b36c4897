"""A service that floods a session with WebSocket pings: the first signal is answered all the same."""

from __future__ import annotations

import base64
import hashlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.scripted_aws import scripted_aws

SEND_PINGS = "import os\nwhile True:\n    os.write(1, b'\\x89\\x00' * 131072)"
PONG_LENGTH = 6  # bytes of an empty pong with its mask
FLOOD_BEGUN = 10_000  # pongs
ANSWERED_IN_TIME = 131_072  # pings behind the signal: what one read of 256 KiB holds
DEADLINE = 20.0  # seconds; what takes longer hangs


class Flood:
    """A stream service that sends pings without end to its first client and counts what comes back."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.begun = threading.Event()
        self._received = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def pongs(self) -> int:
        """Number of pings that the client has answered."""
        return self._received // PONG_LENGTH

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            lines = request.split(b"\r\n")
            key = next(line.split(b": ")[1] for line in lines if line.lower().startswith(b"sec-websocket-key"))
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            connection.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            # A process of its own sends, so that this one counts without delay.
            sender = subprocess.Popen(
                [sys.executable, "-I", "-c", SEND_PINGS], stdout=connection.fileno(), stderr=subprocess.DEVNULL
            )
            with suppress(OSError):
                while data := connection.recv(1 << 20):
                    self._received += len(data)
                    if self.pongs > FLOOD_BEGUN:
                        self.begun.set()
            sender.kill()
            sender.wait()

    def wait(self) -> None:
        """Wait until the client is gone and everything it sent was counted."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()


@contextmanager
def flooding() -> Iterator[Flood]:
    flood = Flood()
    try:
        yield flood
    finally:
        flood.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status"),
    [(("shell", "plain", "i-deadbeef"), 130), (("forward", "-p", "0", "plain", "i-deadbeef:80"), 130)],
    ids=["shell", "forward"],
)
def test_first_interrupt_is_answered_in_a_flood_of_pings(tmp_path: Path, words: tuple[str, ...], status: int) -> None:
    (tmp_path / ".aws").mkdir()
    keys = "aws_access_key_id = ASIAEXAMPLE\naws_secret_access_key = example\naws_session_token = temporary\n"
    with flooding() as flood:
        session = {
            "SessionId": "me-0123456789abcdef0",
            "TokenValue": "token",
            "StreamUrl": f"ws://127.0.0.1:{flood.port}/v1/data-channel/me-0123456789abcdef0?role=publish_subscribe",
        }
        ended = {"SessionId": session["SessionId"]}
        with scripted_aws(StartSession=[(200, session)], TerminateSession=[(200, ended)]) as aws:
            config = f"[profile plain]\nregion = us-east-1\nendpoint_url = {aws.url}\n{keys}"
            (tmp_path / ".aws" / "config").write_text(config)
            process = subprocess.Popen(
                [sys.executable, "-m", "aws_runas", *words],
                env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            try:
                assert flood.begun.wait(DEADLINE), process.communicate(timeout=1)
                before = flood.pongs
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=DEADLINE)
            finally:
                process.kill()
            flood.wait()
            assert flood.pongs - before < ANSWERED_IN_TIME
            assert (process.returncode, b"Traceback" in errors) == (status, False)
            assert aws.operations() == ["StartSession", "TerminateSession"]
