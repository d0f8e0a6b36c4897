"""The packet threshold and what raises it."""

from __future__ import annotations

from aws_runas.ssm.core.recovery.reordering import (
    DECAY_AFTER,
    MAX_PACKET_THRESHOLD,
    PACKET_THRESHOLD,
    WATCHED_RETRANSMISSIONS,
    Reordering,
)


def test_three_later_acknowledgements_make_a_message_lost() -> None:
    reordering = Reordering()
    assert [reordering.acknowledged(sequence) for sequence in (2, 3, 4)] == [-1, 0, 1]


def test_acknowledgement_out_of_order_tells_no_loss_and_raises_the_threshold() -> None:
    reordering = Reordering()
    reordering.acknowledged(10)
    assert reordering.acknowledged(5) is None
    assert reordering.packet_threshold == 2 * (10 - 5)
    assert reordering.largest_acknowledged == 10
    assert reordering.acknowledged(30) == 20


def test_small_reordering_does_not_lower_a_high_threshold() -> None:
    reordering = Reordering()
    reordering.acknowledged(100)
    reordering.acknowledged(50)
    reordering.acknowledged(99)
    assert reordering.packet_threshold == 100


def test_threshold_is_bounded() -> None:
    reordering = Reordering()
    reordering.acknowledged(1_000_000)
    reordering.acknowledged(1)
    assert reordering.packet_threshold == MAX_PACKET_THRESHOLD


def test_threshold_is_halved_after_a_long_time_in_order_but_not_below_the_first() -> None:
    reordering = Reordering()
    reordering.acknowledged(10)
    reordering.acknowledged(6)
    assert reordering.packet_threshold == 8
    thresholds = []
    for sequence in range(11, 11 + 3 * 8 * DECAY_AFTER):
        reordering.acknowledged(sequence)
        if reordering.packet_threshold not in thresholds:
            thresholds.append(reordering.packet_threshold)
    assert thresholds == [8, 4, PACKET_THRESHOLD]


def test_second_acknowledgement_of_a_retransmission_proves_it_spurious_once() -> None:
    reordering = Reordering()
    reordering.acknowledged(40)
    reordering.watch(7, rtt=0.25, first_sequence=20)
    assert reordering.acknowledged_again(7) == 0.25
    assert reordering.spurious_retransmissions == 1
    assert reordering.packet_threshold == 40 - 20 + 1
    assert reordering.acknowledged_again(7) is None
    assert reordering.spurious_retransmissions == 1


def test_second_acknowledgement_of_a_message_sent_once_changes_nothing() -> None:
    reordering = Reordering()
    assert reordering.acknowledged_again(7) is None
    assert (reordering.spurious_retransmissions, reordering.packet_threshold) == (0, PACKET_THRESHOLD)


def test_number_of_watched_retransmissions_is_bounded_and_the_oldest_goes_first() -> None:
    reordering = Reordering()
    for number in range(WATCHED_RETRANSMISSIONS + 1):
        reordering.watch(number, rtt=0.1, first_sequence=0)
    assert reordering.acknowledged_again(0) is None
    assert reordering.acknowledged_again(1) == 0.1
