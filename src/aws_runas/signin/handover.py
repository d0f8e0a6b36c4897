"""Redirects the first browser of this user that sends a request on loopback to an address, once.

It replaces a private file if the browser cannot read one: in a container of a remote editor, behind an add-on, or
outside of WSL. The browser's argv then only contains an address that works once, for this user.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import selectors
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from aws_runas.socket_owner import SocketOwners

WAIT = 30.0  # seconds for the browser
HEAD_LIMIT = 16 * 1024  # bytes of a request
CONNECTIONS = 20
SEND_TIME = 1.0  # seconds for a reply; it fits into the socket buffer
NAMES = ("127.0.0.1", "localhost", "::1")
_HEADERS = (
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'\r\n"
    "Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class Handover:
    """The listener. Use ``with``.

    Args:
        address: target of the redirect, which is sent once.
        clock: returns monotonic seconds.

    Raises:
        OSError: no loopback port is available.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._path = f"/{secrets.token_urlsafe(32)}"
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._buffers: dict[socket.socket, bytearray] = {}
        self._owners = SocketOwners()

    def __enter__(self) -> Handover:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in list(self._buffers):
            self._drop(connection)
        self._selector.close()
        self._listener.close()
        self._owners.close()

    @property
    def address(self) -> str:
        """The address for the browser's argv."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}{self._path}"

    def wait(self, seconds: float = WAIT) -> bool:
        """Wait until a browser has requested the address; return False if none has within that time."""
        deadline = self._clock() + seconds
        while (left := deadline - self._clock()) > 0:
            for key, _ in self._selector.select(left):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and self._read(key.fileobj):
                    return True
        return False

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, peer = self._listener.accept()
            if len(self._buffers) >= CONNECTIONS or not self._owners.is_own(peer, connection.getsockname()):
                connection.close()
                return
            connection.setblocking(False)
            self._buffers[connection] = bytearray()
            self._selector.register(connection, selectors.EVENT_READ)

    def _read(self, connection: socket.socket) -> bool:
        """Read a part of a request; return True if it was the expected request and was answered."""
        buffer = self._buffers[connection]
        try:
            data = connection.recv(HEAD_LIMIT)
        except OSError:
            data = b""
        buffer += data
        if data and b"\r\n\r\n" not in buffer and len(buffer) < HEAD_LIMIT:
            return False
        right = b"\r\n\r\n" in buffer and self._is_asked_for(bytes(buffer))
        reply = f"HTTP/1.1 303 See Other\r\nLocation: {self._address}\r\n" if right else "HTTP/1.1 404 Not Found\r\n"
        with contextlib.suppress(OSError):
            connection.settimeout(SEND_TIME)
            connection.sendall(f"{reply}{_HEADERS}".encode("ascii", "replace"))
            connection.shutdown(socket.SHUT_WR)
        self._drop(connection)
        return right

    def _is_asked_for(self, head: bytes) -> bool:
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or words[0] != "GET" or not hmac.compare_digest(words[1].encode(), self._path.encode()):
            return False
        hosts = [line.partition(":")[2].strip() for line in lines[1:] if line.lower().startswith("host:")]
        try:
            return len(hosts) == 1 and urlsplit(f"//{hosts[0]}").hostname in NAMES
        except ValueError:
            return False

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._buffers[connection]
        connection.close()
