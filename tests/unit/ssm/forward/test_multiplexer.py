"""When a session counts as saturated."""

from __future__ import annotations

from aws_runas.ssm.forward.multiplexer import Saturation


def test_session_with_more_to_send_than_the_channel_takes_is_saturated_after_a_while() -> None:
    saturation = Saturation()
    saturation.send_blocked(10.0)
    saturation.send_blocked(10.02)
    assert not saturation.saturated(10.02)
    assert saturation.saturated(10.04)
    saturation.send_unblocked()
    assert not saturation.saturated(10.05)


def test_session_is_saturated_while_a_download_runs_at_the_speed_of_an_agent() -> None:
    saturation = Saturation()
    for step in range(200):
        saturation.received(1024, 10.0 + step / 650)
    assert saturation.saturated(10.31)
    assert not saturation.saturated(10.8)


def test_keystrokes_do_not_saturate_a_session() -> None:
    saturation = Saturation()
    for step in range(200):
        saturation.received(20, 10.0 + step / 100)
        assert not saturation.saturated(10.0 + step / 100)


def test_slow_reader_saturates_a_session() -> None:
    saturation = Saturation()
    saturation.reading_paused = True
    assert saturation.saturated(10.0)
