"""A service that says what no library would say: raw bytes on a socket, one play for each connection."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType

from tests.integration.channel.stream_server import Message, channel_closed, put_together, take_apart

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\r\nsecond line\u202e"  # text that does things to a terminal
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = False, length: int = -1
) -> bytes:
    """Make a WebSocket frame, right or wrong.

    Args:
        reserved: three bits that have no meaning.
        masked: as only clients may.
        length: announced instead of the payload's own; -1 for the truth.
    """
    size = len(payload) if length < 0 else length
    first, mask_bit = (0x80 if fin else 0) | reserved << 4 | opcode, 0x80 if masked else 0
    if size < 126:
        head = struct.pack(">BB", first, mask_bit | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, mask_bit | 126, size)
    else:
        head = struct.pack(">BBQ", first, mask_bit | 127, size)
    return head + (bytes(4) if masked else b"") + payload


def closing(code: int, reason: str = "") -> bytes:
    """Make a close frame."""
    return frame(CLOSE, struct.pack(">H", code) + reason.encode())


def output(number: int, data: bytes) -> bytes:
    """Make a message of the agent with output."""
    return put_together("output_stream_data", number, data, flags=0 if number else 1)


class Peer:
    """One connection of the client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = b""
        self.opening: dict[str, str] = {}

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def read_request(self) -> None:
        """Read the opening request."""
        self.head = await self._reader.readuntil(b"\r\n\r\n")

    async def hello(self) -> None:
        """Read the beginning of a TLS handshake."""
        assert await self._reader.readexactly(1) == b"\x16"

    def acceptance(self) -> bytes:
        """Return the answer that a WebSocket server gives."""
        (key,) = (line[19:] for line in self.head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
        accept = b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    async def accept(self) -> None:
        """Open the WebSocket and read the first message."""
        await self.read_request()
        await self.send(self.acceptance())
        opcode, payload = await self.read_frame()
        assert opcode == TEXT
        self.opening = json.loads(payload)

    async def read_frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame of the client."""
        first, second = await self._reader.readexactly(2)
        assert second & 0x80, "a client masks"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", await self._reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self._reader.readexactly(8))
        mask = await self._reader.readexactly(4)
        payload = await self._reader.readexactly(size)
        return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

    async def until(self, what: Callable[[int, bytes], bool]) -> bytes:
        """Read frames until one is as it should be, and return its payload."""
        while True:
            opcode, payload = await self.read_frame()
            if what(opcode, payload):
                return payload

    async def until_message(self, what: Callable[[Message], bool]) -> None:
        """Read frames until one holds such a message."""
        await self.until(lambda opcode, payload: opcode == BINARY and what(take_apart(payload)))

    async def until_acknowledged(self, number: int) -> None:
        """Read frames until a message is acknowledged."""

        def names(message: Message) -> bool:
            if message.kind != "acknowledge":
                return False
            return bool(json.loads(message.payload)["AcknowledgedMessageSequenceNumber"] == number)

        await self.until_message(names)

    async def until_gone(self) -> None:
        """Read until the client hangs up."""
        with suppress(ConnectionError):
            while await self._reader.read(65_536):
                pass

    def hang_up(self) -> None:
        """End the connection."""
        self._writer.close()

    def reset(self) -> None:
        """End the connection without a word."""
        self._writer.transport.abort()


Play = Callable[[Peer], Awaitable[None]]


class OddService:
    """An async context manager that listens on a port of its own.

    Args:
        plays: of the connections; the last one is of all that follow.
        tls: context of a server.
    """

    def __init__(self, *plays: Play, tls: ssl.SSLContext | None = None) -> None:
        self._plays = plays
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []
        self.port = 0

    async def __aenter__(self) -> OddService:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for peer in self.peers:
            peer.reset()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)
        if kind is None:
            assert not self.failures, self.failures

    @property
    def url(self) -> str:
        """The stream's address."""
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://localhost:{self.port}/v1/data-channel/me-0123?role=publish_subscribe"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        play = self._plays[min(len(self.peers), len(self._plays)) - 1]
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            await play(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.close()


def rest(number: int, data: bytes) -> Play:
    """Return a play that says the rest and ends the session."""

    async def play(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(BINARY, output(number, data)))
        await peer.until_acknowledged(number)
        await peer.send(frame(BINARY, channel_closed()))
        await peer.until_gone()

    return play
