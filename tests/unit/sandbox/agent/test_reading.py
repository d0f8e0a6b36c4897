"""The reader of an agent's data channel: blocked by a plugin, cut with messages in its buffer."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.sandbox.agent.reading import EXECUTION_TIME, Arrivals, ChannelReader, read_after_cut
from aws_runas.sandbox.services.link import Frames
from aws_runas.ssm.core.message import (
    ACKNOWLEDGE,
    INPUT_STREAM_DATA,
    PAUSE_PUBLICATION,
    START_PUBLICATION,
    Message,
    encode_message,
)


def message(message_type: str, number: int = 0) -> bytes:
    return encode_message(
        Message(
            message_type=message_type,
            sequence_number=number,
            message_id=bytes(16),
            payload_type=1,
            payload=b"x",
            created_date=1,
        )
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


@pytest.mark.parametrize("one_by_one", [False, True])
def test_busy_agent_is_cut_with_exactly_the_messages_that_were_asked_for(one_by_one: bool) -> None:
    async def scenario() -> None:
        processed: list[Frames] = []
        cut: list[Frames] = []
        reader = ChannelReader(processed.append, one_by_one=one_by_one)
        reader.cut_with(3, cut.append)
        for frame in (INPUT[0], message(START_PUBLICATION), INPUT[1]):
            reader.receive([frame])
            reader.unblock()
            await asyncio.sleep(0)
        assert (cut, processed) == ([], [])
        reader.receive(INPUT[2:3])
        assert cut == [[INPUT[0], message(START_PUBLICATION), INPUT[1], INPUT[2]]]
        reader.receive(INPUT[3:])
        assert processed == [INPUT[3:]]

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


class Agent:
    """Executes numbers in order, as a channel of the sandbox does."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.executed: list[int] = []
        self.others = 0
        self._stored: set[int] = set()

    def process(self, frames: Frames) -> None:
        for frame in frames:
            assert isinstance(frame, bytes)
            if not frame[4:36].startswith(INPUT_STREAM_DATA.encode()):
                self.others += 1
                continue
            self._stored.add(int.from_bytes(frame[48:56]))
            while self.expected in self._stored:
                self.executed.append(self.expected)
                self.expected += 1

    def execute(self, message: Message) -> None:
        self.executed.append(message.sequence_number)


def cut(expected: int, *numbers: int) -> tuple[list[int], int]:
    """Return what is executed, and which number is expected after the cut."""
    agent = Agent(expected)
    frames: Frames = [message(INPUT_STREAM_DATA, number) for number in numbers]
    read_after_cut(frames, expected=lambda: agent.expected, process=agent.process, execute=agent.execute)
    return agent.executed, agent.expected


def test_first_counts_and_the_second_is_executed_without_being_counted() -> None:
    assert cut(0, 0, 1, 2, 3) == ([0, 1], 1)


def test_single_message_counts() -> None:
    assert cut(5, 5) == ([5], 6)


def test_repeated_message_is_not_executed_but_uses_up_the_write_that_succeeds() -> None:
    assert cut(3, 0, 1, 2) == ([], 3)
    assert cut(3, 0, 1, 2, 3, 4) == ([3], 3)


def test_message_that_is_ahead_is_stored_if_it_comes_first_and_else_lost() -> None:
    assert cut(0, 1, 0) == ([0], 0)
    assert cut(0, 2, 3) == ([], 0)


@given(st.integers(0, 5), st.lists(st.integers(0, 9), max_size=12), st.data())
def test_nothing_counted_is_executed_again_and_at_most_one_number_is_executed_uncounted(
    expected: int, numbers: list[int], data: st.DataObject
) -> None:
    agent = Agent(expected)
    frames: Frames = [message(INPUT_STREAM_DATA, number) for number in numbers]
    acknowledgements = data.draw(st.lists(st.integers(0, len(frames)), max_size=3))
    for place in acknowledgements:
        frames.insert(place, message(ACKNOWLEDGE))
    read_after_cut(frames, expected=lambda: agent.expected, process=agent.process, execute=agent.execute)
    uncounted = [number for number in agent.executed if number >= agent.expected]
    assert len(uncounted) <= 1
    assert all(number == agent.expected for number in uncounted)
    assert agent.executed == sorted(set(agent.executed))
    assert all(number >= expected for number in agent.executed)
    assert agent.others == len(acknowledgements)
