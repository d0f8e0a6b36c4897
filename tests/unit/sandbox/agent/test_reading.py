"""The reader of an agent's data channel: blocked by a plugin, cut with messages in its buffer."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest

from aws_runas.sandbox.agent.reading import EXECUTION_TIME, Arrivals, ChannelReader
from aws_runas.sandbox.services.link import Frames
from aws_runas.ssm.core.message import INPUT_STREAM_DATA, PAUSE_PUBLICATION, START_PUBLICATION, Message, encode_message


def message(message_type: str, number: int = 0) -> bytes:
    return encode_message(
        Message(message_type=message_type, sequence_number=number, message_id=bytes(16), payload_type=1, payload=b"x")
    )


INPUT: Frames = [message(INPUT_STREAM_DATA, number) for number in range(4)]


def test_blocked_reader_hands_over_nothing_until_it_is_unblocked() -> None:
    async def scenario() -> list[Frames]:
        processed: list[Frames] = []
        reader = ChannelReader(processed.append, one_by_one=True)
        reader.receive(INPUT[:1])
        reader.block()
        reader.receive(INPUT[1:])
        assert processed == [INPUT[:1]]
        reader.unblock()
        await asyncio.sleep(0)
        return processed

    assert asyncio.run(scenario()) == [[frame] for frame in INPUT]


def test_plugin_blocks_in_front_of_the_next_message_of_the_same_read() -> None:
    async def scenario() -> None:
        processed: list[Frames] = []

        def process(frames: Frames) -> None:
            processed.append(frames)
            reader.block()

        reader = ChannelReader(process, one_by_one=True)
        reader.receive(INPUT)
        assert processed == [INPUT[:1]]

    asyncio.run(scenario())


def test_cut_takes_the_next_burst_and_nothing_else_is_processed() -> None:
    async def scenario() -> None:
        processed: list[Frames] = []
        cut: list[Frames] = []
        reader = ChannelReader(processed.append, one_by_one=True)
        reader.cut_at_next_burst(cut.append)
        reader.receive([message(START_PUBLICATION)])
        for _ in range(4):
            await asyncio.sleep(0)
        assert cut == []
        reader.receive(INPUT * 100)  # more than can have come one by one since the last turn of the loop
        assert cut == [INPUT * 100]
        assert processed == [[message(START_PUBLICATION)]]
        reader.receive(INPUT)
        assert len(cut) == 1

    asyncio.run(scenario())


def test_of_messages_that_came_one_by_one_only_the_last_is_there_at_the_cut() -> None:
    """The loop was late. An agent of its own process has executed the others by then."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        clock = [loop.time()]
        processed: list[Frames] = []
        cut: list[Frames] = []
        with patch.object(loop, "time", lambda: clock[0]):
            reader = ChannelReader(processed.append, one_by_one=False)
            reader.cut_at_next_burst(cut.append)
            for _ in range(4):
                await asyncio.sleep(0)
            clock[0] += 4 * EXECUTION_TIME
            reader.receive(INPUT)
        assert processed == [INPUT[:3]]
        assert cut == [INPUT[3:]]

    asyncio.run(scenario())


def test_blocked_messages_are_all_there_at_the_cut() -> None:
    async def scenario() -> None:
        cut: list[Frames] = []
        reader = ChannelReader(lambda _: None, one_by_one=True)
        reader.block()
        reader.receive(INPUT[:2])
        reader.cut_at_next_burst(cut.append)
        reader.receive(INPUT[2:])
        assert cut == [INPUT]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("count", "seconds", "first"),
    [(1, 0.0, 0), (2, 0.00001, 0), (4, 0.0001, 0), (2, EXECUTION_TIME, 1), (4, 3 * EXECUTION_TIME, 3), (64, 0.01, 0)],
)
def test_messages_that_came_closer_than_an_agent_executes_them_wait_together(
    count: int, seconds: float, first: int
) -> None:
    arrivals = Arrivals()
    assert arrivals.first_waiting(count, 5.0) is None
    for look in (4.0, 5.0, 5.0, 5.0):
        arrivals.looked(look)
    assert arrivals.first_waiting(count, 5.0 + seconds) == first


def test_pause_lasts_until_start() -> None:
    async def scenario() -> None:
        reader = ChannelReader(lambda _: None, one_by_one=True)
        reader.receive([message(PAUSE_PUBLICATION)])
        assert reader.paused
        reader.receive([message(START_PUBLICATION)])
        assert not reader.paused

    asyncio.run(scenario())
