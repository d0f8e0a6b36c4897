"""The reader of an agent's data channel: blocked by a plugin, cut with messages in its buffer."""

from __future__ import annotations

import asyncio

from aws_runas.sandbox.agent.reading import ChannelReader
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
        assert cut == []
        reader.receive(INPUT)
        assert cut == [INPUT]
        assert processed == [[message(START_PUBLICATION)]]
        reader.receive(INPUT)
        assert len(cut) == 1

    asyncio.run(scenario())


def test_pause_lasts_until_start() -> None:
    async def scenario() -> None:
        reader = ChannelReader(lambda _: None, one_by_one=True)
        reader.receive([message(PAUSE_PUBLICATION)])
        assert reader.paused
        reader.receive([message(START_PUBLICATION)])
        assert not reader.paused

    asyncio.run(scenario())
