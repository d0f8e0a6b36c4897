"""Carrier S of `cp`: the file server as a command of `run`'s helper, its streams as the link."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Final

from aws_runas.errors import SessionError
from aws_runas.ssm.command.bootstrap import PYTHONS, quote
from aws_runas.ssm.command.carrier import Carrier
from aws_runas.ssm.command.link import CommandLink, LinkOptions
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.copy.files import RemoteFiles, file_server_digest, file_server_source
from aws_runas.ssm.transport.handler import DataChannel

# Reads exactly the program, and not a byte of the first request behind it.
_LOADER: Final = """import hashlib,os,sys,zlib
p=bytes()
while len(p)<%d:
    m=os.read(0,%d-len(p))
    if not m:
        sys.exit(1)
    p+=m
p=zlib.decompress(p)
if hashlib.sha256(p).hexdigest()!="%s":
    sys.exit("the file server is damaged")
exec(compile(p,"file_server","exec"),{"__name__":"__main__"})
"""


def server_request(user: str | None) -> tuple[CommandRequest, bytes]:
    """Return the command that runs the file server, and the input that it needs first.

    Args:
        user: whose files these are, None for the session's own user.
    """
    packed = zlib.compress(file_server_source(), 9)
    loader = quote(_LOADER % (len(packed), len(packed), file_server_digest()))
    check = quote("import sys;sys.exit(sys.version_info<(3,6))")
    text = (
        f"for p in {' '.join(PYTHONS)}; do "
        f'if "$p" -I -S -c {check} </dev/null >/dev/null 2>&1; then exec "$p" -I -S -c {loader}; fi; done; exit 127'
    )
    return CommandRequest(text, wants_input=True, user=user), packed


class ShellLink:
    """Implements ByteLink and LinkOwner. Make it on the event loop.

    Args:
        message_size: bytes of one message of the channel.
        say, debug: take lines for the user.
    """

    def __init__(
        self,
        channel: DataChannel,
        message_size: int,
        user: str | None,
        say: Callable[[str], None],
        debug: Callable[[str], None],
    ) -> None:
        request, first = server_request(user)
        self._say = say
        self._debug = debug
        self._room = asyncio.Event()
        self._room.set()
        self._stderr = b""
        self.helper = ""
        self.files = RemoteFiles(self)
        self.link = CommandLink(channel, self, request, LinkOptions(Carrier.SHELL, message_size))
        self.link.status.add_done_callback(self._ended)
        self.link.write_input(first)

    async def send(self, data: bytes) -> None:
        """See ByteLink.send."""
        view = memoryview(data)
        for at in range(0, len(view), 64 * 1024):
            await self._room.wait()
            self.link.write_input(bytes(view[at : at + 64 * 1024]))

    # --- LinkOwner

    def output_received(self, stream: int, data: bytes) -> None:
        if stream == 1:
            self.files.receive_data(data)
        elif data:
            self._stderr = (self._stderr + data)[-500:]
            self._debug(f"file server: {data[-500:]!r}")

    def hold_input(self, hold: bool) -> None:
        if hold:
            self._room.clear()
        else:
            self._room.set()

    def input_closed(self) -> None:
        self._room.set()

    def command_started(self, helper: str) -> None:
        self.helper = helper
        self._debug(f"file server {file_server_digest()}")

    def debug(self, text: str) -> None:
        self._debug(text)

    def say(self, text: str) -> None:
        self._say(text)

    def _ended(self, status: asyncio.Future[int]) -> None:
        self._room.set()
        if status.cancelled():
            self.files.fail(SessionError("the session was closed", code="session-ended"))
        elif isinstance(error := status.exception(), Exception):
            self.files.fail(error)
        else:
            self.files.fail(self._exit_error(status.result()))

    def _exit_error(self, status: int) -> Exception:
        words = " ".join(self._stderr.decode("utf-8", "replace").split())
        if status == 127:
            return SessionError("cp needs Python 3.6 on the instance", code="helper-missing")
        return SessionError(f"the file server ended with status {status} {words}".strip(), code="helper-failed")
