"""Timers of the event loop: not rounded to milliseconds, and still woken by descriptors and signals."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from aws_runas.ssm.transport.event_loop import run


@pytest.mark.skipif(sys.platform != "linux", reason="only epoll rounds")
def test_short_timer_is_not_rounded_up_to_a_millisecond() -> None:
    async def shortest() -> float:
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(200):
            start = loop.time()
            await asyncio.sleep(0.0002)
            waits.append(loop.time() - start)
        return min(waits)

    # epoll_wait(1) cannot return earlier than after a millisecond; one good wait of 200 shows that it was not used.
    assert 0.0002 <= run(shortest()) < 0.001


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
