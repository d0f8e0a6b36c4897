"""One direction of the relay between client and agent, with its faults."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from random import Random

from aws_runas.sandbox.options import Faults

RATE_WINDOW = 2.0  # seconds over which the service judges a rate ("for a couple of seconds", spec 13.2)
LATE = 0.03  # seconds by which a reordered frame is later than the frames around it

Frames = list[bytes | str]


class Link:
    """Deliver frames, late, twice or never, as the faults say.

    Args:
        deliver: takes what arrives.
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
        """Take frames in at this end."""
        if self._clean:
            self._deliver(frames)
            return
        faults, random, now = self._faults, self._random, self._loop.time()
        for frame in frames:
            copies = 1 + (random.random() < faults.duplicate)
            if random.random() < faults.loss:
                copies -= 1
            for _ in range(copies):
                late = LATE * random.random() if random.random() < faults.reorder else 0.0
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
        """What is under way is lost, as when a connection ends."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class RateMeter:
    """Tells when more frames came than the service bears."""

    def __init__(self, limit: float) -> None:
        self._most = limit * RATE_WINDOW
        self._reads: deque[tuple[float, int]] = deque()
        self._sum = 0

    def exceeded(self, frames: int, now: float) -> bool:
        """Count frames, and judge the last two seconds."""
        self._reads.append((now, frames))
        self._sum += frames
        while self._reads and self._reads[0][0] <= now - RATE_WINDOW:
            self._sum -= self._reads.popleft()[1]
        return self._sum > self._most
