"""Carrier S of `cp`: the helper of `run` runs the file server as its command; the command's streams are the link."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError
from aws_runas.ssm.command.bootstrap import NEW_ENOUGH, PYTHONS, quote
from aws_runas.ssm.command.carrier import Carrier
from aws_runas.ssm.command.link import CommandLink, LinkOptions
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.shell_helper import RESTRICTIONS
from aws_runas.ssm.copy.files import Files, RemoteFiles, file_server_digest, file_server_source
from aws_runas.ssm.copy.posix_files import PosixFiles, Tools
from aws_runas.ssm.copy.posix_server import POSIX_SERVER, posix_server_digest
from aws_runas.ssm.transport.interfaces import DataChannel

# Reads exactly the program, and nothing of the request after it.
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


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Settings of the file server on an instance.

    Args:
        message_size: bytes of one message of the channel.
        user: run the server as this user, None for the session's own user.
        verify: compare the SHA-256 of both sides.
        without_python: use the shell script server, because Python did not start in an earlier session.
    """

    message_size: int
    user: str | None = None
    verify: bool = True
    without_python: bool = False


def server_request(user: str | None, *, without_python: bool = False) -> tuple[CommandRequest, bytes]:
    """Return the command that runs the file server, and the input that it needs first.

    Args:
        user: run the server as this user, None for the session's own user.
        without_python: use the shell script server.
    """
    packed = zlib.compress(file_server_source(), 9)
    loader = quote(_LOADER % (len(packed), len(packed), file_server_digest()))
    text = f'for p in {" ".join(PYTHONS)}; do {NEW_ENOUGH} exec "$p" -I -S -c {loader};; esac; done; '
    text = POSIX_SERVER if without_python else text + POSIX_SERVER
    return CommandRequest(text, wants_input=True, user=user), packed


class ShellLink:
    """Implements ByteLink and LinkOwner. Create it on the event loop.

    Args:
        channel: the channel of the session.
        options: settings of the file server.
        say, debug: receive lines for the user.
    """

    def __init__(
        self,
        channel: DataChannel,
        options: ServerOptions,
        *,
        say: Callable[[str], None],
        debug: Callable[[str], None],
    ) -> None:
        request, self._program = server_request(options.user, without_python=options.without_python)
        self._say = say
        self._debug = debug
        self._room = asyncio.Event()
        self._room.set()
        self._stderr = b""
        self.helper = ""
        self._python = RemoteFiles(self)
        self._posix = PosixFiles(self, verify=options.verify)
        self.files: asyncio.Future[Files] = asyncio.get_running_loop().create_future()
        """The file server of the instance, once it is known which one runs there."""
        link_options = LinkOptions(Carrier.SHELL, options.message_size, without_python=options.without_python)
        self.link = CommandLink(channel, self, request, link_options)
        self.link.status.add_done_callback(self._ended)

    async def send(self, data: bytes) -> None:
        """See ByteLink.send."""
        view = memoryview(data)
        for at in range(0, len(view), 64 * 1024):
            await self._room.wait()
            self.link.write_input(bytes(view[at : at + 64 * 1024]))

    # --- LinkOwner

    def output_received(self, stream: int, data: bytes) -> None:
        if stream == 1 and self.helper == "shell":
            self._posix.receive_data(data)
        elif stream == 1:
            if not self._python.received and data.startswith(b"posix "):
                self._fail(SessionError("cp needs Python 3.6 for this user of the instance", code="helper-missing"))
            self._python.receive_data(data)
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
        if helper == "shell":
            self._debug(f"file server {posix_server_digest()}, without Python")
            self._posix.tools.add_done_callback(self._posix_answered)
        else:
            self._debug(f"file server {file_server_digest()}")
            self.link.write_input(self._program)
            if not self.files.done():
                self.files.set_result(self._python)

    def debug(self, text: str) -> None:
        self._debug(text)

    def say(self, text: str) -> None:
        if text != RESTRICTIONS:  # it applies to commands; cp sends no signals
            self._say(text)

    def _posix_answered(self, tools: asyncio.Future[Tools]) -> None:
        if self.files.done():
            return
        if error := tools.exception():
            self.files.set_exception(error)
        else:
            self.files.set_result(self._posix)

    def _fail(self, error: Exception) -> None:
        for files in (self._python, self._posix):
            files.fail(error)
        if not self.files.done():
            self.files.set_exception(error)
            self.files.exception()

    def _ended(self, status: asyncio.Future[int]) -> None:
        self._room.set()
        if status.cancelled():
            self._fail(SessionError("the session was closed", code="session-ended"))
        elif isinstance(error := status.exception(), Exception):
            self._fail(error)
        else:
            self._fail(self._exit_error(status.result()))

    def _exit_error(self, status: int) -> Exception:
        words = " ".join(self._stderr.decode("utf-8", "replace").split())
        if status == 127:
            return SessionError("cp needs Python 3.6 on the instance", code="helper-missing")
        return SessionError(f"the file server ended with status {status} {words}".strip(), code="helper-failed")
