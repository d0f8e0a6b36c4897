"""Messages that are not acknowledged: in flight or lost."""

from __future__ import annotations

import pytest

from aws_runas.ssm.core.recovery.flight import Flight

START = 10.0
RTT = 0.1


def flight_of(count: int) -> Flight:
    """Messages 0 to count - 1 in flight, sent one millisecond apart; the frame is the number."""
    flight = Flight()
    for number in range(count):
        flight.add(number, b"%d" % number, 100, START + number / 1000)
    return flight


def resent(flight: Flight, now: float) -> list[bytes]:
    return [flight.resend(now) for _ in range(flight.resends_waiting())]


def test_acknowledgement_gives_sequence_and_round_trip_and_frees_the_bytes() -> None:
    flight = flight_of(2)
    acknowledged = flight.acknowledge(1, START + 0.001 + RTT)
    assert acknowledged is not None
    assert acknowledged[0] == 2
    assert acknowledged[1] == pytest.approx(RTT)
    assert (flight.count, flight.bytes) == (1, 100)


def test_second_acknowledgement_of_a_message_sent_once_is_not_waited_for() -> None:
    flight = flight_of(1)
    flight.acknowledge(0, START + RTT)
    assert flight.acknowledge(0, START + RTT) is None
    assert flight.spurious_retransmissions == 0


def test_third_later_acknowledgement_makes_a_message_lost_without_a_timer() -> None:
    flight = flight_of(5)
    for number in (1, 2):
        flight.acknowledge(number, START + RTT)
    assert flight.resends_waiting() == 0
    flight.acknowledge(3, START + RTT)
    assert flight.lost_by_threshold == 1
    assert resent(flight, START + RTT) == [b"0"]


def test_acknowledgement_of_a_message_sent_twice_gives_no_round_trip() -> None:
    flight = flight_of(5)
    for number in (1, 2, 3):
        flight.acknowledge(number, START + RTT)
    resent(flight, START + RTT)
    assert flight.acknowledge(0, START + 2 * RTT) == (0, None)
    assert flight.acknowledge(0, START + 3 * RTT) is None
    assert flight.spurious_retransmissions == 1


def test_silent_peer_is_probed_with_two_then_eight() -> None:
    flight = flight_of(20)
    now, counts = START, []
    for _ in range(2):
        timer = flight.next_timer(now, has_new=False)
        assert timer is not None
        now = timer + 0.02  # all 20 are overdue by then
        flight.handle_timer(now)
        counts.append(len(resent(flight, now)))
    assert counts == [2, 8]
    assert flight.lost_by_timeout == 10


def test_timer_that_fires_early_changes_nothing() -> None:
    flight = flight_of(3)
    timer = flight.next_timer(START, has_new=False)
    assert timer is not None
    flight.handle_timer(timer - 0.001)
    assert flight.resends_waiting() == 0
    flight.handle_timer(timer)
    assert flight.resends_waiting() == 1


def test_nothing_in_flight_needs_no_timer() -> None:
    flight = flight_of(1)
    flight.acknowledge(0, START + RTT)
    assert flight.next_timer(START + RTT, has_new=True) is None


def test_new_connection_resends_everything_lowest_first() -> None:
    flight = flight_of(6)
    for number in (2, 3, 4):
        flight.acknowledge(number, START + RTT)
    flight.resend(START + RTT)  # 0 is in flight again, behind 5
    flight.connection_opened()
    assert resent(flight, START + 1) == [b"0", b"1", b"5"]


def test_pause_leaves_one_probe_for_each_timeout_until_the_peer_is_there() -> None:
    flight = flight_of(6)
    flight.pause(START + 0.01)
    assert flight.resends_waiting() == 0
    timer = flight.next_timer(START + 0.01, has_new=False)
    assert timer is not None
    flight.handle_timer(timer + 1)
    assert resent(flight, timer + 1) == [b"0"]
    flight.resume()
    assert not flight.paused


def test_pause_with_nothing_in_flight_is_probed_with_a_new_message() -> None:
    flight = Flight()
    flight.pause(START)
    timer = flight.next_timer(START, has_new=True)
    assert timer is not None
    assert not flight.may_probe_with_new(timer - 0.001)
    assert flight.may_probe_with_new(timer)
    flight.probed(timer)
    assert not flight.may_probe_with_new(timer)


def test_distance_is_counted_from_the_lowest_unacknowledged() -> None:
    flight = flight_of(5)
    assert flight.distance(5) == 5
    flight.acknowledge(1, START + RTT)
    assert flight.distance(5) == 5
    flight.acknowledge(0, START + RTT)
    assert flight.distance(5) == 3
