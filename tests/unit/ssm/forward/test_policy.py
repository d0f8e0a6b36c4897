"""Decisions of the pool's policy: where connections go, and when sessions are opened and closed. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.ssm.forward.policy import (
    GROW_RETRY_DELAY,
    NO_SESSION_TIMEOUT,
    OBSERVE_TIME,
    PLACEMENT_TIME,
    POLL_INTERVAL,
    RETRY_DELAYS,
    Decision,
    PoolPolicy,
    PoolSettings,
    SessionState,
)

MANY = 1_000  # capacity of a session that multiplexes
IDLE = SessionState(capacity=MANY)
ACTIVE = SessionState(capacity=MANY, connections=1, active=1, occupied_since=0.0)
SATURATED = replace(ACTIVE, saturated=True)


@dataclass
class Simulation:
    """Sessions and connections in virtual time, moved by nothing but the policy's decisions.

    Args:
        saturating: every connection saturates its session.
        opening_time: seconds that StartSession takes.
    """

    policy: PoolPolicy
    saturating: bool = False
    opening_time: float = 0.5
    now: float = 100.0
    sessions: list[SessionState] = field(default_factory=lambda: [IDLE])
    attached: list[tuple[float, int]] = field(default_factory=list)  # when, to which session
    waiting: list[float] = field(default_factory=list)
    opening: list[float] = field(default_factory=list)  # when each is open

    def connect(self, count: int = 1) -> None:
        """Let programs connect, each as a step of its own."""
        for _ in range(count):
            self.waiting.append(self.now)
            self.step()

    def step(self) -> Decision:
        states = [self._with_recent(index, session) for index, session in enumerate(self.sessions)]
        decision = self.policy.decide(states, self.waiting, len(self.opening), self.now)
        for index in decision.assign:
            self._attach(index)
        del self.waiting[: len(decision.assign) + decision.refuse]
        self.opening += [self.now + self.opening_time] * decision.open
        for index in sorted(decision.close, reverse=True):
            del self.sessions[index]
        return decision

    def _with_recent(self, index: int, session: SessionState) -> SessionState:
        times = [at for at, placed in self.attached if placed == index and self.now - at < PLACEMENT_TIME]
        recent = min(len(times), session.active)
        return replace(session, recent=recent, attached_at=max(times, default=float("-inf")))

    def run(self, seconds: float, step: float = 0.02) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += step
            for opened_at in [at for at in self.opening if at <= self.now]:
                self.opening.remove(opened_at)
                self.policy.session_opened()
                self.sessions.append(replace(IDLE, idle_since=self.now))
            self.step()

    def placed(self) -> list[int]:
        return [session.connections for session in self.sessions]

    def _attach(self, index: int) -> None:
        session = self.sessions[index]
        assert session.capacity > 0
        self.attached.append((self.now, index))
        self.sessions[index] = replace(
            session,
            capacity=session.capacity - 1,
            connections=session.connections + 1,
            active=session.active + 1,
            occupied_since=session.occupied_since if session.active else self.now,
            saturated=session.saturated or self.saturating,
        )


def fixed(sessions: int) -> PoolPolicy:
    return PoolPolicy(PoolSettings(max_sessions=sessions, grow=False))


def test_one_session_is_enough_while_it_is_not_saturated() -> None:
    simulation = Simulation(PoolPolicy(PoolSettings()))
    simulation.connect(50)
    simulation.run(1.0)
    assert simulation.placed() == [50]


def test_fixed_number_is_opened_at_the_start_and_the_least_loaded_is_chosen() -> None:
    assert fixed(4).initial_sessions() == 4
    simulation = Simulation(fixed(4), sessions=[IDLE] * 4)
    simulation.connect(12)
    assert simulation.placed() == [3, 3, 3, 3]


def test_pool_that_grows_starts_with_one_session() -> None:
    assert PoolPolicy(PoolSettings()).initial_sessions() == 1


def test_connection_that_finds_every_session_saturated_gets_a_new_one() -> None:
    simulation = Simulation(PoolPolicy(PoolSettings()), sessions=[SATURATED])
    simulation.connect()
    simulation.run(1.0)
    assert simulation.placed() == [1, 1]


def test_transfers_that_start_together_spread_over_as_many_sessions() -> None:
    simulation = Simulation(PoolPolicy(PoolSettings(max_wait=8.0)), saturating=True)
    simulation.connect(8)
    simulation.run(4.0)
    assert simulation.placed() == [1] * 8


def test_connection_waits_to_see_what_the_first_one_does() -> None:
    policy = PoolPolicy(PoolSettings())
    decision = policy.decide([replace(ACTIVE, occupied_since=10.0)], [10.0], 0, 10.0 + OBSERVE_TIME / 2)
    assert decision.assign == ()
    assert decision.decide_again_at is not None
    assert policy.decide([replace(ACTIVE, occupied_since=10.0)], [10.0], 0, 10.0 + 2 * OBSERVE_TIME).assign == (0,)


def test_no_more_sessions_than_allowed() -> None:
    simulation = Simulation(PoolPolicy(PoolSettings(max_sessions=3)), saturating=True)
    for _ in range(6):
        simulation.connect()
        simulation.run(3.0)
    assert simulation.placed() == [2, 2, 2]
    assert not simulation.opening


def test_sessions_at_most_double_at_once() -> None:
    policy = PoolPolicy(PoolSettings())
    assert policy.decide([SATURATED] * 2, [0.0] * 8, 0, 1.0).open == 2
    assert policy.decide([SATURATED] * 6, [0.0] * 8, 0, 1.0).open == 2  # up to the limit of 8
    assert policy.decide([SATURATED] * 2, [0.0] * 8, 1, 1.0).open == 0  # one is on its way


def test_connection_does_not_wait_forever_for_a_session_of_its_own() -> None:
    policy = PoolPolicy(PoolSettings(max_wait=0.5))
    assert policy.decide([SATURATED], [10.0], 1, 10.4).assign == ()
    assert policy.decide([SATURATED], [10.0], 1, 10.6).assign == (0,)


def test_connection_does_not_wait_where_no_session_can_be_opened() -> None:
    policy = PoolPolicy(PoolSettings())
    assert policy.open_failed(1, 10.0) == GROW_RETRY_DELAY
    decision = policy.decide([SATURATED], [10.0], 0, 10.2)
    assert (decision.assign, decision.open) == ((0,), 0)
    assert policy.decide([SATURATED], [10.0], 0, 10.2 + GROW_RETRY_DELAY).open == 1


def test_two_connections_on_a_saturated_session_open_one_for_the_next() -> None:
    policy = PoolPolicy(PoolSettings())
    assert policy.decide([replace(SATURATED, connections=2)], [], 0, 10.0).open == 1
    assert policy.decide([SATURATED], [], 0, 10.0).open == 0
    assert policy.decide([replace(SATURATED, connections=2), IDLE], [], 0, 10.0).open == 0


def test_additional_sessions_are_closed_when_idle_and_the_first_is_kept() -> None:
    policy = PoolPolicy(PoolSettings(idle_timeout=60.0))
    sessions = [replace(IDLE, idle_since=0.0), replace(ACTIVE, idle_since=0.0), replace(IDLE, idle_since=0.0)]
    assert policy.decide(sessions, [], 0, 59.0).close == ()
    assert policy.decide(sessions, [], 0, 61.0).close == (2,)


def test_idle_session_that_gets_a_connection_is_not_closed() -> None:
    policy = PoolPolicy(PoolSettings(idle_timeout=60.0))
    sessions = [replace(SATURATED, idle_since=100.0), replace(IDLE, idle_since=0.0)]
    decision = policy.decide(sessions, [100.0], 0, 100.0)
    assert (decision.assign, decision.close) == ((1,), ())


def test_fixed_sessions_are_never_closed() -> None:
    assert fixed(2).decide([IDLE, IDLE], [], 0, 1e6).close == ()


def test_session_that_ended_with_connections_is_replaced_at_once() -> None:
    policy = PoolPolicy(PoolSettings())
    policy.session_ended(connections=1)
    assert policy.decide([], [], 0, 10.0).open == 1
    assert policy.decide([], [], 1, 10.0).open == 0


def test_idle_session_that_ended_is_replaced_when_a_program_connects() -> None:
    policy = PoolPolicy(PoolSettings())
    policy.session_ended(connections=0)
    assert policy.decide([], [], 0, 10.0).open == 0
    assert policy.decide([], [10.0], 0, 10.0).open == 1


def test_attempts_to_open_a_needed_session_are_spaced_out() -> None:
    policy = PoolPolicy(PoolSettings())
    now = 10.0
    for delay in (*RETRY_DELAYS, RETRY_DELAYS[-1]):
        assert policy.decide([], [now], 0, now).open == 1
        assert policy.open_failed(0, now) == delay
        assert policy.decide([], [now], 0, now + delay - 0.01).open == 0
        now += delay
    policy.session_opened()
    assert policy.decide([], [now], 0, now).open == 1


def test_failed_growth_does_not_delay_a_needed_session() -> None:
    policy = PoolPolicy(PoolSettings())
    policy.open_failed(1, 10.0)
    assert policy.decide([], [11.0], 0, 11.0).open == 1


def test_connections_are_refused_when_there_is_no_session_for_long() -> None:
    policy = PoolPolicy(PoolSettings())
    later = 10.0 + NO_SESSION_TIMEOUT
    assert policy.decide([], [10.0, 30.0], 1, later - 1).refuse == 0
    assert policy.decide([], [10.0, 30.0], 1, later + 1).refuse == 1
    assert policy.decide([replace(IDLE, capacity=0)], [10.0], 0, later + 1).refuse == 0


@pytest.mark.parametrize("sessions", [1, 3])
def test_agents_without_multiplexing_take_one_connection_after_the_other(sessions: int) -> None:
    simulation = Simulation(fixed(sessions), sessions=[SessionState(capacity=1)] * sessions)
    simulation.connect(5)
    assert simulation.placed() == [1] * sessions
    assert len(simulation.waiting) == 5 - sessions
    assert not simulation.opening


@st.composite
def session_states(draw: st.DrawFn) -> SessionState:
    """A session after earlier transfers: measured, placed and closed connections may still count."""
    connections = draw(st.integers(0, 3))
    active = draw(st.integers(0, connections))
    recent = draw(st.integers(0, min(1, active)))
    return SessionState(
        capacity=MANY,
        saturated=draw(st.booleans()),
        connections=connections,
        active=active,
        recent=recent,
        attached_at=draw(st.floats(99.8, 99.9)) if recent else float("-inf"),
    )


@given(
    sessions=st.lists(session_states(), min_size=1, max_size=8),
    gaps=st.lists(st.floats(0.0, 0.01), min_size=8, max_size=8),
)
def test_as_many_connections_as_sessions_never_share_one(sessions: list[SessionState], gaps: list[float]) -> None:
    """Whatever the sessions did before."""
    simulation = Simulation(fixed(len(sessions)), sessions=list(sessions))
    for index, state in enumerate(sessions):
        if state.recent:
            simulation.attached.append((state.attached_at, index))
    for _, gap in zip(sessions, gaps, strict=False):
        simulation.connect()
        simulation.now += gap
    assert simulation.placed() == [state.connections + 1 for state in sessions]


@given(sessions=st.lists(session_states(), max_size=7), missing=st.integers(1, 8), opening=st.integers(0, 8))
def test_as_many_connections_as_fixed_sessions_never_share_one_when_some_have_ended(
    sessions: list[SessionState], missing: int, opening: int
) -> None:
    """Sessions end after 20 minutes without input, so a forward that was left alone has fewer than it began with."""
    empty = [replace(state, connections=0, active=0, recent=0) for state in sessions]
    count = len(empty) + missing
    simulation = Simulation(fixed(count), sessions=empty)
    simulation.opening = [simulation.now + simulation.opening_time] * min(opening, missing)
    simulation.connect(count)
    simulation.run(2.5)
    assert simulation.placed() == [1] * count


def test_connection_shares_a_session_if_the_missing_one_cannot_be_opened() -> None:
    policy = fixed(2)
    assert policy.decide([ACTIVE], [10.0], 0, 10.0) == Decision(open=1, decide_again_at=10.0 + POLL_INTERVAL)
    policy.open_failed(1, 10.5)
    assert policy.decide([ACTIVE], [10.0], 0, 10.5) == Decision(assign=(0,))


def test_session_that_replaced_one_of_an_agent_that_is_back_is_closed_when_idle() -> None:
    assert fixed(2).decide([IDLE, ACTIVE, IDLE], [], 0, 1e6).close == (2,)


def test_session_without_connections_is_not_saturated() -> None:
    stale = replace(IDLE, saturated=True)  # the download has ended, the measurement not yet
    assert fixed(2).decide([ACTIVE, stale], [10.0], 0, 10.0).assign == (1,)
    decision = PoolPolicy(PoolSettings()).decide([stale], [10.0], 0, 10.0)
    assert (decision.assign, decision.open) == ((0,), 0)


def test_interrupted_session_is_used_last_even_without_connections() -> None:
    interrupted = replace(IDLE, interrupted=True)
    assert fixed(2).decide([interrupted, SATURATED], [10.0], 0, 10.0).assign == (1,)
    assert fixed(2).decide([interrupted, interrupted], [10.0], 0, 10.0).assign == (0,)
    assert PoolPolicy(PoolSettings()).decide([interrupted], [10.0], 0, 10.0 + 2 * OBSERVE_TIME).open == 1


def test_connection_counts_as_load_until_it_has_shown_what_it_transfers() -> None:
    new = replace(IDLE, connections=1, active=1, recent=1, attached_at=9.9)
    assert fixed(2).decide([new, SATURATED], [10.0], 0, 10.0).assign == (1,)
    assert fixed(2).decide([replace(new, recent=0), SATURATED], [10.0], 0, 10.0).assign == (0,)


UNRESPONSIVE = replace(ACTIVE, unresponsive=True)


def test_session_of_a_silent_agent_gets_no_connection_and_is_replaced() -> None:
    for policy in (PoolPolicy(PoolSettings()), fixed(1)):
        decision = policy.decide([UNRESPONSIVE], [10.0], 0, 10.0)
        assert (decision.assign, decision.open) == ((), 1)
        assert policy.decide([UNRESPONSIVE, IDLE], [10.0], 0, 10.0).assign == (1,)


def test_silent_agents_are_replaced_once_each() -> None:
    assert fixed(2).decide([UNRESPONSIVE] * 4, [10.0], 0, 10.0).open == 0


def test_connection_that_finds_only_silent_agents_is_refused_after_a_while() -> None:
    policy = PoolPolicy(PoolSettings())
    assert policy.decide([UNRESPONSIVE], [10.0], 1, 10.0 + NO_SESSION_TIMEOUT - 1).refuse == 0
    assert policy.decide([UNRESPONSIVE], [10.0], 1, 10.0 + NO_SESSION_TIMEOUT + 1).refuse == 1


def test_lazy_pool_opens_its_first_session_for_the_first_connection_and_closes_the_last_when_idle() -> None:
    for grow in (True, False):
        policy = PoolPolicy(PoolSettings(lazy=True, idle_timeout=60.0, grow=grow))
        assert policy.initial_sessions() == 0
        assert policy.decide([], [], 0, 10.0).open == 0
        assert policy.decide([], [10.0], 0, 10.0).open == 1
        idle = replace(IDLE, idle_since=10.0)
        assert policy.decide([idle], [], 0, 69.0).close == ()
        assert policy.decide([idle], [], 0, 71.0).close == (0,)
