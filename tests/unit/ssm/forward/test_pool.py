"""The pool carries out what its policy decides. Sessions are stand-ins; the clock is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from aws_runas.errors import AwsRunasError, CredentialsError, SessionError
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.events import ForwardEvent, LocalClosed, SessionEnded, SessionNotOpened, SessionOpened
from aws_runas.ssm.forward.policy import PoolSettings, SessionState
from aws_runas.ssm.forward.pool import Pool
from aws_runas.ssm.forward.session import ForwardSession

TURNS = 20  # turns of the event loop, more than any chain of tasks here needs


@dataclass(eq=False)
class StandIn:
    """A session whose state the test sets."""

    session_id: str
    pool: Pool
    agent_version: str = "3.3.0.0"
    carried: list[LocalConnection] = field(default_factory=list)
    capacity: int = 1_000
    interrupted: bool = False
    over: bool = False
    error: Exception | None = None
    closed: int = 0
    ticks: list[float] = field(default_factory=list)

    def attach(self, connection: LocalConnection, local: str) -> None:
        self.carried.append(connection)

    def state(self, now: float) -> SessionState:
        return SessionState(
            capacity=self.capacity,
            interrupted=self.interrupted,
            connections=len(self.carried),
            active=len(self.carried),
            idle_since=0.0,
        )

    def connections(self) -> int:
        return len(self.carried)

    def handle_timer(self, now: float) -> None:
        self.ticks.append(now)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1

    def end(self) -> None:
        self.over = True
        self.pool.session_ended(cast(ForwardSession, self), SessionError("gone", code="session-gone"))


class Connection:
    """Stands in for a local connection."""

    def __init__(self) -> None:
        self.number = 1
        self.was_reset = False

    def reset(self) -> None:
        self.was_reset = True


class World:
    """A pool, its sessions, its clock and its events."""

    def __init__(self, settings: PoolSettings) -> None:
        self.now = 1_000.0
        self.sessions: list[StandIn] = []
        self.events: list[ForwardEvent] = []
        self.failures = 0
        self.error: AwsRunasError | None = None
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.pool = Pool(self._open, self.events.append, settings, lambda: self.now)

    async def _open(self, pool: Pool) -> ForwardSession:
        await self.may_open.wait()
        if self.error is not None:
            raise self.error
        if self.failures:
            self.failures -= 1
            raise SessionError("not now", code="session-denied")
        self.sessions.append(StandIn(f"s{len(self.sessions) + 1}", pool))
        return cast(ForwardSession, self.sessions[-1])

    def connect(self) -> Connection:
        connection = Connection()
        self.pool.place(cast(LocalConnection, connection), "local")
        return connection

    async def pass_time(self, seconds: float) -> None:
        """Move the clock, tick, and let every task run that can."""
        self.now += seconds
        self.pool.tick()
        await self.turns()

    async def turns(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def carried(self) -> list[int]:
        return [len(session.carried) for session in self.sessions]


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


def test_all_sessions_of_a_fixed_number_are_opened_at_the_start() -> None:
    async def story(world: World) -> None:
        await world.turns()
        assert world.pool.session_count() == 4

    world = play(PoolSettings(max_sessions=4, grow=False), story)
    assert [session.closed for session in world.sessions] == [1] * 4


def test_connection_is_attached_at_once_where_a_session_is_free() -> None:
    async def story(world: World) -> None:
        world.connect()
        assert world.carried() == [1]

    play(PoolSettings(), story)


def test_connection_waits_until_its_new_session_is_open() -> None:
    async def story(world: World) -> None:
        world.sessions[0].interrupted = True
        world.may_open.clear()
        world.connect()
        await world.pass_time(0.3)
        assert world.carried() == [0]
        world.may_open.set()
        await world.turns()
        assert world.carried() == [0, 1]

    play(PoolSettings(), story)


def test_sessions_hear_of_the_time() -> None:
    async def story(world: World) -> None:
        await world.pass_time(5.0)

    assert play(PoolSettings(), story).sessions[0].ticks == [1_005.0]


def test_failed_attempt_is_reported_and_the_connection_still_gets_a_session() -> None:
    async def story(world: World) -> None:
        world.sessions[0].end()
        world.failures = 1
        world.connect()
        await world.turns()
        assert world.carried() == [0]
        await world.pass_time(1.1)
        assert world.carried() == [0, 1]

    world = play(PoolSettings(), story)
    assert [event.retry_in for event in world.events if isinstance(event, SessionNotOpened)] == [1.0]


def test_failure_that_nobody_waits_for_has_no_time_of_the_next_attempt() -> None:
    async def story(world: World) -> None:
        world.sessions[0].interrupted = True
        world.failures = 1
        world.connect()
        await world.pass_time(0.3)
        await world.pass_time(2.0)
        assert world.carried() == [1]

    world = play(PoolSettings(), story)
    assert [event.retry_in for event in world.events if isinstance(event, SessionNotOpened)] == [None]


def test_session_that_ended_is_closed_by_the_pool_and_replaced() -> None:
    async def story(world: World) -> None:
        world.connect()
        world.sessions[0].end()
        await world.turns()
        assert world.sessions[0].closed == 1
        assert world.pool.session_count() == 1

    world = play(PoolSettings(), story)
    assert [type(event) for event in world.events[:3]] == [SessionOpened, SessionEnded, SessionOpened]


def test_session_that_ended_before_the_pool_had_it_is_closed() -> None:
    async def story(world: World) -> None:
        world.sessions[0].interrupted = True
        world.connect()
        world.pool._add(cast(ForwardSession, StandIn("dead", world.pool, over=True)))
        assert world.pool.session_count() == 1

    ends = [event for event in play(PoolSettings(), story).events if isinstance(event, SessionEnded)]
    assert [event.session for event in ends] == ["dead"]


def test_idle_session_is_closed() -> None:
    async def story(world: World) -> None:
        world.sessions[0].interrupted = True
        world.connect()
        await world.pass_time(0.3)
        assert world.carried() == [0, 1]
        world.sessions[1].carried.clear()
        await world.pass_time(100.0)
        assert [session.closed for session in world.sessions] == [0, 1]

    play(PoolSettings(), story)


def test_connection_without_a_session_is_reset_after_a_minute_and_reported() -> None:
    connections: list[Connection] = []

    async def story(world: World) -> None:
        world.sessions[0].end()
        world.may_open.clear()
        connections.append(world.connect())
        await world.pass_time(59.0)
        assert not connections[0].was_reset
        await world.pass_time(2.0)
        assert connections[0].was_reset

    closed = [event for event in play(PoolSettings(), story).events if isinstance(event, LocalClosed)]
    assert [event.reason for event in closed] == ["no session could be opened"]


def test_connections_that_wait_or_come_after_the_end_are_reset() -> None:
    connections: list[Connection] = []

    async def story(world: World) -> None:
        world.sessions[0].capacity = 0
        connections.append(world.connect())
        await world.pool.close()
        connections.append(world.connect())

    play(PoolSettings(max_sessions=1, grow=False), story)
    assert [connection.was_reset for connection in connections] == [True, True]


def test_close_cancels_sessions_that_are_being_opened() -> None:
    async def story(world: World) -> None:
        world.may_open.clear()
        world.sessions[0].end()
        world.connect()
        await world.turns()

    world = play(PoolSettings(), story)
    assert len(world.sessions) == 1


def test_connections_are_reset_at_once_where_only_the_user_can_help() -> None:
    connections: list[Connection] = []

    async def story(world: World) -> None:
        world.error = CredentialsError("a code is needed", code="mfa-no-terminal")
        connections.extend(world.connect() for _ in range(2))
        await world.turns()
        assert [connection.was_reset for connection in connections] == [True, True]
        world.error = None
        world.connect()
        assert world.sessions == []  # not before the next attempt is due
        world.pool.retry_now()
        await world.turns()
        assert world.carried() == [1]

    world = play(PoolSettings(lazy=True), story)
    assert [event.code for event in world.events if isinstance(event, SessionNotOpened)] == ["mfa-no-terminal"]
