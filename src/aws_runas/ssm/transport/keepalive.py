"""Is the other side still there? Pings, probes, and a look at the clock of a machine that slept (docs/adr/0202)."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from aws_runas.ssm.transport.owner import PeerSilent

PING_INTERVAL: Final = 30.0  # seconds; NATs drop silent connections after 60 s to 5 min (spec 13.5)
PONG_TIMEOUT: Final = 20.0  # seconds without a single byte after a ping: the peer is dead
TICK: Final = 5.0  # seconds between two looks, at most
SLEPT: Final = 10.0  # seconds that the wall clock may run ahead of the monotonic one before we ask who is still there
AFTER_SLEEP: Final = 5.0  # seconds to answer then


class Pinged(Protocol):
    """What is kept alive."""

    @property
    def is_listening(self) -> bool:
        """Is what arrives looked at?"""
        ...

    def ping(self) -> bool:
        """Send a ping; False where that is not possible."""
        ...

    def abort(self, error: Exception | None = None) -> None:
        """Drop the connection."""
        ...


class KeepAlive:
    """The clockwork of one connection.

    Args:
        interval, timeout: seconds, see PING_INTERVAL and PONG_TIMEOUT.
    """

    def __init__(self, pinged: Pinged, loop: asyncio.AbstractEventLoop, interval: float, timeout: float) -> None:
        self._pinged = pinged
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        self.last_received = self._last_ping = loop.time()
        self._clock_offset = time.time() - loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._judgements: set[asyncio.TimerHandle] = set()
        self._stopped = False

    def start(self) -> None:
        """The connection is open."""
        self._timer = self._loop.call_later(min(self._interval, TICK), self._tick)

    def stop(self) -> None:
        """The connection is gone."""
        self._stopped = True
        for timer in (self._timer, *self._judgements):
            if timer is not None:
                timer.cancel()
        self._judgements.clear()

    def heard(self) -> None:
        """A byte came: that is life, whatever it says."""
        self.last_received = self._loop.time()

    def probe(self, timeout: float) -> None:
        """Ping now, and judge after so many seconds."""
        if self._stopped or not self._pinged.is_listening or not self._pinged.ping():
            return
        asked = self._last_ping = self._loop.time()

        def judge() -> None:
            self._judgements.discard(timer)
            if self.last_received < asked and self._pinged.is_listening:
                self._pinged.abort(PeerSilent(f"no answer for {self._loop.time() - self.last_received:.0f} s"))

        timer = self._loop.call_later(timeout, judge)
        self._judgements.add(timer)

    def _tick(self) -> None:
        now = self._loop.time()
        offset = time.time() - now
        slept = offset - self._clock_offset > SLEPT
        self._clock_offset = offset
        if slept:
            self.probe(min(AFTER_SLEEP, self._timeout))
        elif now - self._last_ping >= self._interval:
            self.probe(self._timeout)
        self.start()
