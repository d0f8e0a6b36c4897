"""TCP connection of an agent to a port of its instance, or of a host behind the instance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast


class Connection(asyncio.Protocol):
    """Connection with its send queue.

    Args:
        received: accepts data, and returns True if it accepts more.
        written: called with the number of bytes written to the socket.
        lost: called once when the other side has closed or broken the connection.
    """

    def __init__(
        self, *, received: Callable[[bytes], bool], written: Callable[[int], None], lost: Callable[[], None]
    ) -> None:
        self._received = received
        self._written = written
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._reading_paused = False
        self._writing_paused = False
        self._finishing = False
        self._aborted = False

    @property
    def connected(self) -> bool:
        """True if there is a socket."""
        return self._transport is not None

    def waiting(self) -> int:
        """Return how many bytes the socket has not accepted."""
        queued = sum(map(len, self._waiting))
        return queued + (self._transport.get_write_buffer_size() if self._transport is not None else 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._aborted:
            self._transport.abort()
            return
        self._flush()

    def data_received(self, data: bytes) -> None:
        if not self._received(data) and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False  # official agents have no half-close: the other direction ends as well

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._flush()
        self._written(0)

    def resume_reading(self) -> None:
        """Resume reading from the socket."""
        if self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send data as soon as the socket accepts it."""
        self._waiting.append(data)
        if self._transport is not None and not self._writing_paused:
            self._flush()

    def finish(self) -> None:
        """Send the waiting data, then close."""
        self._finishing = True
        if self._transport is not None and not self._writing_paused:
            self._flush()

    def abort(self) -> None:
        """Abort the connection at once."""
        self._aborted = True
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        waiting, self._waiting = self._waiting, []
        if waiting:
            data = b"".join(waiting)
            transport.write(data)
            self._written(len(data))
        if self._finishing:
            transport.close()
