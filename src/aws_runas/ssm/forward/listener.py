"""The local end of a forward: sockets that programs connect to, on TCP or in the file system."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import Final

from aws_runas.errors import SessionError
from aws_runas.ssm.forward.address import LocalAddress
from aws_runas.ssm.forward.connection import READ_SIZE, LocalConnection
from aws_runas.ssm.forward.port_owner import who_holds

BACKLOG: Final = 1024
SOCKET_MODE: Final = 0o600
AT_ONCE: Final = 64  # connections accepted in one turn of the loop
ACCEPT_AGAIN: Final = 0.5  # seconds after which accepting is tried again, where files had run out
COMPLAIN_AGAIN: Final = 30.0  # seconds


class Listener:
    """Sockets bound to one address; nothing is accepted before ``start``.

    Args:
        identity: device and inode of the unix socket's file, to know it again.
    """

    def __init__(
        self, address: LocalAddress, sockets: list[socket.socket], identity: tuple[int, int] | None = None
    ) -> None:
        self.address = address
        self._sockets = sockets
        self._identity = identity
        self._tasks: set[asyncio.Task[object]] = set()
        self._complained_at = float("-inf")
        self._closed = False

    @property
    def local(self) -> str:
        """As a client writes it, with the port that the system picked."""
        return str(self.address)

    def start(self, accept: Callable[[LocalConnection], None], numbers: Callable[[], int]) -> None:
        """Begin to listen.

        Args:
            accept: gets each connection.
            numbers: gives each connection its number.

        Raises:
            SessionError: somebody else was faster.
        """
        buffer = bytearray(READ_SIZE)

        def make() -> asyncio.BaseProtocol:
            return _Accepted(numbers(), buffer, accept)

        for each in self._sockets:
            try:
                each.listen(BACKLOG)
            except OSError as error:  # two may bind the same port as long as neither listens
                raise _cannot_bind(self.address, error) from error
            self._watch(each, make)

    def close(self) -> None:
        """Stop listening and remove the unix socket, where it is still ours."""
        self._closed = True
        for each in self._sockets:
            if each.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(each)
                each.close()
        if self._identity is not None:
            with contextlib.suppress(OSError):
                status = os.lstat(self.address.path)
                if (status.st_dev, status.st_ino) == self._identity:
                    os.unlink(self.address.path)

    # asyncio.Server would do, but for the day when files run out: it then complains a thousand times a second.
    def _watch(self, listening: socket.socket, make: Callable[[], asyncio.BaseProtocol]) -> None:
        if not self._closed:
            asyncio.get_running_loop().add_reader(listening, self._accept_some, listening, make)

    def _accept_some(self, listening: socket.socket, make: Callable[[], asyncio.BaseProtocol]) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(AT_ONCE):
            try:
                connected, _address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_AGAIN, self._watch, listening, make)
                if loop.time() - self._complained_at > COMPLAIN_AGAIN:
                    self._complained_at = loop.time()
                    loop.call_exception_handler({"message": "connections have to wait", "exception": error})
                return
            connected.setblocking(False)
            task: asyncio.Task[object] = loop.create_task(loop.connect_accepted_socket(make, connected))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


class _Accepted(LocalConnection):
    def __init__(self, number: int, buffer: bytearray, accept: Callable[[LocalConnection], None]) -> None:
        super().__init__(number, buffer)
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._accept(self)


def bind(address: LocalAddress) -> Listener:
    """Take an address for us.

    Raises:
        SessionError: it is taken, may not be used, or does not exist here; the message says by whom, where that shows.
    """
    if address.path:
        return _bind_path(address)
    sockets: list[socket.socket] = []
    port = address.port
    try:
        for family, place in _addresses(address.host, port):
            host = place[0]
            one = _tcp_socket(family)
            sockets.append(one)
            one.bind((host, port, *place[2:]))
            port = one.getsockname()[1]  # a name with two addresses has one port
    except OSError as error:
        for each in sockets:
            each.close()
        raise _cannot_bind(address, error) from error
    return Listener(LocalAddress(address.host, port), sockets)


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int] | tuple[str, int, int, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(each[0]), each[4]) for each in found))  # type: ignore[misc]


def _tcp_socket(family: int) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setblocking(False)
    if os.name == "posix":  # elsewhere it would share the port with whoever has it
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return one


def _bind_path(address: LocalAddress) -> Listener:
    path = address.path
    _remove_stale(path)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.setblocking(False)
    mask = os.umask(0o777 & ~SOCKET_MODE)  # the mode counts from the first moment
    try:
        one.bind(path)
    except OSError as error:
        one.close()
        raise _cannot_bind(address, error) from error
    finally:
        os.umask(mask)
    status = os.lstat(path)
    return Listener(address, [one], (status.st_dev, status.st_ino))


def _remove_stale(path: str) -> None:
    """Remove a socket that a dead process left; never another kind of file, never one that somebody answers on."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SessionError(
                f"{path} exists and is not a socket", code="socket-path-taken", hint="name another path, or remove it"
            )
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_bind(LocalAddress(path=path), error) from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            pass  # bind will say what is wrong


def _cannot_bind(address: LocalAddress, error: OSError) -> SessionError:
    if error.errno == errno.EADDRINUSE:
        holder = who_holds(address.port, address.path)
        held = f", by {holder}" if holder else ""
        return SessionError(
            f"{address} is in use already{held}",
            code="port-taken",
            hint="choose another with -p, or leave it out and one is found",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return SessionError(
            f"not permitted to listen on {address}",
            code="port-not-permitted",
            hint=None if address.path else "ports below 1024 are for root",
        )
    reason = error.strerror or str(error)
    return SessionError(f"cannot listen on {address}: {reason}", code="address-unusable")
