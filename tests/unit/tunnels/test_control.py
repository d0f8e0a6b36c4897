"""The control socket: requests, replies, and who may ask."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from aws_runas.errors import ConfigError, SessionError
from aws_runas.tunnels.control import ControlServer, Reply, ask, is_running
from tests.support import requires


async def answer(request: Mapping[str, object]) -> Reply:
    return {"echo": request}


def serve(path: Path, *requests: bytes) -> list[bytes]:
    """Send raw lines to a server and return what comes back."""

    async def run() -> list[bytes]:
        server = ControlServer(path, answer)
        await server.start()
        try:
            assert modes(path) == (0o600, 0o700)
            return [await asyncio.to_thread(send, path, request) for request in requests]
        finally:
            await server.close()

    return asyncio.run(run())


def modes(path: Path) -> tuple[int, int]:
    return stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)


def send(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


def test_request_gets_one_reply(tmp_path: Path) -> None:
    assert serve(tmp_path / "run" / "s", b'{"command": "status"}\n') == [b'{"echo": {"command": "status"}}\n']
    assert not (tmp_path / "run" / "s").exists()


def test_nonsense_is_answered_and_ends_nothing(tmp_path: Path) -> None:
    replies = serve(tmp_path / "run" / "s", b"", b"nonsense\n", b"[1]\n", b"\xff\n", b'{"a": 1}\n')
    assert replies[-1] == b'{"echo": {"a": 1}}\n'
    assert all(b"error" in reply for reply in replies[:-1])


def test_second_process_is_refused_and_a_stale_socket_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run" / "s"

    async def run() -> None:
        first = ControlServer(path, answer)
        await first.start()
        with pytest.raises(ConfigError, match="another process answers"):
            await ControlServer(path, answer).start()
        await first.close()
        stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stale.bind(str(path))
        stale.close()
        second = ControlServer(path, answer)
        await second.start()
        assert is_running(path)
        await second.close()

    asyncio.run(run())


def test_nobody_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no tunnels are up"):
        ask(tmp_path / "nothing", {"command": "status"})


def test_process_that_does_not_answer_is_named_and_not_called_down(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        with pytest.raises(SessionError, match=f"process {os.getpid()} that holds the tunnels") as caught:
            ask(path, {"command": "status"}, timeout=0.1)
    assert caught.value.code == "tunnels-silent"
    assert caught.value.hint == f"it may be stopped: kill -CONT {os.getpid()}, or end it: kill {os.getpid()}"


@pytest.mark.parametrize("reply", [b"", b"nonsense\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_reply_that_is_none_is_an_error(tmp_path: Path, reply: bytes) -> None:
    path = tmp_path / "s"

    async def run() -> None:
        async def answer_badly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(reply)
            writer.close()

        async with await asyncio.start_unix_server(answer_badly, str(path)):
            with pytest.raises(SessionError, match="does not answer"):
                await asyncio.to_thread(ask, path, {"command": "status"})

    asyncio.run(run())


def test_process_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        own = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
        with pytest.raises(ConfigError, match="belongs to a process of another user"):
            ask(path, {"command": "status"}, timeout=5)


def test_another_user_gets_no_reply_even_if_the_socket_is_open_to_all() -> None:
    setpriv = requires.program("setpriv", package="util-linux")
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    code = (
        "import socket,sys\ns=socket.socket(1)\ns.connect(sys.argv[1])\n"
        "try:\n s.sendall(b'{}\\n')\n print(s.recv(99))\nexcept ConnectionError:\n print(b'')"
    )
    words = ["/usr/bin/python3", "-I", "-S", "-c", code]

    async def run(path: Path, *prefix: str) -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            *prefix, *words, str(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd="/"
        )
        output, _ = await process.communicate()
        return process.returncode, output

    async def both(path: Path) -> list[tuple[int | None, bytes]]:
        server = ControlServer(path, answer)
        await server.start()
        try:
            for name in (path, *path.parents[:2]):
                name.chmod(0o777)
            nobody = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups")
            return [await run(path), await run(path, *nobody)]
        finally:
            await server.close()

    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # others cannot enter those of pytest
        (own, (status, reply)) = asyncio.run(both(Path(directory) / "run" / "s"))
    assert own == (0, b"b'{\"echo\": {}}\\n'\n")
    assert (status, reply) == (0, b"b''\n")  # it was connected, and got nothing
