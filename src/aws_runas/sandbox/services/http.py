"""HTTP/1.1 server of the sandbox on loopback: complete requests in, replies out. It passes on WebSocket upgrades.

It accepts a request only from the user who started the sandbox, only to a loopback name, and never from a web page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.errors import Reply
from aws_runas.sandbox.services.requests import BODY_LIMIT, HEAD_LIMIT, BadRequest, Request, find_body, find_head
from aws_runas.socket_owner import SocketOwners

NAMES = ("127.0.0.1", "localhost", "[::1]")
# Pages for the user's browser. Opening a page changes nothing, and frames cannot show it. Changes need a form on the
# page itself or a URL with a secret.
BROWSER_PATHS = ("/authorize", "/device", "/federation", "/oauth")


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks of one listener.

    Args:
        owners: finds the user at the other end of a connection.
        any_port: accept every port in Host, because a forwarded port may lead to the listener.
    """

    owners: SocketOwners
    any_port: bool = False

    def refuse_peer(self, transport: asyncio.Transport) -> Reply | None:
        """Return a refusal for a connection from another user of this machine, else None."""
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer and local and self.owners.is_own(peer[:2], local[:2]):
            return None
        return Reply(403, b"the sandbox belongs to another user\n")

    def refuse_request(self, request: Request, port: int) -> Reply | None:
        """Return a refusal for a request from a web page (foreign or rebound name, Origin, fetch), else None.

        Args:
            port: the port of the listener.
        """
        host = request.headers.get("host")
        if host is None:
            return Reply(400, b"the request names no host\n")
        name, _, given = host.lower().rpartition(":")
        if name not in NAMES or not (given == str(port) or (self.any_port and given.isascii() and given.isdigit())):
            return Reply(421, b"the sandbox does not answer to that host name\n")
        if request.path in BROWSER_PATHS and _is_own_page(request, host):
            return None
        if "origin" in request.headers or "sec-fetch-site" in request.headers:
            return Reply(403, b"the sandbox does not answer to web pages\n")
        return None


def _is_own_page(request: Request, host: str) -> bool:
    """Return True if a browser opens a page directly or sends a form of that page: no script, frame or foreign form."""
    mode, destination = (
        request.headers.get("sec-fetch-mode", "navigate"),
        request.headers.get("sec-fetch-dest", "document"),
    )
    if (mode, destination) != ("navigate", "document"):
        return False
    if request.method == "POST":
        own = request.headers.get("origin") in (None, f"http://{host.lower()}")
        return own and request.headers.get("sec-fetch-site") in (None, "same-origin")
    return "origin" not in request.headers


IDLE_LIMIT = 300.0  # seconds that an idle connection is kept
REFUSED_LIMIT = 1.0  # seconds for a refused client to read the answer


Handler = Callable[[Request], Awaitable[Reply]]
Upgrade = Callable[[Request, bytes, asyncio.Transport], None]


class HttpConnection(asyncio.Protocol):
    """Connection of one client.

    Args:
        handle: answers a request.
        upgrade: takes over the connection of a WebSocket request; called with request, all bytes read, transport.
        guard: decides which requests are answered.
        date: returns seconds since the epoch, for the header Date.
    """

    def __init__(self, handle: Handler, upgrade: Upgrade, guard: Guard, date: Callable[[], float]) -> None:
        self._handle = handle
        self._upgrade = upgrade
        self._guard = guard
        self._date = date
        self._refused = False
        self._peer_refusal: Reply | None = None  # sent after the first read: closing earlier would reset the connection
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer_refusal = self._guard.refuse_peer(self._transport)
        self._wait()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._stop_waiting()
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._peer_refusal is not None:
            self._refuse(self._peer_refusal)
            return
        self._buffer += data
        if len(self._buffer) > HEAD_LIMIT + BODY_LIMIT and self._transport is not None:
            self._transport.abort()
            return
        if self._task is None:
            self._next_request()

    def _wait(self) -> None:
        self._stop_waiting()
        if self._transport is not None:
            self._closing = asyncio.get_running_loop().call_later(IDLE_LIMIT, self._transport.close)

    def _stop_waiting(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _next_request(self) -> None:
        transport = self._transport
        if transport is None:
            return
        try:
            found = find_head(self._buffer)
            if found is None:
                return
            request, start = found
            refusal = self._guard.refuse_request(request, transport.get_extra_info("sockname")[1])
            if refusal is not None:
                self._refuse(refusal)
                return
            if request.headers.get("upgrade", "").lower() == "websocket":
                self._stop_waiting()
                self._upgrade(request, bytes(self._buffer), transport)
                return
            whole = find_body(request, self._buffer, start)
        except BadRequest as problem:
            self._refuse(Reply(400, str(problem).encode()))
            return
        if whole is None:
            if request.headers.get("expect", "").lower() == "100-continue" and len(self._buffer) == start:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        request, end = whole
        del self._buffer[:end]
        self._stop_waiting()
        self._task = asyncio.get_running_loop().create_task(self._answer(request))

    def _refuse(self, reply: Reply) -> None:
        """Send a reply and close; nothing more is read."""
        self._stop_waiting()
        self._refused = True
        if self._transport is not None:
            self._transport.write(self._encode(reply, keep=False))
            self._transport.write_eof()  # a close would reset the connection if the client still sends
            self._closing = asyncio.get_running_loop().call_later(REFUSED_LIMIT, self._transport.close)

    async def _answer(self, request: Request) -> None:
        try:
            reply = await self._handle(request)
        except Exception as error:  # a bug in a handler must not end the sandbox
            reply = Reply(500, f"sandbox: {type(error).__name__}: {error}".encode())
        self._task = None
        if self._transport is None or self._transport.is_closing():
            return
        keep = request.headers.get("connection", "").lower() != "close"
        self._transport.write(self._encode(reply, keep=keep, head=request.method == "HEAD"))
        if not keep:
            self._transport.close()
            return
        self._wait()
        if self._buffer:
            self._next_request()

    def _encode(self, reply: Reply, *, keep: bool, head: bool = False) -> bytes:
        try:
            phrase = HTTPStatus(reply.status).phrase
        except ValueError:
            phrase = "Unknown"
        headers = {
            "Date": formatdate(self._date(), usegmt=True),
            **reply.headers,
            "Content-Length": str(len(reply.body)),
        }
        if not keep:
            headers["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {reply.status} {phrase}\r\n{lines}\r\n".encode("latin-1") + (b"" if head else reply.body)


async def listen(factory: Callable[[], HttpConnection], port: int) -> asyncio.Server:
    """Listen on 127.0.0.1.

    Args:
        factory: creates the protocol of each connection.
        port: 0 lets the system pick.

    Raises:
        OSError: the port is in use.
    """
    return await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port, backlog=512)
