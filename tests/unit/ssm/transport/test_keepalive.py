"""Who is still there: pings, probes and a machine that slept, on a clock that the tests move."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import pytest

from aws_runas.ssm.transport.keepalive import KeepAlive


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """As much of an event loop as a keep-alive wants; its time moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept = 0.0
        self._timers: list[tuple[float, int, Handle, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        handle = Handle()
        heapq.heappush(self._timers, (self.now + delay, len(self._timers) + id(handle), handle, callback))
        return handle

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, handle, callback = heapq.heappop(self._timers)
            if not handle.cancelled:
                callback()
        self.now = end


class Peer:
    """A connection; `answers` says after how many pings the other side falls silent."""

    def __init__(self, clock: Clock, answers: int) -> None:
        self.clock = clock
        self.answers = answers
        self.pings: list[float] = []
        self.error: Exception | None = None
        self.is_listening = True
        self.keepalive = KeepAlive(self, clock, 30.0, 20.0)  # type: ignore[arg-type]
        self.keepalive.start()

    def ping(self) -> bool:
        self.pings.append(self.clock.now - 1000)
        if len(self.pings) <= self.answers:
            self.clock.call_later(0.05, self.keepalive.heard)
        return True

    def abort(self, error: Exception | None = None) -> None:
        self.error = error
        self.keepalive.stop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("aws_runas.ssm.transport.keepalive.time.time", lambda: made.now + made.slept)
    return made


def test_a_ping_goes_out_every_thirty_seconds_while_it_is_answered(clock: Clock) -> None:
    peer = Peer(clock, answers=100)
    clock.run(125)
    assert peer.pings == [30, 60, 90, 120]
    assert peer.error is None


def test_a_missing_answer_is_a_dead_peer(clock: Clock) -> None:
    peer = Peer(clock, answers=1)
    clock.run(79)
    assert peer.error is None
    clock.run(2)
    assert str(peer.error) == "no answer for 50 s"
    clock.run(100)
    assert peer.pings == [30, 60]


def test_any_byte_counts_as_an_answer(clock: Clock) -> None:
    peer = Peer(clock, answers=0)
    clock.run(45)
    peer.keepalive.heard()
    clock.run(10)
    assert peer.error is None


def test_a_probe_judges_at_its_own_time(clock: Clock) -> None:
    peer = Peer(clock, answers=0)
    peer.keepalive.heard()
    clock.run(3)
    peer.keepalive.probe(5)
    clock.run(4.9)
    assert peer.error is None
    clock.run(0.2)
    assert peer.error is not None


def test_while_nothing_is_read_nobody_is_judged(clock: Clock) -> None:
    peer = Peer(clock, answers=0)
    clock.run(35)
    peer.is_listening = False
    clock.run(300)
    assert peer.error is None
    assert peer.pings == [30]


def test_a_machine_that_slept_asks_at_once(clock: Clock) -> None:
    peer = Peer(clock, answers=0)
    clock.run(7)
    clock.slept = 3600
    clock.run(5)
    assert peer.pings == [10]
    clock.run(5)
    assert peer.error is not None
