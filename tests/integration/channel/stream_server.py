"""A stream service that shares no code with ours: the server of `websockets`, and messages taken apart by hand."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from types import TracebackType

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

OUTPUT, SIZE, STANDARD_ERROR, EXIT_CODE = 1, 3, 11, 12


@dataclass(frozen=True)
class Message:
    """What the wire's 120 bytes say."""

    kind: str
    number: int
    payload_type: int
    payload: bytes


def take_apart(data: bytes) -> Message:
    """Read one message by the offsets of the specification."""
    (length,) = struct.unpack_from(">I", data, 0)
    kind = data[4:36].replace(b"\0", b"").strip().decode()
    (number,) = struct.unpack_from(">q", data, 48)
    payload_type = struct.unpack_from(">I", data, 112)[0] if length == 116 else 0
    return Message(kind, number, payload_type, data[length + 4 :])


def put_together(kind: str, number: int, payload: bytes, payload_type: int = OUTPUT, flags: int = 0) -> bytes:
    """Make one message as the agent would."""
    identity = uuid.uuid4().bytes
    head = struct.pack(">I32sIQqQ", 116, kind.encode().ljust(32), 1, 1_700_000_000_000, number, flags)
    return (
        head
        + identity[8:]
        + identity[:8]
        + sha256(payload).digest()
        + struct.pack(">II", payload_type, len(payload))
        + payload
    )


def channel_closed(output: str = "") -> bytes:
    """The service's own last message: a shorter header, and NULs behind the type."""
    payload = json.dumps({"MessageType": "channel_closed", "MessageId": str(uuid.uuid4()), "Output": output}).encode()
    identity = uuid.uuid4().bytes
    head = struct.pack(">I32sIQqQ", 112, b"channel_closed".ljust(32, b"\0"), 1, 1_700_000_000_000, 0, 3)
    return head + identity + sha256(payload).digest() + struct.pack(">I", len(payload)) + payload


def acknowledgement(message: Message) -> bytes:
    """Confirm a message by its number."""
    text = {
        "AcknowledgedMessageType": message.kind,
        "AcknowledgedMessageId": str(uuid.uuid4()),
        "AcknowledgedMessageSequenceNumber": message.number,
        "IsSequentialMessage": True,
    }
    return put_together("acknowledge", 0, json.dumps(text).encode(), 0, 3)


@dataclass
class Connection:
    """One client connection as the server saw it."""

    path: str
    headers: dict[str, str]
    websocket: ServerConnection
    opening: dict[str, str] = field(default_factory=dict)
    received: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: set[int] = field(default_factory=set)
    everything: list[Message] = field(default_factory=list)

    async def until_acknowledged(self, numbers: set[int]) -> None:
        """Wait until the client has confirmed all of these."""
        async with asyncio.timeout(10):
            while not numbers <= self.acknowledged:
                self.heard.clear()
                await self.heard.wait()

    async def data(self) -> Message:
        """The next message that is no acknowledgement."""
        return await asyncio.wait_for(self.received.get(), 10)


Play = Callable[[Connection], Awaitable[None]]


class StreamServer:
    """An async context manager; `play` is called for each connection once its opening frame is there.

    Args:
        play: what the service does.
        refuse: HTTP status for the n-th request (from 0), None to let it in.
        acknowledge: confirm what arrives, as the agent does.
        cut_after: tear the first four connections apart after so many messages.
    """

    def __init__(
        self,
        play: Play,
        *,
        refuse: Callable[[int, Request], int | None] = lambda _n, _request: None,
        acknowledge: bool = True,
        tls: ssl.SSLContext | None = None,
        cut_after: int | None = None,
    ) -> None:
        self._play = play
        self._refuse = refuse
        self._acknowledge = acknowledge
        self._tls = tls
        self._cut_after = cut_after
        self._requests = 0
        self._server: Server | None = None
        self.connections: list[Connection] = []
        self.port = 0
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> StreamServer:
        self._server = await serve(
            self._handle, "127.0.0.1", 0, process_request=self._judge, ssl=self._tls, compression="deflate"
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        for connection in self.connections:
            connection.websocket.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    async def until_connected(self) -> Connection:
        """Wait for the first connection that sent its opening."""
        async with asyncio.timeout(10):
            await self._arrived.wait()
        return self.connections[0]

    def url(self, session: str = "me-0123", extra: str = "") -> str:
        """A stream address with the raw base64 that the real service puts into it."""
        scheme = "wss" if self._tls is not None else "ws"
        query = f"role=publish_subscribe&cell-number=AAEAATf2ktZ+bs/0f==&n={extra}"
        return f"{scheme}://localhost:{self.port}/v1/data-channel/{session}?{query}"

    def _judge(self, websocket: ServerConnection, request: Request) -> Response | None:
        status = self._refuse(self._requests, request)
        self._requests += 1
        return websocket.respond(status, "no\n") if status is not None else None

    async def _handle(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        connection = Connection(websocket.request.path, dict(websocket.request.headers.raw_items()), websocket)
        first = await websocket.recv()
        assert isinstance(first, str), "the opening has to be a text frame"
        connection.opening = json.loads(first)
        self.connections.append(connection)
        self._arrived.set()
        reader = asyncio.ensure_future(self._read(connection))
        try:
            await self._play(connection)
        finally:
            reader.cancel()

    async def _read(self, connection: Connection) -> None:
        async for data in connection.websocket:
            assert isinstance(data, bytes), "everything after the opening is binary"
            message = take_apart(data)
            connection.everything.append(message)
            if message.kind == "acknowledge":
                connection.acknowledged.add(json.loads(message.payload)["AcknowledgedMessageSequenceNumber"])
                connection.heard.set()
                continue
            if self._acknowledge:
                with suppress(ConnectionClosed):
                    await connection.websocket.send(acknowledgement(message))
            connection.received.put_nowait(message)
            if connection.received.qsize() == self._cut_after and len(self.connections) < 5:
                connection.websocket.transport.abort()
