"""Listening sockets of a forward, on TCP or in the file system.

Imports nothing expensive, because addresses are bound before StartSession is called, and asyncio is loaded after that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aws_runas import unix_socket
from aws_runas.errors import SessionError
from aws_runas.socket_owner import find_port_owner
from aws_runas.ssm.forward.destination import LocalAddress
from aws_runas.unix_socket import UnixListener

if TYPE_CHECKING:
    import asyncio

    from aws_runas.ssm.forward.connection import LocalConnection

BACKLOG: Final = 1024
MAX_ACCEPTS: Final = 64  # connections accepted in one iteration of the event loop
ACCEPT_RETRY_DELAY: Final = 0.5  # seconds until accepting is tried again after file descriptors ran out
COMPLAIN_INTERVAL: Final = 30.0  # seconds


class Listener:
    """Sockets bound to one address. They accept nothing before `start`; clients of a unix socket wait until then.

    Args:
        address: the address, with the port that the system picked.
        sockets: bound sockets; the listener closes them.
        unix: the socket with its file, if this process made it.
    """

    def __init__(self, address: LocalAddress, sockets: list[socket.socket], unix: UnixListener | None = None) -> None:
        self.address = address
        self._sockets = sockets
        self._unix = unix
        self._tasks: set[asyncio.Task[object]] = set()
        self._complained_at = float("-inf")
        self._closed = False

    @property
    def local(self) -> str:
        """The address as a client writes it, with the port that the system picked."""
        return str(self.address)

    def start(
        self,
        accepted: Callable[[LocalConnection], None],
        next_number: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        """Listen and accept connections until `close`.

        Args:
            accepted: called with each connection.
            next_number: returns the number of the next connection.
            clock: monotonic seconds.

        Raises:
            SessionError: another process now listens on the address.
        """
        from aws_runas.ssm.forward.connection import READ_SIZE, LocalConnection
        from aws_runas.ssm.forward.half_close import open_kernel_socket

        buffer = bytearray(READ_SIZE)
        open_kernel_socket()

        def make_protocol() -> asyncio.BaseProtocol:
            return LocalConnection(next_number(), buffer, clock, accepted)

        for bound in self._sockets:
            try:
                bound.listen(BACKLOG)
            except OSError as error:  # two processes may bind the same port as long as neither listens
                raise _bind_error(self.address, error) from error
            self._watch(bound, make_protocol)

    async def close(self) -> None:
        """Stop listening, remove the file of the unix socket if it is still ours, and wait for accepted connections."""
        import asyncio

        self._closed = True
        for bound in self._sockets:
            if bound.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(bound)
        self.release()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def release(self) -> None:
        """Close the sockets and remove the file of the unix socket if it is still ours. Idempotent.

        For a listener that was not started; use `close` for a started one.
        """
        if self._unix is not None:
            self._unix.remove_file()
        for bound in self._sockets:
            bound.close()

    # Not asyncio.Server: when file descriptors run out, it logs an error a thousand times a second.
    def _watch(self, listening: socket.socket, make_protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        import asyncio

        if not self._closed:
            asyncio.get_running_loop().add_reader(listening, self._accept_some, listening, make_protocol)

    def _accept_some(self, listening: socket.socket, make_protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        for _ in range(MAX_ACCEPTS):
            try:
                connected, _address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_RETRY_DELAY, self._watch, listening, make_protocol)
                if loop.time() - self._complained_at > COMPLAIN_INTERVAL:
                    self._complained_at = loop.time()
                    loop.call_exception_handler({"message": "connections have to wait", "exception": error})
                return
            connected.setblocking(False)
            task: asyncio.Task[object] = loop.create_task(loop.connect_accepted_socket(make_protocol, connected))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


def bind(address: LocalAddress) -> Listener:
    """Bind an address.

    Raises:
        SessionError: the address is in use, not permitted, or does not exist on this machine. The message names the
            process that uses the address, if the system shows it.
    """
    if address.path:
        return _bind_path(address)
    sockets: list[socket.socket] = []
    port = address.port
    try:
        for family, host, scope in _resolve(address.host, port):
            bound = _tcp_socket(family)
            sockets.append(bound)
            bound.bind((host, port, *scope))
            port = bound.getsockname()[1]  # all addresses of a name use the same port
    except OSError as error:
        for bound in sockets:
            bound.close()
        raise _bind_error(address, error) from error
    return Listener(LocalAddress(address.host, port), sockets)


def _resolve(host: str, port: int) -> list[tuple[int, str, tuple[int, ...]]]:
    """Return family, address and scope (IPv6) of each address of a host."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), str(name[0]), name[2:]) for family, _, _, _, name in addresses))


def _tcp_socket(family: int) -> socket.socket:
    created = socket.socket(family, socket.SOCK_STREAM)
    created.setblocking(False)
    if os.name == "posix":  # on Windows this option would share the port with another process
        created.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        created.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return created


def _bind_path(address: LocalAddress) -> Listener:
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(os.lstat(address.path).st_mode):
            raise SessionError(
                f"{address.path} exists and is not a socket",
                code="socket-path-taken",
                hint="name another path, or remove it",
            )
    try:
        unix = unix_socket.listen(address.path)
    except OSError as error:
        raise _bind_error(address, error) from error
    unix.socket.setblocking(False)
    return Listener(address, [unix.socket], unix)


def _bind_error(address: LocalAddress, error: OSError) -> SessionError:
    if error.errno == errno.EADDRINUSE:
        owner = find_port_owner(address.port, address.path)
        by_owner = f", by {owner}" if owner else ""
        return SessionError(
            f"{address} is in use already{by_owner}",
            code="port-taken",
            hint="choose another port with -p, or leave -p out to use a free one",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return SessionError(
            f"not permitted to listen on {address}",
            code="port-not-permitted",
            hint="choose a directory of your own"
            if address.path
            else "ports below 1024 need root: choose another with -p",
        )
    reason = (error.strerror or str(error)).lower()
    return SessionError(
        f"cannot listen on {address}: {reason}",
        code="address-unusable",
        hint="name an address of this machine and a directory that exists",
    )
