"""The clock of event loops and selectors under test."""

from __future__ import annotations

import sys

import pytest

from aws_runas.ssm.transport import event_loop

exact = pytest.mark.skipif(sys.platform != "linux", reason="the exact event loop is that of Linux")


class Clock:
    """Passes when somebody sleeps, or sets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(event_loop, "time", clock)
    return clock
