"""The sessions behind one destination: opened when needed, replaced when the service ends them, closed when idle.

A session goes no faster than the service lets it (spec 13.2), so more speed is more sessions. A connection stays on the
session that it began on; what can be chosen is where the next one goes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aws_runas.errors import AwsRunasError
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.events import LocalClosed, Notify, SessionNotOpened, SessionOpened, SessionOver
from aws_runas.ssm.forward.session import ForwardSession
from aws_runas.ssm.forward.settings import PoolSettings

TICK: Final = 0.25  # seconds
SETTLE: Final = 0.1  # seconds that a connection waits to see whether the one before it fills the session
LOOK: Final = 0.02  # seconds between two looks while a connection waits
WAIT_FOR_SESSION: Final = 60.0  # seconds that it waits where there is none at all
RETRY: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds before another attempt to open one
GROW_AGAIN: Final = 60.0  # seconds before trying again to open one that is not strictly needed


@dataclass(slots=True)
class _Waiting:
    connection: LocalConnection
    local: str
    since: float


class SessionPool:
    """Spreads connections over sessions.

    Args:
        open_session: opens one more; raises AwsRunasError where that fails, and leaves nothing behind when cancelled.
    """

    def __init__(
        self,
        open_session: Callable[[SessionPool], Awaitable[ForwardSession]],
        notify: Notify,
        settings: PoolSettings,
    ) -> None:
        self._open_session = open_session
        self._notify = notify
        self._settings = settings
        self._sessions: list[ForwardSession] = []
        self._waiting: deque[_Waiting] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._not_before = 0.0  # monotonic: no attempt to open before
        self._ticker: asyncio.Task[None] | None = None
        self._look: asyncio.TimerHandle | None = None
        self._over = False

    async def start(self) -> None:
        """Open the first session, and see whether the destination can be served at all.

        Raises:
            AwsRunasError: it cannot.
        """
        session = await self._open_session(self)
        self._add(session)
        self._ticker = asyncio.get_running_loop().create_task(self._tick_for_ever())
        if not self._settings.grow:
            for _ in range(self._settings.most - 1):
                self._open_one()

    async def close(self) -> None:
        """End every session and every connection."""
        self._over = True
        if self._ticker is not None:
            self._ticker.cancel()
        for task in self._opening:
            task.cancel()
        if self._look is not None:
            self._look.cancel()
        while self._waiting:
            self._turn_away(self._waiting.popleft())
        sessions, self._sessions = self._sessions, []
        ending = [asyncio.ensure_future(session.close()) for session in sessions]
        ending += [*self._opening, *self._closing]
        await asyncio.gather(*ending, return_exceptions=True)

    def place(self, connection: LocalConnection, local: str) -> None:
        """Carry a connection, now or as soon as a session can."""
        self._waiting.append(_Waiting(connection, local, time.monotonic()))
        self._serve()

    def ready(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    # SessionOwner

    def session_over(self, session: ForwardSession, error: Exception | None) -> None:
        """See forward_session."""
        if session not in self._sessions:
            return
        needed = bool(session.connections())
        self._sessions.remove(session)
        reason = str(error) if error is not None else ""
        self._notify(SessionOver(session.session_id, reason, len(self._sessions)))
        if self._over:
            return
        if (needed or self._waiting) and not self._sessions and not self._opening:
            self._open_one()

    def became_available(self) -> None:
        """See forward_session."""
        self._serve()

    # inside

    def _serve(self) -> None:
        """Give waiting connections to sessions, in their order."""
        now = time.monotonic()
        while self._waiting and not self._over:
            session = self._best()
            first = self._waiting[0]
            if session is None:
                self._need_one(now)
                return
            if self._settings.grow and self._hold(session, now - first.since, now):
                self._look_again()
                return
            self._waiting.popleft()
            session.attach(first.connection, first.local)

    def _hold(self, session: ForwardSession, waited: float, now: float) -> bool:
        """Whether a connection does better to wait than to go to the best session there is.

        One that comes right after the first on a session waits for what that one does: of eight transfers that begin
        together, seven would else be on the session that the first fills.
        """
        if waited >= self._settings.patience:
            return False
        if not session.busy():
            return session.active() > 0 and now - session.occupied_since < SETTLE
        return waited < SETTLE or self._grow(now)

    def _look_again(self) -> None:
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK, self._looked)

    def _looked(self) -> None:
        self._look = None
        self._serve()

    def _best(self) -> ForwardSession | None:
        able = [session for session in self._sessions if session.available()]
        return min(able, key=lambda session: (session.busy(), session.connections()), default=None)

    def _need_one(self, now: float) -> None:
        """There is no session that could take a connection."""
        if len(self._sessions) + len(self._opening) >= self._settings.most:
            return  # agents too old for smux: one connection after the other
        if not self._opening and now >= self._not_before:
            self._open_one()

    def _grow(self, now: float) -> bool:
        """Open more sessions where that is allowed; whether one is on its way."""
        if self._opening:
            return True
        room = self._settings.most - len(self._sessions)
        if now < self._not_before or room <= 0:
            return False
        for _ in range(min(room, len(self._sessions), max(1, len(self._waiting)))):  # at most twice as many
            self._open_one()
        return True

    def _open_one(self) -> None:
        task = asyncio.get_running_loop().create_task(self._open())
        self._opening.add(task)

    async def _open(self) -> None:
        task = asyncio.current_task()
        try:
            session = await self._open_session(self)
        except AwsRunasError as error:
            self._could_not_open(error)
        else:
            if self._over:
                await session.close()
            else:
                self._add(session)
        finally:
            if task is not None:
                self._opening.discard(task)
        self._serve()

    def _add(self, session: ForwardSession) -> None:
        self._failures = 0
        self._not_before = 0.0
        self._sessions.append(session)
        self._notify(SessionOpened(session.session_id, session.agent_version, len(self._sessions)))
        if session.over:
            self.session_over(session, None)

    def _could_not_open(self, error: AwsRunasError) -> None:
        if self._over:
            return
        delay = RETRY[min(self._failures, len(RETRY) - 1)]
        self._failures += 1
        if self._sessions:
            delay = GROW_AGAIN
        self._not_before = time.monotonic() + delay
        needed = bool(self._waiting) and not self._sessions
        self._notify(SessionNotOpened(error.message, delay if needed else None))

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._tick(time.monotonic())

    def _tick(self, now: float) -> None:
        for session in list(self._sessions):
            session.tick(now)
        while self._waiting and not self._sessions and now - self._waiting[0].since > WAIT_FOR_SESSION:
            self._turn_away(self._waiting.popleft())
        if self._waiting:
            self._serve()
        if self._settings.grow:
            self._grow_when_crowded(now)
            self._close_idle(now)

    def _turn_away(self, waiting: _Waiting) -> None:
        """No session for this connection."""
        connection = waiting.connection
        connection.reset()
        seconds = time.monotonic() - waiting.since
        self._notify(LocalClosed(connection.number, 0, 0, seconds, "no session could be opened"))

    def _grow_when_crowded(self, now: float) -> None:
        """Several connections share a session that runs at its pace, and no other is free: have one for the next."""
        crowded = any(session.busy() and session.connections() > 1 for session in self._sessions)
        if crowded and all(session.busy() for session in self._sessions):
            self._grow(now)

    def _close_idle(self, now: float) -> None:
        for session in self._sessions[1:]:
            if not session.connections() and now - session.idle_since > self._settings.idle:
                self._sessions.remove(session)
                self._notify(SessionOver(session.session_id, "", len(self._sessions)))
                task = asyncio.get_running_loop().create_task(session.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
