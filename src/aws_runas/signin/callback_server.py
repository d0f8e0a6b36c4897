"""Drives `Callback` on loopback sockets. Listens from before the browser is opened until the last page is shown."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable
from typing import Protocol

from aws_runas.errors import ConfigError
from aws_runas.signin.callback import Callback, Endpoint, Outcome
from aws_runas.signin.context import DEFAULT_TIMEOUT
from aws_runas.socket_owner import SocketOwners

BACKLOG = 32
SEND_TIME = 1.0  # seconds for a reply; every reply fits into the socket buffer
LAST_PAGE_TIME = 1.0  # seconds in which the browser must request the last page; it does so within milliseconds
READ_SIZE = 8192  # bytes


class LineReader(Protocol):
    """The terminal on which the user may paste the address."""

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        ...

    def read_line(self) -> str | None:
        """Return a line once the descriptor is readable; None at the end of input."""
        ...


class CallbackServer:
    """The listener of one sign-in. Use ``with``, or call `close`.

    Args:
        state: from `new_pkce`.
        path: path of the redirect URI.
        hostname: host of the redirect URI: ``127.0.0.1``, or ``localhost``, which also listens on ::1 if it exists.
        port: port to listen on; 0 lets the system choose.
        timeout: seconds until the sign-in fails.
        clock: returns monotonic seconds.

    Raises:
        ConfigError: the port is in use.
    """

    def __init__(
        self,
        state: str,
        *,
        path: str = "/oauth/callback",
        hostname: str = "127.0.0.1",
        port: int = 0,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._state = state
        self._timeout = timeout
        self._hostname = hostname
        self._path = path
        self._start_path = f"/start/{secrets.token_urlsafe(18)}"
        self._sockets: dict[int, socket.socket] = {}
        self._machine: Callback | None = None
        self._listeners = _listen(hostname, port)  # first, so that nothing else is open if it fails
        self._selector = selectors.DefaultSelector()
        self._owners = SocketOwners()
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, listener)

    def __enter__(self) -> CallbackServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port of the redirect URI."""
        return int(self._listeners[0].getsockname()[1])

    @property
    def redirect_uri(self) -> str:
        """The redirect URI of this sign-in, with the port."""
        return f"http://{self._hostname}:{self.port}{self._path}"

    def start_address(self, authorization: str) -> str:
        """Return the address for the browser. It redirects to the authorization request and contains no secret of it.

        Args:
            authorization: address of the authorization request, with state and challenge.
        """
        endpoint = Endpoint(self.port, self._path, (self._hostname,), self._start_path, authorization)
        self._machine = Callback(endpoint, self._state, self._clock(), self._timeout)
        return f"http://{self._hostname}:{self.port}{self._start_path}"

    def wait(self, lines: LineReader | None = None, refuse_line: Callable[[], None] = lambda: None) -> Outcome:
        """Wait for the answer. Call `start_address` before.

        Args:
            lines: a terminal on which the answer may be pasted.
            refuse_line: called for a line that is not an answer.
        """
        machine = self._callback()
        if lines is not None:
            self._selector.register(lines.fileno(), selectors.EVENT_READ, lines)
        while machine.outcome is None:
            self._turn(machine, machine.next_timer(), lines, refuse_line)
        if lines is not None and lines.fileno() in self._selector.get_map():
            self._selector.unregister(lines.fileno())
        return machine.outcome

    def finish(self, *, success: bool) -> None:
        """Show the last page with the result of the sign-in; wait up to a second for the browser to request it."""
        machine = self._callback()
        machine.conclude(success=success)
        deadline = self._clock() + LAST_PAGE_TIME
        while not machine.is_shown and self._clock() < deadline:
            self._turn(machine, deadline, None, lambda: None)

    def close(self) -> None:
        """Close all sockets. A second call does nothing."""
        for sock in (*self._listeners, *self._sockets.values()):
            sock.close()
        self._sockets.clear()
        self._selector.close()
        self._owners.close()

    def _callback(self) -> Callback:
        if self._machine is None:
            raise RuntimeError("start_address must be called first")
        return self._machine

    def _turn(self, machine: Callback, until: float, lines: LineReader | None, refuse_line: Callable[[], None]) -> None:
        for key, _ in self._selector.select(max(0.0, until - self._clock())):
            if lines is not None and key.data is lines:
                self._read_line(machine, lines, refuse_line)
            elif key.data in self._listeners:
                self._accept(machine, key.data)
            else:
                self._read(machine, key.data)
        machine.handle_timer(self._clock())
        for number, content in machine.data_to_send():
            self._send(number, content)

    def _accept(self, machine: Callback, listener: socket.socket) -> None:
        try:
            sock, peer = listener.accept()
        except OSError:
            return
        owner = self._owners.owner_of(peer[:2], sock.getsockname()[:2]) if self._owners.is_known else None
        self._sockets[sock.fileno()] = sock
        self._selector.register(sock, selectors.EVENT_READ, sock)
        machine.receive_connect(sock.fileno(), self._clock(), is_own=_is_allowed(owner))

    def _read(self, machine: Callback, sock: socket.socket) -> None:
        try:
            data = sock.recv(READ_SIZE)
        except OSError:
            data = b""
        if data:
            machine.receive_data(sock.fileno(), data, self._clock())
        else:
            machine.receive_disconnect(sock.fileno())
            self._drop(sock.fileno())

    def _read_line(self, machine: Callback, lines: LineReader, refuse_line: Callable[[], None]) -> None:
        line = lines.read_line()
        if line is None:
            self._selector.unregister(lines.fileno())
        elif line.strip() and not machine.receive_line(line, self._clock()):
            refuse_line()

    def _send(self, number: int, content: bytes) -> None:
        sock = self._sockets.get(number)
        if sock is None:
            return
        with contextlib.suppress(OSError):
            sock.settimeout(SEND_TIME)
            sock.sendall(content)
            sock.shutdown(socket.SHUT_WR)
        self._drop(number)

    def _drop(self, number: int) -> None:
        sock = self._sockets.pop(number, None)
        if sock is not None:
            self._selector.unregister(sock)
            sock.close()


def _listen(hostname: str, port: int) -> list[socket.socket]:
    """Bind one port on every loopback address of the host name.

    Raises:
        ConfigError: the port is in use.
    """
    try:
        first = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)  # Python's text of the error repeats the address as a tuple
        reason = os.strerror(number) if number else str(error)
        raise ConfigError(
            f"cannot listen on 127.0.0.1:{port} for the sign-in: {reason.lower()}",
            code="redirect-port-unavailable",
            hint="choose another port with --redirect-port, or none",
        ) from None
    listeners = [first]
    if hostname == "localhost" and socket.has_ipv6:
        with contextlib.suppress(OSError):  # this machine has no ::1; a browser then uses 127.0.0.1
            address = ("::1", first.getsockname()[1])
            listeners.append(socket.create_server(address, family=socket.AF_INET6, backlog=BACKLOG))
    return listeners


def _is_allowed(owner: int | None) -> bool:
    """Refuse other users of this machine. A socket without a known owner came through a port forward."""
    if owner is None or not hasattr(os, "getuid"):
        return True
    sudo = os.environ.get("SUDO_UID", "")  # the browser belongs to the user who typed sudo
    return owner in (0, os.getuid()) or (os.getuid() == 0 and owner == (int(sudo) if sudo.isdigit() else 0))
