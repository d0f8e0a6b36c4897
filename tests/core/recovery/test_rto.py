"""Round trip estimates and the retransmission timeout."""

from __future__ import annotations

import pytest

from aws_runas.ssm.core.recovery.rto import INITIAL_RTO, MAX_RTO, MIN_RTO, MIN_RTT_WINDOW, RttEstimator


def test_rto_before_the_first_sample_is_the_initial_one() -> None:
    assert RttEstimator().rto() == INITIAL_RTO


def test_first_sample_sets_srtt_and_half_of_it_as_rttvar() -> None:
    estimator = RttEstimator()
    estimator.sample(0.1, 0.0)
    assert (estimator.srtt, estimator.rttvar) == (0.1, 0.05)
    assert estimator.rto() == pytest.approx(0.1 + 4 * 0.05)


def test_later_samples_are_weighted_by_an_eighth_and_a_quarter() -> None:
    estimator = RttEstimator()
    estimator.sample(0.1, 0.0)
    estimator.sample(0.2, 1.0)
    assert estimator.rttvar == pytest.approx(0.75 * 0.05 + 0.25 * 0.1)
    assert estimator.srtt == pytest.approx(0.875 * 0.1 + 0.125 * 0.2)


def test_rto_of_a_short_steady_path_has_a_floor() -> None:
    estimator = RttEstimator()
    for second in range(50):
        estimator.sample(0.0001, float(second))
    assert estimator.rto() == MIN_RTO


def test_each_retransmission_doubles_the_rto_up_to_the_maximum() -> None:
    estimator = RttEstimator()
    assert [estimator.rto(count) for count in (1, 2, 3)] == [INITIAL_RTO, 2 * INITIAL_RTO, 4 * INITIAL_RTO]
    assert estimator.rto(10_000) == MAX_RTO


def test_backoff_doubles_the_rto_until_it_is_reset() -> None:
    estimator = RttEstimator()
    estimator.back_off()
    assert estimator.rto() == 2 * INITIAL_RTO
    for _ in range(100):
        estimator.back_off()
    assert estimator.rto() == MAX_RTO
    estimator.reset_backoff()
    assert estimator.rto() == INITIAL_RTO


def test_a_new_sample_keeps_the_backoff() -> None:
    estimator = RttEstimator()
    estimator.back_off()
    estimator.sample(0.1, 0.0)
    assert estimator.rto() == pytest.approx(2 * 0.3)


@pytest.mark.parametrize(("measured", "taken"), [(8 * 3600.0, MAX_RTO), (-1.0, 0.0)])
def test_sample_that_cannot_be_a_round_trip_is_bounded(measured: float, taken: float) -> None:
    estimator = RttEstimator()
    estimator.sample(measured, 0.0)
    assert estimator.srtt == taken


def test_min_rtt_expires_after_its_window() -> None:
    estimator = RttEstimator()
    estimator.sample(0.001, 0.0)
    estimator.sample(0.1, MIN_RTT_WINDOW / 2)
    assert estimator.min_rtt == 0.001
    for second in range(2 * int(MIN_RTT_WINDOW)):
        estimator.sample(0.1, MIN_RTT_WINDOW / 2 + second)
    assert estimator.min_rtt == 0.1
