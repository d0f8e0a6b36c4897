"""Probe timeouts of a silent peer."""

from __future__ import annotations

from aws_runas.ssm.core.recovery.probing import PTO_PROBES, SILENT_AFTER, Probing

RTO = 0.2


def test_probes_grow_with_each_timeout_and_then_take_all_in_flight() -> None:
    probing = Probing()
    counts = []
    for _ in range(len(PTO_PROBES) + 2):
        counts.append(probing.probes(1000))
        probing.timed_out()
    assert counts == [*PTO_PROBES, 1000, 1000]


def test_next_probe_timeout_is_one_rto_after_the_probe() -> None:
    probing = Probing()
    probing.timed_out()
    probing.probed(10.0, RTO)
    assert probing.earliest == 10.0 + RTO
    assert not probing.may_probe_with_new(10.0 + RTO / 2)
    assert probing.may_probe_with_new(10.0 + RTO)


def test_answered_probe_gives_the_rest_one_rto_and_starts_counting_from_the_first() -> None:
    probing = Probing()
    probing.timed_out()
    probing.probed(10.0, 5.0)
    probing.acknowledged(11.0, RTO)
    assert probing.earliest == 11.0 + RTO
    assert probing.probes(1000) == PTO_PROBES[0]


def test_acknowledgement_without_a_probe_before_it_sets_no_wait() -> None:
    probing = Probing()
    probing.acknowledged(11.0, RTO)
    assert probing.earliest < 0


def test_peer_is_silent_when_nothing_was_acknowledged_lately() -> None:
    probing = Probing()
    assert probing.is_silent(10.0)
    probing.acknowledged(10.0, RTO)
    assert not probing.is_silent(10.0 + SILENT_AFTER / 2)
    assert probing.is_silent(10.0 + 2 * SILENT_AFTER)


def test_after_an_answered_probe_what_is_overdue_is_lost_once() -> None:
    probing = Probing()
    probing.timed_out()
    probing.acknowledged(10.0, RTO)
    assert not probing.is_silent(20.0)
    assert probing.is_silent(20.0)


def test_late_acknowledgement_in_time_makes_the_peer_silent_again() -> None:
    probing = Probing()
    probing.timed_out()
    probing.acknowledged(10.0, RTO)
    probing.acknowledged_in_time()
    assert probing.is_silent(20.0)


def test_reset_forgets_timeouts_and_waits() -> None:
    probing = Probing()
    probing.timed_out()
    probing.probed(10.0, RTO)
    probing.reset()
    assert probing.pto_count == 0
    assert probing.may_probe_with_new(0.0)
