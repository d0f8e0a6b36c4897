"""Control socket of the tunnels process: JSON lines, one request and one reply per connection."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from aws_runas import files, unix_socket
from aws_runas.errors import ConfigError, SessionError
from aws_runas.unix_socket import UnixListener

Reply = dict[str, object]
Handler = Callable[[Mapping[str, object]], Awaitable[Reply]]
MAX_LINE: Final = 1 << 20  # bytes of a request or a reply
REQUEST_TIMEOUT: Final = 10.0  # seconds for the request line
REPLY_TIMEOUT: Final = 60.0  # seconds; `up` waits for StartSession


class ControlServer:
    """Listens for commands of the same user.

    Args:
        path: the socket, in a private directory.
        handler: answers a request.
    """

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._unix: UnixListener | None = None

    async def start(self) -> None:
        """Bind the socket.

        Raises:
            ConfigError: another process of this user has the socket, or it cannot be created.
        """
        try:
            files.make_private_directory(self._path.parent)
            self._unix = unix_socket.listen(str(self._path))
            self._server = await asyncio.start_unix_server(self._serve, sock=self._unix.socket, limit=MAX_LINE)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"another process answers on {self._path}",
                    code="tunnels-running",
                    hint="see: aws-runas tunnels status; to end it: aws-runas tunnels down",
                ) from error
            raise ConfigError(
                f"cannot listen on {self._path}: {(error.strerror or str(error)).lower()}",
                code="tunnels-socket",
                hint="XDG_RUNTIME_DIR names the directory; the path may have about 100 characters",
            ) from error

    async def close(self) -> None:
        """Remove the socket and stop listening. Idempotent."""
        if self._unix is not None:
            self._unix.remove_file()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not _is_same_user(writer.get_extra_info("socket")):
                writer.close()
                return
            async with asyncio.timeout(REQUEST_TIMEOUT):
                line = await reader.readline()
            request = json.loads(line)
            reply = await self._handler(request) if isinstance(request, dict) else {"error": "not an object"}
        except (OSError, ValueError, TimeoutError, RecursionError):
            reply = {"error": "not a request"}
        with contextlib.suppress(OSError):
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()


def ask(path: Path, request: Mapping[str, object], timeout: float = REPLY_TIMEOUT) -> Reply:
    """Send one request and return the reply; blocks.

    Args:
        path: the path of the socket.
        request: the request for the process.
        timeout: seconds.

    Raises:
        SessionError: no process listens there, or it does not answer.
        ConfigError: a process of another user listens there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
        except TimeoutError as error:  # the accept queue is full: the process does not accept connections
            raise _silent(path, 0) from error
        except OSError as error:
            raise SessionError(
                "no tunnels are up", code="tunnels-down", hint="aws-runas tunnels up opens the tunnels of tunnels.toml"
            ) from error
        pid, uid = _peer(connection)
        if uid not in (None, os.geteuid()):
            raise ConfigError(
                f"{path} belongs to a process of another user",
                code="tunnels-foreign",
                hint="XDG_RUNTIME_DIR names the directory; it must be your own",
            )
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            reply = json.loads(connection.makefile("rb").readline(MAX_LINE))
        except (OSError, ValueError, RecursionError) as error:
            raise _silent(path, pid) from error
    return reply if isinstance(reply, dict) else {}


def _silent(path: Path, pid: int) -> SessionError:
    name = f"process {pid}" if pid else "the process"
    return SessionError(
        f"{name} that holds the tunnels does not answer on {path}",
        code="tunnels-silent",
        hint=f"it may be stopped: kill -CONT {pid}, or end it: kill {pid}" if pid else None,
    )


def is_running(path: Path) -> bool:
    """Return True if a process listens on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def _is_same_user(connection: socket.socket | None) -> bool:
    """Check the user of the other process, if the system reports it. The directory is private as well."""
    return connection is None or _peer(connection)[1] in (None, os.geteuid())


def _peer(connection: socket.socket) -> tuple[int, int | None]:
    """Return the process id and user id of the peer; 0 and None if the system does not report them."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return 0, None
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return int(pid), int(uid)
