"""One session of a forward: what it reports to its pool. The channel is a stand-in; the clock is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.forward.events import AgentAnswered, AgentSilent, ConnectionLost, ConnectionRegained, ForwardEvent
from aws_runas.ssm.forward.multiplexer import MultiplexerSettings
from aws_runas.ssm.forward.session import ForwardSession
from aws_runas.ssm.transport.interfaces import DataChannel, SessionHandler


class Channel:
    """A data channel whose agent is as silent as the test says."""

    def __init__(self) -> None:
        self.silent_for = 0.0
        self.terminated = 0

    def send_capacity(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        raise AssertionError

    def send_message(self, data: bytes) -> None:
        self.write(data)

    def send_size(self, columns: int, rows: int) -> None:
        raise AssertionError

    def send_flag(self, flag: int) -> None:
        raise AssertionError

    def pause_reading(self) -> None:
        raise AssertionError

    def resume_reading(self) -> None:
        raise AssertionError

    def check_connection(self) -> None:
        raise AssertionError

    def end_may_be_missing(self) -> bool:
        return False

    def agent_silent_for(self) -> float:
        return self.silent_for

    async def drained(self) -> None:
        raise AssertionError

    async def terminate(self) -> None:
        self.terminated += 1


class World:
    """A session that has started, and what it reported."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.channel = Channel()
        self.events: list[ForwardEvent] = []
        self.ends: list[str] = []
        self.session = ForwardSession(
            self,
            self.events.append,
            MultiplexerSettings(),
            destination="i-deadbeef:9000",
            remote_host=False,
            clock=lambda: self.now,
        )

    async def open(self) -> None:
        async def open_channel(make_handler: Callable[[DataChannel], SessionHandler]) -> str:
            make_handler(self.channel).session_started(SessionStarted("Port", {}, "3.3.0.0"))
            return "s1"

        await self.session.open(open_channel)

    def tick(self, silent_for: float) -> None:
        self.channel.silent_for = silent_for
        self.session.handle_timer(self.now)

    def session_ended(self, session: ForwardSession, error: Exception | None) -> None:
        self.ends.append(str(error))

    def became_available(self) -> None:
        raise AssertionError


def play(story: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        world = World()
        await world.open()
        await story(world)
        return world

    return asyncio.run(run())


def test_agent_that_does_not_answer_is_reported_once_and_its_session_not_used() -> None:
    async def story(world: World) -> None:
        world.tick(4.9)
        assert not world.session.state(world.now).unresponsive
        world.tick(5.0)
        world.tick(6.0)
        assert world.session.state(world.now).unresponsive

    assert play(story).events == [AgentSilent("s1", 5.0)]


def test_agent_that_answers_again_is_reported_and_its_session_used() -> None:
    async def story(world: World) -> None:
        world.tick(5.0)
        world.now += 30.0
        world.tick(0.0)
        assert not world.session.state(world.now).unresponsive

    assert play(story).events == [AgentSilent("s1", 5.0), AgentAnswered("s1", 35.0)]


def test_session_of_an_agent_that_never_answers_again_is_ended() -> None:
    async def story(world: World) -> None:
        world.tick(5.0)
        world.tick(119.0)
        assert not world.session.over
        world.tick(120.0)
        world.tick(121.0)
        assert world.session.over

    assert play(story).ends == ["the agent has not answered for 120 s"]


def test_lost_connection_interrupts_after_a_second_and_until_it_is_resumed() -> None:
    async def story(world: World) -> None:
        world.session.connection_lost("Bye")
        assert not world.session.state(world.now + 1.0).interrupted
        assert world.session.state(world.now + 1.1).interrupted
        world.session.connection_regained(2.0)
        assert not world.session.state(world.now + 1.1).interrupted

    assert play(story).events == [ConnectionLost("s1", "Bye"), ConnectionRegained("s1", 2.0)]
