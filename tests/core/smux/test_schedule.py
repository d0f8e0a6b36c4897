"""Turns among streams."""

from __future__ import annotations

from aws_runas.ssm.core.smux.schedule import Schedule
from aws_runas.ssm.core.smux.stream import Stream


def busy(stream_id: int) -> Stream:
    stream = Stream(stream_id)
    stream.queue(b"much")
    return stream


def turns(schedule: Schedule, count: int) -> list[int]:
    order = []
    for _ in range(count):
        stream = schedule.next_stream()
        assert stream is not None
        order.append(stream.stream_id)
        schedule.done(stream)
    return order


def test_nobody_has_a_turn_when_there_is_nothing_to_send() -> None:
    schedule = Schedule()
    assert not schedule
    assert schedule.next_stream() is None
    schedule.add(Stream(1))
    assert not schedule
    assert schedule.next_stream() is None


def test_busy_streams_take_turns() -> None:
    schedule = Schedule()
    for stream_id in (1, 3, 5):
        schedule.add(busy(stream_id))
    assert schedule
    assert turns(schedule, 7) == [1, 3, 5, 1, 3, 5, 1]


def test_idle_stream_goes_ahead_of_busy_ones_once() -> None:
    schedule = Schedule()
    for stream_id in (1, 3):
        schedule.add(busy(stream_id))
    turns(schedule, 2)
    schedule.add(busy(5))
    assert turns(schedule, 6) == [5, 1, 3, 5, 1, 3]


def test_stream_that_is_added_twice_has_one_place() -> None:
    schedule = Schedule()
    first = busy(1)
    schedule.add(first)
    schedule.add(first)
    schedule.add(busy(3))
    assert turns(schedule, 4) == [1, 3, 1, 3]


def test_stream_that_runs_dry_is_not_fresh_before_the_round_ends() -> None:
    schedule = Schedule()
    quick = busy(5)
    for stream in (busy(1), busy(3), quick):
        schedule.add(stream)
    assert turns(schedule, 3) == [1, 3, 5]
    quick.discard_queue()
    quick.queue(b"little")
    schedule.add(quick)  # it has a place already
    assert turns(schedule, 3) == [1, 3, 5]


def test_stream_without_room_is_next_again() -> None:
    schedule = Schedule()
    schedule.add(busy(1))
    schedule.add(busy(3))
    stream = schedule.next_stream()
    assert stream is not None
    schedule.put_back(stream)
    assert turns(schedule, 2) == [1, 3]


def test_removed_stream_has_no_turn_and_may_come_back() -> None:
    schedule = Schedule()
    first, second = busy(1), busy(3)
    schedule.add(first)
    schedule.add(second)
    turns(schedule, 1)
    schedule.remove(first)
    schedule.remove(first)
    assert turns(schedule, 2) == [3, 3]
    schedule.add(first)
    assert turns(schedule, 2) == [1, 3]
