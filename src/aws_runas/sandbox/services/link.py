"""One direction of the relay between client and agent, with its faults."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from random import Random

from aws_runas.sandbox.options import Faults

RATE_WINDOW = 2.0  # seconds over which the service measures a rate ("for a couple of seconds", spec 13.2)
REORDER_DELAY = 0.03  # seconds; maximum delay of a reordered frame

Frames = list[bytes | str]


class Link:
    """Link that delivers frames late, twice or never, according to the faults.

    Args:
        faults: loss, duplicate, reorder and delay.
        random: seeded from the faults.
        deliver: called with the frames that arrive.
    """

    def __init__(self, faults: Faults, random: Random, deliver: Callable[[Frames], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._faults = faults
        self._random = random
        self._deliver = deliver
        self._clean = not (faults.loss or faults.duplicate or faults.reorder or faults.delay)
        self._waiting: list[tuple[float, int, bytes | str]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def carry(self, frames: Frames) -> None:
        """Accept frames at the sending end."""
        if self._clean:
            self._deliver(frames)
            return
        faults, random, now = self._faults, self._random, self._loop.time()
        for frame in frames:
            copies = 1 + (random.random() < faults.duplicate)
            if random.random() < faults.loss:
                copies -= 1
            for _ in range(copies):
                late = REORDER_DELAY * random.random() if random.random() < faults.reorder else 0.0
                self._count += 1
                heapq.heappush(self._waiting, (now + faults.delay + late, self._count, frame))
        self._arrive()

    def _arrive(self) -> None:
        now = self._loop.time()
        due: Frames = []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(heapq.heappop(self._waiting)[2])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._arrive)
        if due:
            self._deliver(due)

    def forget(self) -> None:
        """Drop the frames in transit, as when a connection ends."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class RateMeter:
    """Meter for the rate of frames over `RATE_WINDOW`.

    Args:
        limit: frames per second that the service accepts.
    """

    def __init__(self, limit: float) -> None:
        self._max_frames = limit * RATE_WINDOW
        self._reads: deque[tuple[float, int]] = deque()
        self._sum = 0

    def exceeded(self, frames: int, now: float) -> bool:
        """Count frames, and return True if the rate of the last two seconds is above the limit.

        Args:
            now: monotonic seconds.
        """
        self._reads.append((now, frames))
        self._sum += frames
        while self._reads and self._reads[0][0] <= now - RATE_WINDOW:
            self._sum -= self._reads.popleft()[1]
        return self._sum > self._max_frames
