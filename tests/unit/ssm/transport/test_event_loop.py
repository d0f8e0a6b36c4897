"""Timers of the event loop: not rounded to milliseconds, and still woken by descriptors and signals."""

from __future__ import annotations

import asyncio
import math
import os
import selectors
import sys

import pytest

from aws_runas.ssm.transport import event_loop
from aws_runas.ssm.transport.event_loop import run


def departures_expected(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    expect = getattr(loop, "expect_departure", None)
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


class Clock:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.skipif(sys.platform != "linux", reason="the exact event loop is that of Linux")
def test_descriptors_are_looked_at_once_in_a_few_paced_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(event_loop, "time", clock)
    selector = event_loop.ExactSelector()
    reader, writer = os.pipe()
    selector.register(reader, selectors.EVENT_READ)
    os.write(writer, b"data")
    looked = []
    for _ in range(10):
        selector.departure = clock.now + 0.001
        looked.append(bool(selector.select(0.001)))
    clock.now += 0.001
    looked_without_departure = bool(selector.select(0.001))
    selector.close()
    os.close(reader)
    os.close(writer)
    assert looked == [True, False, False, True, False, False, True, False, False, True]
    assert looked_without_departure
    assert clock.now == pytest.approx(100.011)  # each time slept until the departure, and not beyond


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
