"""A connection of a local program: bytes in both directions, back-pressure, half-close."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol, cast

READ_SIZE: Final = 64 * 1024  # bytes read from a socket at once
WRITE_HIGH: Final = 64 * 1024  # bytes not yet sent to the local program, above which its data counts as undelivered
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds: close sends RST


class ConnectionOwner(Protocol):
    """The multiplexer that carries a connection. Called on the event loop."""

    def local_data(self, connection: LocalConnection, data: bytes) -> None:
        """Process bytes that the program sent."""

    def local_eof(self, connection: LocalConnection) -> None:
        """Process the end of the program's sending half; the program may still read."""

    def local_lost(self, connection: LocalConnection) -> None:
        """Process the end of the connection. Last call."""

    def local_delivered(self, connection: LocalConnection, length: int) -> None:
        """Note that `length` more bytes given to `write` were sent to the program."""


class LocalConnection(asyncio.BufferedProtocol):
    """One accepted connection. Reads nothing until it has an owner.

    Args:
        number: number of the connection within the forward, for display.
        buffer: READ_SIZE bytes, shared by all connections of one event loop: each read is copied out at once.
        clock: monotonic seconds.
        accepted: called with the connection as soon as it can be attached.
    """

    def __init__(
        self,
        number: int,
        buffer: bytearray,
        clock: Callable[[], float],
        accepted: Callable[[LocalConnection], None],
    ) -> None:
        self.number = number
        self.opened_at = clock()
        self.sent = 0  # bytes, from the program to the remote end
        self.received = 0  # bytes, from the remote end to the program
        self.half_closed_at: float | None = None  # when the program ended its sending half
        self.peer = ""
        self.closed = False
        self._buffer = buffer
        self._clock = clock
        self._accepted = accepted
        self._owner: ConnectionOwner | None = None
        self._transport: asyncio.Transport | None = None
        self._unwritten: list[bytes] = []  # until flush
        self._finish_due = False
        self._given = 0  # bytes given to write
        self._delivered = 0  # of these, bytes that were reported as delivered
        self._congested = False
        self._reading = False

    # called by the owner

    def attach(self, owner: ConnectionOwner) -> None:
        """Give the connection to the multiplexer that carries it, and start to read."""
        self._owner = owner
        if self.closed:
            owner.local_lost(self)
        else:
            self.resume_reading()

    def write(self, data: bytes) -> None:
        """Queue bytes for the program; `flush` sends them."""
        self._given += len(data)
        self.received += len(data)
        self._unwritten.append(data)

    def flush(self) -> None:
        """Send the written data together, in this iteration of the event loop. Does nothing if nothing is queued."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._unwritten:
            data = self._unwritten[0] if len(self._unwritten) == 1 else b"".join(self._unwritten)
            self._unwritten.clear()
            self._transport.write(data)
            self.report_delivered()
        if self._finish_due and self._transport.can_write_eof():
            self._finish_due = False
            with contextlib.suppress(OSError):  # the program has closed already
                self._transport.write_eof()

    def finish(self) -> None:
        """Send EOF to the program after the bytes written so far."""
        self._finish_due = True
        self.flush()

    def close(self) -> None:
        """Close the connection after the bytes written so far are sent."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Reset the connection, so that the program sees an error and never a regular end."""
        self.closed = True
        if self._transport is None:
            return
        connected = self._transport.get_extra_info("socket")
        if connected is not None and connected.family != getattr(socket, "AF_UNIX", None):
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def pause_reading(self) -> None:
        """Stop reading from the program. Idempotent."""
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the program again. Idempotent."""
        if not self._reading and self._transport is not None and self.half_closed_at is None and not self.closed:
            self._reading = True
            self._transport.resume_reading()

    def report_delivered(self) -> None:
        """Report the bytes sent since the last report to the owner. A very slow reader triggers no callback."""
        if self._transport is None or self._owner is None:
            return
        unsent = self._transport.get_write_buffer_size() if self._congested else 0
        length = self._given - sum(map(len, self._unwritten)) - unsent - self._delivered
        if length > 0:
            self._delivered += length
            self._owner.local_delivered(self, length)

    def socket(self) -> socket.socket | None:
        """Return the socket, only to query its state from the system."""
        if self._transport is None:
            return None
        return cast("socket.socket | None", self._transport.get_extra_info("socket"))

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_HIGH // 4)
        self.peer = _peer(transport)
        self._accepted(self)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - a hint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.sent += nbytes
        if self._owner is not None:
            self._owner.local_data(self, bytes(memoryview(self._buffer)[:nbytes]))

    def eof_received(self) -> bool:
        self.half_closed_at = self._clock()
        self._reading = False
        if self._owner is not None:
            self._owner.local_eof(self)
        return True  # the other direction stays open

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False
        self.report_delivered()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason makes no difference
        self.closed = True
        self._transport = None
        self._unwritten.clear()
        if self._owner is not None:
            self._owner.local_lost(self)


def _peer(transport: asyncio.BaseTransport) -> str:
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "unix"
