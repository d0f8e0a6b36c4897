"""Sleep and changes of network, from clocks and addresses that the test passes in."""

from __future__ import annotations

from aws_runas.tunnels.wakeup import WakeupDetector


def test_gap_in_the_clock_is_a_sleep_and_a_busy_machine_is_none() -> None:
    detector = WakeupDetector(100.0, "10.0.0.1")
    assert not detector.woke_up(101.0)
    assert not detector.woke_up(106.9)
    assert detector.woke_up(113.0)
    assert not detector.woke_up(114.0)


def test_address_is_checked_every_five_seconds() -> None:
    detector = WakeupDetector(100.0, "10.0.0.1")
    assert not detector.address_is_due(104.0)
    assert detector.address_is_due(105.0)
    detector.address_changed("10.0.0.1", 105.0)
    assert not detector.address_is_due(109.0)


def test_other_address_is_a_change_and_a_missing_network_is_none_yet() -> None:
    detector = WakeupDetector(100.0, "10.0.0.1")
    assert not detector.address_changed("10.0.0.1", 105.0)
    assert not detector.address_changed("", 110.0)
    assert not detector.address_changed("10.0.0.1", 115.0)
    assert detector.address_changed("192.168.1.5", 120.0)
    assert not detector.address_changed("192.168.1.5", 125.0)
