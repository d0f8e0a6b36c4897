"""A connection of a local program: bytes out and in, with back-pressure and both ends closed one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import Final, Protocol, cast

READ_SIZE: Final = 64 * 1024  # bytes taken from a socket at once
WRITE_HIGH: Final = 64 * 1024  # bytes unsent to the local program before its data counts as undelivered
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds: close sends RST


class ConnectionOwner(Protocol):
    """The session that carries a connection; called on the event loop."""

    def local_data(self, connection: LocalConnection, data: bytes) -> None:
        """The program sent bytes."""

    def local_eof(self, connection: LocalConnection) -> None:
        """The program will send no more; it may still read."""

    def local_lost(self, connection: LocalConnection) -> None:
        """The connection is gone. Last call."""

    def local_delivered(self, connection: LocalConnection, length: int) -> None:
        """So many more of the bytes given to write have gone on to the program."""


class LocalConnection(asyncio.BufferedProtocol):
    """One accepted connection. Reads nothing before it has an owner.

    Args:
        number: counts the connections of a tunnel, for people.
        buffer: READ_SIZE bytes, shared by all connections of one event loop: each read is copied out at once.
    """

    def __init__(self, number: int, buffer: bytearray) -> None:
        self.number = number
        self.opened_at = time.monotonic()
        self.sent = 0  # bytes, from the program to the far side
        self.received = 0  # bytes, from the far side to the program
        self.half_closed_at: float | None = None  # the program said that it sends no more
        self.peer = ""
        self.closed = False
        self._buffer = buffer
        self._owner: ConnectionOwner | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []  # to be written at the end of this turn of the loop
        self._flush_due = False
        self._finish_due = False
        self._given = 0  # bytes given to write
        self._delivered = 0  # of them, told to the owner as delivered
        self._congested = False
        self._reading = False

    # verbs of the owner

    def attach(self, owner: ConnectionOwner) -> None:
        """Give the connection to the session that carries it and begin to read."""
        self._owner = owner
        if self.closed:
            owner.local_lost(self)
        else:
            self.resume_reading()

    def write(self, data: bytes) -> None:
        """Pass bytes on to the program; what is written in one turn of the loop goes out together."""
        self._given += len(data)
        self.received += len(data)
        self._waiting.append(data)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def finish(self) -> None:
        """No more bytes follow those written: the program reads to their end, then EOF."""
        self._finish_due = True
        self._flush()

    def close(self) -> None:
        """Close once everything written has gone out."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Break the connection off so that the program sees an error, never an end that looks whole."""
        self.closed = True
        if self._transport is None:
            return
        connected = self._transport.get_extra_info("socket")
        if connected is not None and connected.family != getattr(socket, "AF_UNIX", None):
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def pause_reading(self) -> None:
        """Leave what the program sends where it is."""
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Undo pause_reading."""
        if not self._reading and self._transport is not None and self.half_closed_at is None and not self.closed:
            self._reading = True
            self._transport.resume_reading()

    def report_delivered(self) -> None:
        """Tell the owner of bytes that left since the last report, for a reader so slow that no callback tells it."""
        if self._transport is None or self._owner is None:
            return
        unsent = self._transport.get_write_buffer_size() if self._congested else 0
        news = self._given - sum(map(len, self._waiting)) - unsent - self._delivered
        if news > 0:
            self._delivered += news
            self._owner.local_delivered(self, news)

    def socket(self) -> socket.socket | None:
        """The socket, for looking at."""
        if self._transport is None:
            return None
        return cast("socket.socket | None", self._transport.get_extra_info("socket"))

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_HIGH // 4)
        self.peer = _peer(transport)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - a hint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.sent += nbytes
        if self._owner is not None:
            self._owner.local_data(self, bytes(memoryview(self._buffer)[:nbytes]))

    def eof_received(self) -> bool:
        self.half_closed_at = time.monotonic()
        self._reading = False
        if self._owner is not None:
            self._owner.local_eof(self)
        return True  # the other direction stays open

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False
        self.report_delivered()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever it was
        self.closed = True
        self._transport = None
        self._waiting.clear()
        if self._owner is not None:
            self._owner.local_lost(self)

    def _flush(self) -> None:
        self._flush_due = False
        if self._transport is None or self._transport.is_closing():
            return
        if self._waiting:
            data = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
            self._waiting.clear()
            self._transport.write(data)
            self.report_delivered()
        if self._finish_due and self._transport.can_write_eof():
            self._finish_due = False
            with contextlib.suppress(OSError):  # the program went first
                self._transport.write_eof()


def _peer(transport: asyncio.BaseTransport) -> str:
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "unix"
