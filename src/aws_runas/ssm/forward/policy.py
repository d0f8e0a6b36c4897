"""Decisions about sessions, without I/O or a clock: which one gets a connection, and when one is opened or closed.

The service limits the speed of one session (spec 13.2), so several transfers need several sessions. A connection stays
on the session on which it started; only the session of the next connection can be chosen. `pool.Pool` carries out the
decisions of `PoolPolicy.decide`.

Imports nothing expensive, because the command-line parser imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Final

from aws_runas.dataclass import dataclass

MAX_SESSIONS: Final = 8
MAX_CONNECTION_WAIT: Final = 2.0  # seconds that a connection waits for an unsaturated session
IDLE_SESSION_TIMEOUT: Final = 60.0  # seconds without a connection until an additional session is closed
OBSERVE_TIME: Final = 0.1  # seconds that a connection waits to see whether the previous one saturates the session
PLACEMENT_TIME: Final = 0.3  # seconds that a new connection counts as load; saturation is measured within 0.2
POLL_INTERVAL: Final = 0.02  # seconds between two decisions while a connection waits for an unsaturated session
NO_SESSION_TIMEOUT: Final = 60.0  # seconds that a connection waits while no session is open
RETRY_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds until the next attempt to open a needed session
GROW_RETRY_DELAY: Final = 60.0  # seconds until the next attempt to open an additional session


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Limits of a pool.

    Args:
        max_sessions: maximum number of open sessions.
        grow: start with one session and open more when connections wait for a saturated one; False opens all at once,
            and opens missing ones again for a connection that would share a session.
        idle_timeout: seconds, see IDLE_SESSION_TIMEOUT.
        max_wait: seconds, see MAX_CONNECTION_WAIT.
        lazy: open no session before the first connection, and close the last one when idle too.
    """

    max_sessions: int = MAX_SESSIONS
    grow: bool = True
    idle_timeout: float = IDLE_SESSION_TIMEOUT
    max_wait: float = MAX_CONNECTION_WAIT
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class SessionState:
    """State of one open session, as the policy needs it.

    Args:
        capacity: number of further connections that it can carry.
        saturated: it transfers as fast as it can, or did so a moment ago.
        interrupted: it cannot transfer at the moment.
        unresponsive: its agent does not answer. It gets no connection, and is not counted as a session.
        connections: connections that it carries.
        active: of these, connections that may still transfer data.
        recent: active connections that it got within PLACEMENT_TIME.
        attached_at: monotonic seconds; when it got its last connection.
        occupied_since: monotonic seconds; when it last got a connection while none was active.
        idle_since: monotonic seconds; when it last had a connection.
    """

    capacity: int
    saturated: bool = False
    interrupted: bool = False
    unresponsive: bool = False
    connections: int = 0
    active: int = 0
    recent: int = 0
    attached_at: float = float("-inf")
    occupied_since: float = float("-inf")
    idle_since: float = float("-inf")

    @property
    def busy(self) -> bool:
        """True if another connection would be faster elsewhere. If none is active, only an interruption counts."""
        return self.interrupted or (self.saturated and self.active > 0)

    @property
    def load(self) -> tuple[bool, int, float, int]:
        """Sort key: the smallest is the best session for the next connection.

        A new connection counts as much as a saturated session until its transfer rate is known: the measurement is too
        late for connections that arrive together, and is still high just after a transfer. Of sessions with new
        connections, the best is the one whose last connection is the oldest.
        """
        attached_at = self.attached_at if self.recent else float("-inf")
        return self.interrupted, max(int(self.busy), self.recent), attached_at, self.connections


@dataclass(frozen=True, slots=True)
class Decision:
    """The next steps of the pool. Indices refer to the sessions that were passed to `decide`.

    Args:
        assign: index of the session for each connection that gets one, in queue order.
        refuse: waiting connections to reset, from the front of the queue; never together with `assign`.
        open: sessions to open.
        close: indices of sessions to close.
        decide_again_at: monotonic seconds; None if the regular tick of the pool is soon enough.
    """

    assign: tuple[int, ...] = ()
    refuse: int = 0
    open: int = 0
    close: tuple[int, ...] = ()
    decide_again_at: float | None = None


