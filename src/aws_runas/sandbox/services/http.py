"""The sandbox's HTTP/1.1 server: whole requests in, replies out, and WebSocket upgrades handed on. Loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from aws_runas.sandbox.services.errors import Reply

HEAD_LIMIT = 64 * 1024  # bytes; the longest session token fits many times
BODY_LIMIT = 8 * 1024 * 1024  # bytes; an AWS API request is at most a few hundred kilobytes
IDLE_LIMIT = 300.0  # seconds that a silent connection is kept


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Args:
        path, query: as they came, not decoded.
        headers: names in lower case; repeated ones joined by a comma.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = field(default=b"", repr=False)


class BadRequest(Exception):  # noqa: N818 - the name HTTP gives it
    """What came is no HTTP/1.1 request that we take."""


def parse_head(head: bytes) -> Request:
    """Read request line and headers (without the empty line).

    Raises:
        BadRequest: it is none.
    """
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest("header")
        name = name.lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    path, _, query = words[1].partition("?")
    return Request(words[0], path, query, headers)


Handler = Callable[[Request], Awaitable[Reply]]
Upgrade = Callable[[Request, bytes, asyncio.Transport], None]


class HttpConnection(asyncio.Protocol):
    """One client's connection.

    Args:
        handle: answers a request.
        upgrade: takes over the connection of a WebSocket request: the request, all bytes read so far, the transport.
        date: the clock of the Date header.
    """

    def __init__(self, handle: Handler, upgrade: Upgrade, date: Callable[[], float]) -> None:
        self._handle = handle
        self._upgrade = upgrade
        self._date = date
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._wait()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._stop_waiting()
        self._transport = None

    def data_received(self, data: bytes) -> None:
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
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT:
                transport.abort()
            return
        try:
            request = parse_head(bytes(self._buffer[:end]))
            taken = end + 4
            if request.headers.get("upgrade", "").lower() == "websocket":
                self._stop_waiting()
                self._upgrade(request, bytes(self._buffer), transport)
                return
            body, taken = self._body(request, taken)
        except BadRequest as problem:
            transport.write(self._encode(Reply(400, str(problem).encode()), keep=False))
            transport.close()
            return
        if body is None:
            if request.headers.get("expect", "").lower() == "100-continue" and len(self._buffer) == end + 4:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        del self._buffer[:taken]
        self._stop_waiting()
        whole = Request(request.method, request.path, request.query, request.headers, body)
        self._task = asyncio.get_running_loop().create_task(self._answer(whole))

    def _body(self, request: Request, start: int) -> tuple[bytes | None, int]:
        if "chunked" in request.headers.get("transfer-encoding", "").lower():
            return self._chunked(start)
        text = request.headers.get("content-length", "0")
        if not text.isascii() or not text.isdigit() or int(text) > BODY_LIMIT:
            raise BadRequest("content-length")
        end = start + int(text)
        return (bytes(self._buffer[start:end]), end) if len(self._buffer) >= end else (None, start)

    def _chunked(self, start: int) -> tuple[bytes | None, int]:
        body = bytearray()
        while True:
            line_end = self._buffer.find(b"\r\n", start)
            if line_end < 0:
                return None, start
            try:
                size = int(bytes(self._buffer[start:line_end]).split(b";")[0], 16)
            except ValueError:
                raise BadRequest("chunk size") from None
            data_end = line_end + 2 + size
            if len(self._buffer) < data_end + 2:
                return None, start
            body += self._buffer[line_end + 2 : data_end]
            start = data_end + 2
            if size == 0:
                return bytes(body), start

    async def _answer(self, request: Request) -> None:
        try:
            reply = await self._handle(request)
        except Exception as error:  # a broken handler must not take the sandbox down
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

    Raises:
        OSError: the port is taken.
    """
    return await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port, backlog=512)
