"""The send queue: every byte once and in order, and a reader that is told when to stop."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from aws_runas.ssm.transport.outbox import Outbox


class Sink:
    """A channel that accepts as many bytes as the test allows."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.data = b""

    def send_capacity(self) -> int:
        return self.room

    def write(self, data: bytes) -> None:
        assert 0 < len(data) <= self.room
        self.room -= len(data)
        self.data += data


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(0, 40)))
def test_bytes_arrive_once_and_in_order_whatever_the_channel_accepts(pieces: list[bytes], rooms: list[int]) -> None:
    sink = Sink()
    outbox = Outbox(sink)
    for piece in pieces:
        outbox.put(piece)
        if rooms:
            sink.room += rooms.pop()
    for room in [*rooms, sum(map(len, pieces))]:
        sink.room += room
        outbox.flush()
        assert len(sink.data) + outbox.queued == sum(map(len, pieces))
    assert sink.data == b"".join(pieces)
    assert outbox.queued == 0


def test_reader_is_stopped_once_and_started_once() -> None:
    states: list[bool] = []
    sink = Sink()
    outbox = Outbox(sink, congested=states.append, high_water=100)
    outbox.put(b"x" * 99)
    assert states == []
    outbox.put(b"x")
    outbox.put(b"x" * 50)
    assert states == [True]
    sink.room = 99
    outbox.flush()
    assert states == [True]
    sink.room = 1
    outbox.flush()
    assert states == [True, False]


def test_clear_drops_the_queue_and_starts_the_reader() -> None:
    states: list[bool] = []
    sink = Sink()
    outbox = Outbox(sink, congested=states.append, high_water=10)
    outbox.put(b"x" * 20)
    outbox.clear()
    assert states == [True, False]
    sink.room = 100
    assert outbox.flush()
    assert sink.data == b""


def test_refill_is_asked_only_while_the_channel_accepts_more() -> None:
    asked: list[int] = []
    source = [b"abc", b"defgh"]

    def refill(room: int) -> bytes:
        asked.append(room)
        return source.pop(0) if source else b""

    sink = Sink(5)
    outbox = Outbox(sink, refill=refill)
    assert not outbox.flush()
    assert asked == [5, 2]
    assert (sink.data, outbox.queued) == (b"abcde", 3)
    sink.room = 10
    assert outbox.flush()
    assert asked == [5, 2, 7]
    assert sink.data == b"abcdefgh"


def test_flush_says_that_a_full_channel_is_not_done() -> None:
    outbox = Outbox(Sink(0), refill=lambda _: b"more")
    assert not outbox.flush()
    assert Outbox(Sink(0)).flush()


def test_emptied_waits_for_the_last_byte() -> None:
    async def scenario() -> list[str]:
        steps: list[str] = []
        sink = Sink(0)
        outbox = Outbox(sink)
        await outbox.emptied()
        steps.append("empty at once")
        outbox.put(b"xy")

        async def wait() -> None:
            await outbox.emptied()
            steps.append("emptied")

        task = asyncio.create_task(wait())
        for room in (1, 1):
            await asyncio.sleep(0)
            steps.append("accept")
            sink.room += room
            outbox.flush()
        await task
        return steps

    assert asyncio.run(scenario()) == ["empty at once", "accept", "accept", "emptied"]
