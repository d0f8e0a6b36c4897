"""Which session a connection goes to, and when there are more or fewer of them. Sessions are stand-ins here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from aws_runas.errors import SessionError
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.events import ForwardEvent, SessionNotOpened, SessionOpened, SessionOver
from aws_runas.ssm.forward.pool import SessionPool
from aws_runas.ssm.forward.session import ForwardSession
from aws_runas.ssm.forward.settings import PoolSettings


@dataclass(eq=False)
class StandIn:
    """A session that does as it is told."""

    session_id: str
    pool: SessionPool
    agent_version: str = "3.3.0.0"
    carried: list[Any] = field(default_factory=list)
    is_busy: bool = False
    is_able: bool = True
    over: bool = False
    closed: bool = False
    occupied_since: float = 0.0
    fills_up: bool = False  # a single connection keeps it busy

    idle_since: float = field(default_factory=time.monotonic)

    def attach(self, connection: LocalConnection, local: str) -> None:
        if not self.carried:
            self.occupied_since = time.monotonic()
        self.carried.append(connection)

    def available(self) -> bool:
        return self.is_able and not self.over

    def busy(self) -> bool:
        return self.is_busy or (self.fills_up and bool(self.carried))

    def connections(self) -> int:
        return len(self.carried)

    def active(self) -> int:
        return len(self.carried)

    def tick(self, now: float) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    def end(self) -> None:
        self.over = True
        self.pool.session_over(cast(ForwardSession, self), SessionError("gone", code="session-gone"))


class Connection:
    """Stands in for a local connection."""

    def __init__(self) -> None:
        self.number = 1
        self.was_reset = False

    def reset(self) -> None:
        self.was_reset = True


class World:
    """A pool, its sessions, and what was told of them."""

    def __init__(self, settings: PoolSettings) -> None:
        self.sessions: list[StandIn] = []
        self.events: list[ForwardEvent] = []
        self.failures = 0
        self.fill_up = False
        self.pool = SessionPool(self._open, self.events.append, settings)

    async def _open(self, pool: SessionPool) -> ForwardSession:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise SessionError("not now", code="session-denied")
        self.sessions.append(StandIn(f"s{len(self.sessions) + 1}", pool, fills_up=self.fill_up))
        return cast(ForwardSession, self.sessions[-1])

    def connect(self) -> Connection:
        connection = Connection()
        self.pool.place(cast(LocalConnection, connection), "local")
        return connection

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - the pool has its own clock
                await asyncio.sleep(0.01)


def play(settings: PoolSettings, story: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        world = World(settings)
        await world.pool.start()
        try:
            await story(world)
        finally:
            await world.pool.close()
        return world

    return asyncio.run(run())


def test_one_session_is_enough_while_it_is_not_busy() -> None:
    async def story(world: World) -> None:
        for _ in range(50):
            world.connect()
        await world.until(lambda: len(world.sessions[0].carried) == 50)
        await asyncio.sleep(0.6)

    world = play(PoolSettings(), story)
    assert [len(session.carried) for session in world.sessions] == [50]


def test_fixed_number_is_opened_at_once_and_the_least_loaded_is_chosen() -> None:
    async def story(world: World) -> None:
        await world.until(lambda: world.pool.ready() == 4)
        for _ in range(12):
            world.connect()

    world = play(PoolSettings(most=4, grow=False), story)
    assert [len(session.carried) for session in world.sessions] == [3, 3, 3, 3]


def test_connection_that_finds_all_busy_goes_to_a_new_session() -> None:
    async def story(world: World) -> None:
        world.connect()
        world.sessions[0].is_busy = True
        world.connect()
        await world.until(lambda: len(world.sessions) == 2 and bool(world.sessions[1].carried))

    world = play(PoolSettings(), story)
    assert [len(session.carried) for session in world.sessions] == [1, 1]


def test_transfers_that_begin_together_spread_over_as_many_sessions() -> None:
    async def story(world: World) -> None:
        world.fill_up = True
        world.sessions[0].fills_up = True
        for _ in range(8):
            world.connect()
        await world.until(lambda: sum(len(session.carried) for session in world.sessions) == 8)

    world = play(PoolSettings(patience=8.0), story)
    assert [len(session.carried) for session in world.sessions] == [1] * 8


def test_connections_that_begin_together_and_do_little_share_one_session() -> None:
    async def story(world: World) -> None:
        for _ in range(50):
            world.connect()
        await world.until(lambda: len(world.sessions[0].carried) == 50)

    assert len(play(PoolSettings(), story).sessions) == 1


def test_no_more_sessions_than_allowed() -> None:
    async def story(world: World) -> None:
        for number in range(6):
            world.connect()
            await world.until(lambda number=number: sum(len(s.carried) for s in world.sessions) == number + 1)  # type: ignore[misc]
            for session in world.sessions:
                session.is_busy = True

    world = play(PoolSettings(most=3), story)
    assert [len(session.carried) for session in world.sessions] == [2, 2, 2]


def test_connection_does_not_wait_for_ever_for_a_session_of_its_own() -> None:
    async def story(world: World) -> None:
        world.sessions[0].is_busy = True
        world.failures = 100
        world.connect()
        await world.until(lambda: bool(world.sessions[0].carried))

    world = play(PoolSettings(patience=0.5), story)
    assert [type(event) for event in world.events] == [SessionOpened, SessionNotOpened]


def test_sessions_beyond_the_first_are_closed_when_idle() -> None:
    async def story(world: World) -> None:
        world.connect()
        world.sessions[0].is_busy = True
        world.connect()
        await world.until(lambda: len(world.sessions) == 2 and bool(world.sessions[1].carried))
        for session in world.sessions:
            session.carried.clear()
            session.is_busy = False
        await world.until(lambda: world.sessions[1].closed)
        assert not world.sessions[0].closed

    world = play(PoolSettings(idle=0.0), story)
    assert isinstance(world.events[-1], SessionOver)


def test_session_that_ended_with_connections_is_replaced_at_once() -> None:
    async def story(world: World) -> None:
        world.connect()
        world.sessions[0].end()
        await world.until(lambda: len(world.sessions) == 2)

    play(PoolSettings(), story)


def test_idle_session_that_ended_is_replaced_when_somebody_connects() -> None:
    async def story(world: World) -> None:
        world.sessions[0].end()
        await asyncio.sleep(0.6)
        assert len(world.sessions) == 1
        world.connect()
        await world.until(lambda: len(world.sessions) == 2 and bool(world.sessions[1].carried))

    play(PoolSettings(), story)


def test_waiting_connection_survives_failed_attempts() -> None:
    async def story(world: World) -> None:
        world.sessions[0].end()
        world.failures = 1
        world.connect()
        await world.until(lambda: len(world.sessions) == 2 and bool(world.sessions[1].carried))

    world = play(PoolSettings(), story)
    assert [event.retry_in for event in world.events if isinstance(event, SessionNotOpened)] == [1.0]


def test_connections_that_nobody_carries_are_reset_at_the_end() -> None:
    waiting: list[Connection] = []

    async def story(world: World) -> None:
        world.sessions[0].is_able = False
        waiting.append(world.connect())

    play(PoolSettings(most=1, grow=False), story)
    assert waiting[0].was_reset
