"""When a session counts as running at its pace. Time is handed in."""

from __future__ import annotations

from aws_runas.ssm.forward.multiplexer import Pace


def test_more_to_send_than_leaves_is_busy_once_it_lasts() -> None:
    pace = Pace()
    pace.blocked(10.0)
    pace.blocked(10.02)
    assert not pace.busy(10.02)
    assert pace.busy(10.04)
    pace.unblocked()
    assert not pace.busy(10.05)


def test_download_at_an_agents_pace_is_busy_and_ends_with_it() -> None:
    pace = Pace()
    for step in range(200):
        pace.received(1024, 10.0 + step / 650)
    assert pace.busy(10.31)
    assert not pace.busy(10.8)


def test_keystrokes_are_not_busy() -> None:
    pace = Pace()
    for step in range(200):
        pace.received(20, 10.0 + step / 100)
        assert not pace.busy(10.0 + step / 100)


def test_slow_reader_is_busy() -> None:
    pace = Pace()
    pace.held_up = True
    assert pace.busy(10.0)
