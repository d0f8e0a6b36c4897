"""The smux multiplexer, with a channel that only records."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from aws_runas.ssm.core.smux import frame
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.destination import LocalAddress
from aws_runas.ssm.forward.listener import bind
from aws_runas.ssm.forward.multiplexer import MultiplexerSettings
from aws_runas.ssm.forward.mux import SmuxMultiplexer


@dataclass
class Channel:
    """Stands in for a data channel."""

    room: int = 1 << 20
    written: bytearray = field(default_factory=bytearray)
    reading: bool = True

    def send_capacity(self) -> int:
        return self.room

    def write(self, data: bytes) -> None:
        assert len(data) <= self.room
        self.room -= len(data)
        self.written += data

    def send_message(self, data: bytes) -> None:
        assert len(data) <= 1024
        self.write(data)

    def send_size(self, columns: int, rows: int) -> None:
        raise AssertionError

    def send_flag(self, flag: int) -> None:
        raise AssertionError

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def check_connection(self) -> None:
        raise AssertionError

    def end_may_be_missing(self) -> bool:
        return False

    def agent_silent_for(self) -> float:
        return 0.0

    async def drained(self) -> None:
        pass

    async def terminate(self) -> None:
        pass


@dataclass
class Owner:
    """Records what the multiplexer reports."""

    over: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    timed_out: list[tuple[int, float]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def connection_ended(self, connection: LocalConnection, reason: str) -> None:
        self.over.append(reason)

    def connection_refused(self, connection: LocalConnection) -> None:
        self.refused.append(connection.number)

    def half_close_timed_out(self, connection: LocalConnection, seconds: float) -> None:
        self.timed_out.append((connection.number, seconds))

    def became_available(self) -> None:
        pass

    def multiplexer_failed(self, reason: str) -> None:
        self.failed.append(reason)


class World:
    """A multiplexer, and real connections to it."""

    def __init__(self, **settings: int) -> None:
        self.ahead = 0.0  # seconds that the clock is ahead
        self.channel, self.owner = Channel(), Owner()
        self.settings = MultiplexerSettings(**settings)
        self.multiplexer = SmuxMultiplexer(self.channel, self.owner, self.settings, keepalive=False, clock=self.clock)
        self.listener = bind(LocalAddress())
        self.accepted: list[LocalConnection] = []

    def clock(self) -> float:
        return time.monotonic() + self.ahead

    def pass_time(self, seconds: float) -> None:
        self.ahead += seconds
        self.multiplexer.handle_timer(self.clock())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        count = len(self.accepted)
        opened = await asyncio.open_connection("127.0.0.1", self.listener.address.port)
        await self.until(lambda: len(self.accepted) > count)
        return opened

    def _accept(self, connection: LocalConnection) -> None:
        self.accepted.append(connection)
        self.multiplexer.attach(connection)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - sockets have no event for it
                await asyncio.sleep(0.005)


def play(story: Callable[[World], Awaitable[None]], **settings: int) -> World:
    async def run() -> World:
        world = World(**settings)
        world.listener.start(world._accept, lambda: len(world.accepted) + 1, world.clock)
        try:
            await story(world)
        finally:
            await world.listener.close()
            world.multiplexer.session_ended()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return world

    return asyncio.run(run())


def psh(stream: int, data: bytes) -> bytes:
    return frame.encode(frame.PSH, stream, data)


def test_keepalive_goes_to_agents_that_expect_it_and_to_no_others() -> None:
    async def story(world: World) -> None:
        expects = SmuxMultiplexer(world.channel, world.owner, world.settings, keepalive=True, clock=time.monotonic)
        for multiplexer in (world.multiplexer, expects):
            for seconds in (0, 9, 11, 12, 22):
                multiplexer.handle_timer(time.monotonic() + seconds)

    assert commands(play(story), padding=True) == [frame.NOP] * 3  # two, and the padding of the first message


def test_flag_and_fin_refuse_the_connection_that_carried_nothing() -> None:
    async def story(world: World) -> None:
        busy, busy_writer = await world.connect()
        refused, refused_writer = await world.connect()
        world.multiplexer.data_received(psh(3, b"hello"))
        world.multiplexer.connect_failed()
        world.multiplexer.data_received(frame.encode(frame.FIN, 5))
        assert world.owner.refused == [2]
        await world.until(lambda: bool(world.owner.over))
        with contextlib.suppress(ConnectionResetError):
            assert await refused.read(1) == b""
        assert await busy.readexactly(5) == b"hello"
        for writer in (busy_writer, refused_writer):
            writer.close()

    play(story)


def test_reading_stops_at_the_bucket_and_goes_on_when_the_program_has_read() -> None:
    async def story(world: World) -> None:
        reader, writer = await world.connect()
        sent = 0
        while world.channel.reading:
            world.multiplexer.data_received(psh(3, bytes(32_768)))
            sent += 32_768
            await asyncio.sleep(0)
        assert sent >= 1_000_000
        received = len(await reader.readexactly(sent))
        await world.until(lambda: world.channel.reading)
        assert received == sent
        writer.close()

    play(story, receive_buffer=1_000_000)


def test_what_the_channel_does_not_take_stays_with_the_program() -> None:
    async def story(world: World) -> None:
        world.channel.room = 10_000
        _, writer = await world.connect()
        writer.write(bytes(5_000_000))
        await world.until(lambda: world.channel.room == 0)
        held = world.accepted[0].sent
        for _ in range(100):  # turns of the loop, in which a connection that is still read would take more
            await asyncio.sleep(0)
        assert world.accepted[0].sent == held < 300_000
        world.channel.room = 10_000
        world.multiplexer.writable()
        assert world.channel.room == 0
        writer.transport.abort()

    play(story)


def test_odd_room_of_the_channel_cuts_frames_anywhere_and_loses_nothing() -> None:
    async def story(world: World) -> None:
        world.channel.room = 0
        _, writer = await world.connect()
        writer.write(b"0123456789" * 100)
        await world.until(lambda: world.accepted[0].sent == 1000)
        for _ in range(1000):
            world.channel.room = 7
            world.multiplexer.writable()
        writer.transport.abort()

    parts = list(frame.FrameDecoder().receive(bytes(play(story).channel.written)))
    assert parts[0].command == frame.SYN
    assert b"".join(part.data for part in parts) == b"0123456789" * 100


def test_peer_that_does_not_speak_smux_ends_the_session() -> None:
    async def story(world: World) -> None:
        world.multiplexer.data_received(b"HTTP/1.1 400 Bad Request")

    assert "does not speak smux" in play(story).owner.failed[0]


def test_connection_that_is_gone_while_the_far_side_sends_does_not_hold_the_bucket() -> None:
    async def story(world: World) -> None:
        _, writer = await world.connect()
        world.multiplexer.data_received(psh(3, bytes(30_000)))
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()
        await world.until(lambda: bool(world.owner.over))
        for _ in range(100):
            world.multiplexer.data_received(psh(3, bytes(30_000)))
        assert world.channel.reading
        assert world.multiplexer.connections() == 0

    play(story, receive_buffer=100_000)


def test_half_closed_connection_without_an_answer_is_reset_and_reported() -> None:
    async def story(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(b"question")
        writer.write_eof()
        await world.until(lambda: world.accepted[0].half_closed_at is not None)
        await world.until(lambda: b"question" in world.channel.written)
        world.pass_time(59.0)
        assert not world.owner.timed_out
        world.pass_time(2.0)
        assert world.owner.timed_out == [(1, 60.0)]
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await world.until(lambda: bool(world.owner.over))
        await world.until(lambda: commands(world)[-1] == frame.FIN)

    world = play(story)
    assert world.owner.over == ["silence after the program ended its sending half"]
    assert commands(world) == [frame.SYN, frame.PSH, frame.FIN]


def test_answer_within_the_timeout_arrives_whole() -> None:
    async def story(world: World) -> None:
        reader, writer = await world.connect()
        writer.write_eof()
        await world.until(lambda: world.accepted[0].half_closed_at is not None)
        world.pass_time(50.0)
        world.multiplexer.data_received(psh(3, b"ans"))
        world.pass_time(50.0)
        world.multiplexer.data_received(psh(3, b"wer"))
        world.multiplexer.data_received(frame.encode(frame.FIN, 3))
        assert await reader.read() == b"answer"
        writer.close()
        await world.until(lambda: bool(world.owner.over))

    world = play(story)
    assert (world.owner.over, world.owner.timed_out) == ([""], [])


def commands(world: World, *, padding: bool = False) -> list[int]:
    parts = frame.FrameDecoder().receive(bytes(world.channel.written))
    return [part.command for part in parts if padding or part.command != frame.NOP]