class PoolPolicy:
    """Decisions for one pool.

    Stores only failed attempts and the need for a replacement; everything else is an argument.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._open_not_before = float("-inf")  # monotonic seconds, for a session that is needed
        self._grow_not_before = float("-inf")  # monotonic seconds, for an additional session
        self._replacement_needed = False

    def initial_sessions(self) -> int:
        """Return how many sessions to open when the pool starts."""
        if self._settings.lazy:
            return 0
        return 1 if self._settings.grow else self._settings.max_sessions

    def session_opened(self) -> None:
        """Note that a session was opened."""
        self._failures = 0
        self._open_not_before = self._grow_not_before = float("-inf")
        self._replacement_needed = False

    def session_ended(self, connections: int) -> None:
        """Note that a session ended by itself.

        Args:
            connections: connections that it carried. Their programs are likely to connect again at once.
        """
        self._replacement_needed = self._replacement_needed or connections > 0

    def open_failed(self, open_sessions: int, now: float) -> float:
        """Note that a session could not be opened.

        Args:
            open_sessions: number of open sessions, without unresponsive ones.
            now: monotonic seconds.

        Returns:
            Seconds until the next attempt.
        """
        if open_sessions:
            self._grow_not_before = now + GROW_RETRY_DELAY
            return GROW_RETRY_DELAY
        delay = RETRY_DELAYS[min(self._failures, len(RETRY_DELAYS) - 1)]
        self._failures += 1
        self._open_not_before = now + delay
        self._replacement_needed = False
        return delay

    def decide(self, sessions: Sequence[SessionState], waiting: Sequence[float], opening: int, now: float) -> Decision:
        """Return the steps to take now. The caller must take all of them before it calls `decide` again.

        Args:
            sessions: the open sessions, oldest first.
            waiting: for each connection without a session, in queue order, when it began to wait (monotonic seconds).
            opening: number of sessions that are being opened.
            now: monotonic seconds.
        """
        draft = _Draft(list(sessions), len(waiting), opening)
        hold = False
        for since in waiting:
            best = _best_session(draft.sessions)
            if best is None:
                self._open_needed(draft, now)
                break
            if self._should_wait(draft, best, now - since, now):
                hold = True
                break
            draft.assign_to(best, now)
        if self._replacement_needed and not draft.usable():
            self._open_needed(draft, now)
        if self._settings.grow and _is_crowded(draft.sessions):
            self._grow(draft, now)
        return Decision(
            assign=tuple(draft.assigned),
            refuse=0 if draft.usable() else sum(now - since > NO_SESSION_TIMEOUT for since in waiting),
            open=draft.to_open,
            close=self._idle_sessions(draft.sessions, now),
            decide_again_at=now + POLL_INTERVAL if hold else None,
        )

    def _should_wait(self, draft: _Draft, best: int, waited: float, now: float) -> bool:
        """Return True if a connection should wait instead of using the best open session.

        A connection that arrives right after the first one on a session waits until the load of the first one is known.
        Otherwise, of eight transfers that start together, seven would share the session that the first one saturates.
        """
        if waited >= self._settings.max_wait:
            return False
        session = draft.sessions[best]
        if not self._settings.grow:  # a session that ended must not make two transfers share one
            return (session.active > 0 or session.interrupted) and self._grow(draft, now)
        if not session.busy:
            return session.active > 0 and now - session.occupied_since < OBSERVE_TIME
        return waited < OBSERVE_TIME or self._grow(draft, now)

    def _open_needed(self, draft: _Draft, now: float) -> None:
        """Open a session because no session can take a connection."""
        if self._room(draft) - draft.opening <= 0:
            return  # agents too old for smux carry one connection at a time
        if not draft.opening and not draft.to_open and now >= self._open_not_before:
            draft.to_open = 1

    def _grow(self, draft: _Draft, now: float) -> bool:
        """Open additional sessions if the limit allows it; return True if any is being opened."""
        if draft.opening or draft.to_open:
            return True
        room = self._room(draft)
        if now < self._grow_not_before or room <= 0:
            return False
        at_once = min(draft.usable(), max(1, draft.waiting))  # at most twice as many as before
        draft.to_open = min(room, at_once) if self._settings.grow else room
        return draft.to_open > 0

    def _room(self, draft: _Draft) -> int:
        """Return how many sessions may be opened. Each unresponsive session is replaced, but only once."""
        limit = self._settings.max_sessions
        return min(limit - draft.usable(), 2 * limit - len(draft.sessions))

    def _idle_sessions(self, sessions: Sequence[SessionState], now: float) -> tuple[int, ...]:
        kept = 0 if self._settings.lazy else self.initial_sessions()
        return tuple(
            index
            for index, session in enumerate(sessions)
            if index >= kept and not session.connections and now - session.idle_since > self._settings.idle_timeout
        )


@dataclass(slots=True)
class _Draft:
    """Draft of a decision: the state of the sessions after the assignments made so far."""

    sessions: list[SessionState]
    waiting: int
    opening: int
    to_open: int = 0
    assigned: list[int] = field(default_factory=list)

    def usable(self) -> int:
        """Return how many sessions can carry connections."""
        return sum(not session.unresponsive for session in self.sessions)

    def assign_to(self, index: int, now: float) -> None:
        session = self.sessions[index]
        self.sessions[index] = replace(
            session,
            capacity=session.capacity - 1,
            connections=session.connections + 1,
            active=session.active + 1,
            recent=session.recent + 1,
            attached_at=now,
            occupied_since=session.occupied_since if session.active else now,
        )
        self.assigned.append(index)
        self.waiting -= 1


def _best_session(sessions: Sequence[SessionState]) -> int | None:
    indices = [index for index, session in enumerate(sessions) if session.capacity > 0 and not session.unresponsive]
    return min(indices, key=lambda index: sessions[index].load, default=None)


def _is_crowded(sessions: Sequence[SessionState]) -> bool:
    """Return True if connections share a busy session and no other session is free for the next one."""
    usable = [session for session in sessions if not session.unresponsive]
    return all(session.busy for session in usable) and any(session.connections > 1 for session in usable)
