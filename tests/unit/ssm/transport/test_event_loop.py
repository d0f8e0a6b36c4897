"""Timers of the event loop: not rounded to milliseconds, and still woken by descriptors and signals."""

from __future__ import annotations

import asyncio
import heapq
import math
import os
import selectors
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from aws_runas.ssm.transport import event_loop
from aws_runas.ssm.transport.event_loop import SteadyDownload, run
from tests.unit.ssm.transport.conftest import Clock, exact


def departures_expected(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    expect = getattr(loop, "rest_until", None)
    if expect is not None:
        expect(loop.time() + seconds)


@pytest.mark.skipif(sys.platform != "linux", reason="only epoll rounds")
@pytest.mark.parametrize("seconds", [0.0002, 0.0046], ids=["sleep", "select"])
def test_timer_of_a_paced_message_is_not_rounded_up_to_a_millisecond(seconds: float) -> None:
    async def shortest() -> float:
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(200 if seconds < 0.001 else 40):
            start = loop.time()
            departures_expected(loop, seconds)
            await asyncio.sleep(seconds)
            waits.append(loop.time() - start)
        return min(waits)

    # epoll_wait ends at whole milliseconds; one good wait of many shows that it was not used.
    rounded = math.ceil(seconds * 1000) / 1000
    assert seconds <= run(shortest()) < rounded


@contextmanager
def readable_pipe(selector: selectors.BaseSelector) -> Iterator[None]:
    reader, writer = os.pipe()
    selector.register(reader, selectors.EVENT_READ)
    os.write(writer, b"data")
    yield
    selector.close()
    os.close(reader)
    os.close(writer)


@exact
def test_descriptors_are_looked_at_once_in_a_few_paced_messages(clock: Clock) -> None:
    selector = event_loop.ExactSelector()
    looked = []
    with readable_pipe(selector):
        for _ in range(9):
            selector.turn_at = clock.now + 0.001
            looked.append(bool(selector.select(0.001)))
        clock.now += 0.001
        looked_without_turn = bool(selector.select(0.001))
    assert looked == [True, False, True, False, True, False, True, False, True]
    assert looked_without_turn
    assert clock.now == pytest.approx(100.010)  # each time slept until the turn, and not beyond


@exact
def test_messages_leave_at_their_times_while_nothing_is_read(clock: Clock) -> None:
    selector = event_loop.ExactSelector()
    left: list[tuple[str, float]] = []
    with readable_pipe(selector):
        for name, when in (("second", 100.002), ("first", 100.001), ("behind the turn", 100.0045)):
            selector.departures.append((when, len(selector.departures), partial(left.append, (name, when))))
        heapq.heapify(selector.departures)
        selector.turn_at = 100.003
        assert selector.select(0.003)
        assert clock.now == pytest.approx(100.003)
        assert [name for name, _ in left] == ["first", "second"]
        assert selector.select(0.003)
        assert clock.now == pytest.approx(100.0045)
    assert [name for name, _ in left] == ["first", "second", "behind the turn"]


@exact
def test_rest_of_a_download_reads_nothing_and_delays_no_timer(clock: Clock) -> None:
    selector = event_loop.ExactSelector()
    left: list[float] = []
    with readable_pipe(selector):
        selector._looked_at = 99.999
        selector.read_at = 100.005
        assert selector.select(0.0005) == []
        assert clock.now == pytest.approx(100.0005)
        selector.departures.append((100.0035, 0, lambda: left.append(clock.now)))
        assert selector.select(1)
    assert left == [pytest.approx(100.0035)]
    assert clock.now == pytest.approx(100.005)


def looks_while_messages_leave(clock: Clock, *, look_until: float, one_by_one: bool) -> int:
    """Return how often the descriptors are polled in 5.5 ms, with or without a message to send every 1.1 ms."""
    selector = event_loop.ExactSelector()
    looks = 0
    with readable_pipe(selector):
        selector._looked_at, selector.look_until = clock.now, look_until
        end = clock.now + 0.0055
        if one_by_one:
            selector.departures += [(clock.now + number * 0.0011, number, lambda: None) for number in range(1, 5)]
        selector.turn_at = end
        while clock.now < end:
            looks += bool(selector.select(end - clock.now))
    return looks


@exact
@pytest.mark.parametrize("one_by_one", [True, False], ids=["by the loop", "by the kernel"])
def test_expected_answer_is_read_while_messages_leave(clock: Clock, one_by_one: bool) -> None:
    assert looks_while_messages_leave(clock, look_until=0.0, one_by_one=one_by_one) == 1  # with the turn
    assert looks_while_messages_leave(clock, look_until=clock.now + 0.05, one_by_one=one_by_one) == 2


def rests(gaps: list[float], data_sent_at: float = 0.0) -> list[float]:
    download, now, found = SteadyDownload(), 10.0, []
    for gap in gaps:
        now += gap
        download.messages_received(1, now)
        found.append(download.rest(now, data_sent_at))
    return found


def test_rest_grows_with_the_download_up_to_its_limit() -> None:
    found = rests([0.0015] * 200)
    assert found[0] == 0
    assert found[20] == pytest.approx(0.0015)  # a twentieth of 30 ms
    assert found[-1] == event_loop.READ_INTERVAL


def test_pause_begins_a_new_download() -> None:
    found = rests([0.0015] * 100 + [0.02] + [0.0015] * 3)
    assert found[99] > 0.004
    assert found[100] == 0


def test_late_read_does_not_end_a_download() -> None:
    late = event_loop.READ_INTERVAL + 0.011
    assert rests([0.0015] * 200 + [late])[-1] == event_loop.READ_INTERVAL


def test_answer_to_data_just_sent_is_read_at_once() -> None:
    assert rests([0.0015] * 100, data_sent_at=10.15)[-1] == pytest.approx(0)


def test_fast_download_is_read_without_rest() -> None:
    assert rests([0.0003] * 1000)[-1] == 0


@exact
def test_late_message_leaves_though_the_loop_has_work(clock: Clock) -> None:
    selector = event_loop.ExactSelector()
    left: list[float] = []
    with readable_pipe(selector):
        selector.departures.append((99.9, 0, lambda: left.append(clock.now)))
        assert selector.select(0)
    assert left == [100.0]


@exact
def test_message_of_the_loop_leaves_between_two_turns() -> None:
    async def leave() -> list[str]:
        loop = asyncio.get_running_loop()
        left: list[str] = []
        assert isinstance(loop, event_loop.ExactEventLoop)
        begin = loop.time()
        loop.call_exactly(begin + 0.001, lambda: left.append("message"))
        loop.rest_until(begin + 0.002)
        await asyncio.sleep(0.002)
        left.append("turn")
        return left

    assert run(leave()) == ["message", "turn"]


def test_descriptor_ends_a_short_wait() -> None:
    async def read_while_waiting() -> tuple[bytes, bool]:
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        received: asyncio.Future[bytes] = loop.create_future()
        timer = loop.call_later(0.04, loop.stop)
        loop.add_reader(reader, lambda: received.set_result(os.read(reader, 10)))
        os.write(writer, b"data")
        data = await received
        was_early = loop.time() < timer.when()
        timer.cancel()
        loop.remove_reader(reader)
        os.close(reader)
        os.close(writer)
        return data, was_early

    assert run(read_while_waiting()) == (b"data", True)


def test_call_from_a_thread_is_run() -> None:
    async def wait_for_thread() -> str:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str] = loop.create_future()
        await asyncio.to_thread(loop.call_soon_threadsafe, done.set_result, "called")
        return await done

    assert run(wait_for_thread()) == "called"
