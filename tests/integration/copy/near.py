"""Copies without Session Manager: the file server as a process behind a pipe, and hands that damage what it says."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable
from pathlib import Path

from aws_runas.errors import SessionError
from aws_runas.ssm.copy import file_server
from aws_runas.ssm.copy.copying import Copying, CopyRequest, CopyResult
from aws_runas.ssm.copy.files import Files, RemoteFiles
from aws_runas.ssm.copy.plan import CopyOptions
from aws_runas.ssm.copy.posix_files import PosixFiles
from aws_runas.ssm.copy.posix_server import POSIX_SERVER
from aws_runas.ssm.copy.protocol import Reply

SERVER = Path(file_server.__file__)
Hand = Callable[[str, dict[str, object], Reply], Reply]


class PipeServer:
    """Implements ByteLink with a process on this machine."""

    def __init__(self, process: Process, *, python: bool = True) -> None:
        self.process = process
        self.files: RemoteFiles | PosixFiles = RemoteFiles(self) if python else PosixFiles(self)
        self._reading = asyncio.ensure_future(self._read())

    async def ready(self) -> None:
        """Wait until the server runs."""
        if isinstance(self.files, PosixFiles):
            await self.files.tools
            await self.files.call("info")

    async def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        try:
            await self.process.stdin.drain()
        except ConnectionError as error:
            raise SessionError(str(error), code="session-ended") from error

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(65536):
            self.files.receive_data(data)
        self.files.fail(ConnectionError("the file server has ended"))

    async def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()
        await self._reading


class EvilFiles:
    """Implements Files; a hand changes the replies."""

    def __init__(self, inner: Files, hand: Hand) -> None:
        self._inner = inner
        self._hand = hand

    async def call(self, operation: str, values: dict[str, object] | None = None, payload: bytes = b"") -> Reply:
        reply = await self._inner.call(operation, values, payload)
        return self._hand(operation, values or {}, reply)


class NearSessions:
    """Implements copying.Sessions.

    Args:
        programs: directory with the only programs of an instance without Python; None for an instance with it.
        hand: damages replies; None for honest ones.
        lose: worker number -> replies after which its server is killed.
    """

    carrier = "near"

    def __init__(
        self, hand: Hand | None = None, lose: dict[int, int] | None = None, programs: Path | None = None
    ) -> None:
        self._programs = programs
        self._hand = hand
        self._lose = dict(lose or {})
        self.servers: list[PipeServer] = []

    async def _open(self) -> Files:
        words, environ = [sys.executable, "-I", "-S", str(SERVER)], dict(os.environ)
        if self._programs is not None:
            words = [str(self._programs / "sh"), "-c", POSIX_SERVER]
            environ["PATH"] = str(self._programs)
        process = await asyncio.create_subprocess_exec(
            *words, stdin=PIPE, stdout=PIPE, start_new_session=True, env=environ
        )
        server = PipeServer(process, python=self._programs is None)
        self.servers.append(server)
        await server.ready()
        limit = self._lose.get(len(self.servers) - 1)
        hand = self._hand
        if limit is not None:
            counts = [0]

            def kill_later(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
                counts[0] += operation in ("part_write", "read")
                if counts[0] == limit:
                    process.kill()
                return reply

            hand = kill_later
        return EvilFiles(server.files, hand) if hand is not None else server.files

    async def start(self) -> Files:
        return await self._open()

    async def add_worker(self, *, small: bool = False) -> Files:
        return await self._open()

    async def close(self) -> None:
        for server in self.servers:
            await server.close()


def copy(
    sources: list[Path | str],
    target: Path | str,
    *,
    upload: bool,
    sessions: NearSessions | None = None,
    count: int = 1,
    into: bool = False,
    notes: list[str] | None = None,
    **options: object,
) -> CopyResult:
    """Copy on this machine through the file server."""
    request = CopyRequest(
        [os.fsdecode(source) for source in sources],
        os.fsdecode(target),
        upload,
        into or len(sources) > 1,
        "test",
        count,
        CopyOptions(**options),  # type: ignore[arg-type]
    )

    async def run() -> CopyResult:
        said = notes if notes is not None else []
        return await Copying(request, sessions or NearSessions(), lambda _: None, said.append).run()

    return asyncio.run(run())


def tree(top: Path, *, modes: bool = False) -> dict[bytes, object]:
    """Everything below a directory, to compare."""
    found: dict[bytes, object] = {}
    raw = os.fsencode(top)
    for folder, names, files in os.walk(raw):
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, raw)
            status = os.lstat(path)
            extra = (stat.S_IMODE(status.st_mode), status.st_mtime_ns) if modes else (status.st_mode & 0o111,)
            if stat.S_ISLNK(status.st_mode):
                found[key] = ("link", os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as stream:
                    found[key] = (stream.read(), extra)
            else:
                found[key] = ("dir", stat.S_IMODE(status.st_mode) if modes else 0)
    return found


def packed(values: Iterable[object]) -> bytes:
    """A tree's list as the file server sends it."""
    import zlib

    return zlib.compress("".join(json.dumps(value) + "\n" for value in values).encode())
