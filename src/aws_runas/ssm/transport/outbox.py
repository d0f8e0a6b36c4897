"""The send queue between a local reader and a session, with back-pressure to the reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

HIGH_WATER: Final = 64 * 1024  # bytes that may wait for the channel before the reader must stop


class SendsData(Protocol):
    """The part of handler.DataChannel that an outbox needs."""

    def send_capacity(self) -> int:
        """Return how many bytes ``write`` accepts now; 0 means: wait for ``writable``."""
        ...

    def write(self, data: bytes) -> None:
        """Send stream data; at most ``send_capacity`` bytes."""
        ...


class Outbox:
    """Queues bytes, in order, until the channel accepts them.

    Call ``flush`` from SessionHandler.writable. Only ``emptied`` waits; no other method waits or blocks.

    Args:
        channel: accepts the bytes.
        congested: called with True when ``high_water`` bytes wait, with False when at most half of that is left. The
            reader must stop and continue accordingly.
        refill: called with the number of bytes that the channel accepts when the queue is empty; returns more data,
            possibly more than requested, or b"". For a source that decides late what to send next (a multiplexer).
        high_water: bytes at which the queue is congested.
    """

    def __init__(
        self,
        channel: SendsData,
        *,
        congested: Callable[[bool], None] | None = None,
        refill: Callable[[int], bytes] | None = None,
        high_water: int = HIGH_WATER,
    ) -> None:
        self._channel = channel
        self._congested = congested
        self._refill = refill
        self._high_water = high_water
        self._queue: deque[bytes] = deque()
        self._is_congested = False
        self._waiters: list[asyncio.Future[None]] = []
        self.queued = 0
        """Bytes that wait for the channel."""

    def put(self, data: bytes) -> None:
        """Queue data and send what the channel accepts."""
        if data:
            self._queue.append(data)
            self.queued += len(data)
        self.flush()

    def flush(self) -> bool:
        """Send as much as the channel accepts.

        Returns:
            True if nothing is left to send, in the queue or from ``refill``.
        """
        is_done = True
        while self._queue or self._refill is not None:
            room = self._channel.send_capacity()
            if room <= 0:
                is_done = False
                break
            if not self._queue and not self._take_refill(room):
                break
            data = self._queue.popleft()
            if len(data) > room:
                self._queue.appendleft(data[room:])
                data = data[:room]
            self.queued -= len(data)
            self._channel.write(data)
        self._update()
        return is_done

    def clear(self) -> None:
        """Drop all unsent data."""
        self._queue.clear()
        self.queued = 0
        self._update()

    async def emptied(self) -> None:
        """Wait until the channel has accepted everything, or ``clear`` was called."""
        if self._queue:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _take_refill(self, room: int) -> bool:
        data = self._refill(room) if self._refill is not None else b""
        if data:
            self._queue.append(data)
            self.queued += len(data)
        return bool(data)

    def _update(self) -> None:
        """Notify the reader and the waiters of the state of the queue."""
        if not self._queue and self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        if self._congested is None:
            return
        if not self._is_congested and self.queued >= self._high_water:
            self._is_congested = True
            self._congested(True)
        elif self._is_congested and self.queued <= self._high_water // 2:
            self._is_congested = False
            self._congested(False)
