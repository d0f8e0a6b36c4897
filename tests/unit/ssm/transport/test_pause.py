"""When a pause is taken for a peer that is gone."""

from __future__ import annotations

import pytest

from aws_runas.ssm.transport.pause import PauseWatch
from tests.unit.ssm.transport.test_keepalive import Clock


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def watch_and_clock(asked: list[str]) -> tuple[PauseWatch, Clock]:
    clock = Clock()
    watch = PauseWatch(clock, lambda: asked.append("resume"), lambda: asked.append("ask"))  # type: ignore[arg-type]
    return watch, clock


def test_a_short_pause_is_nothing(watch_and_clock: tuple[PauseWatch, Clock], asked: list[str]) -> None:
    watch, clock = watch_and_clock
    watch.begin()
    clock.run(40)
    watch.end()
    clock.run(100)
    assert asked == []


def test_a_message_makes_the_pause_begin_anew(watch_and_clock: tuple[PauseWatch, Clock], asked: list[str]) -> None:
    watch, clock = watch_and_clock
    watch.begin()
    clock.run(40)
    watch.heard()
    clock.run(40)
    assert asked == []
    clock.run(6)
    assert asked == ["resume"]


def test_after_a_resume_in_vain_the_service_is_asked(
    watch_and_clock: tuple[PauseWatch, Clock], asked: list[str]
) -> None:
    watch, clock = watch_and_clock
    for _ in range(3):
        watch.begin()
        clock.run(50)
        watch.end()  # the new connection; then the service pauses again
    assert asked == ["resume", "ask", "ask"]
    watch.alive()
    watch.begin()
    clock.run(50)
    assert asked[3:] == ["resume"]
