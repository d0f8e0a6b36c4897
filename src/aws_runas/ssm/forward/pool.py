"""The sessions of one destination: opens, assigns and closes them as `PoolPolicy` decides."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.events import LocalClosed, Notify, SessionEnded, SessionNotOpened, SessionOpened
from aws_runas.ssm.forward.policy import PoolPolicy, PoolSettings
from aws_runas.ssm.forward.session import ForwardSession

TICK_INTERVAL: Final = 0.25  # seconds
# errors that only the user can fix, so connections are not kept waiting
HOPELESS: Final = ("mfa-no-terminal", "keyring-locked", "login-needed")


@dataclass(slots=True)
class _Waiting:
    connection: LocalConnection
    local: str
    since: float  # monotonic seconds


class Pool:
    """Spreads connections over sessions.

    Args:
        open_session: opens one more session for the pool that is passed. Raises AwsRunasError if that fails, and leaves
            no session behind when it is cancelled.
        notify: called with each event.
        settings: limits.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        open_session: Callable[[Pool], Awaitable[ForwardSession]],
        notify: Notify,
        settings: PoolSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_session = open_session
        self._notify = notify
        self._clock = clock
        self._policy = PoolPolicy(settings)
        self._sessions: list[ForwardSession] = []
        self._waiting: deque[_Waiting] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def start(self) -> None:
        """Open the first session, to check that the destination can be served at all. A lazy pool opens none.

        Raises:
            AwsRunasError: the session could not be opened.
        """
        count = self._policy.initial_sessions()
        if count:
            self._add(await self._open_session(self))
        self._keep_ticking()
        for _ in range(count - 1):
            self._spawn(self._open(), self._opening)

    async def close(self) -> None:
        """End every session and every connection, and wait until that is done."""
        self._closed = True
        for task in (*self._opening, *([self._ticker] if self._ticker else [])):
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            self._refuse(self._waiting.popleft())
        sessions, self._sessions = self._sessions, []
        for session in sessions:
            self._spawn(session.close(), self._closing)
        await asyncio.gather(*self._opening, *self._closing, return_exceptions=True)

    def place(self, connection: LocalConnection, local: str) -> None:
        """Assign a connection to a session, now or as soon as one is available."""
        waiting = _Waiting(connection, local, self._clock())
        if self._closed:
            self._refuse(waiting)
            return
        self._waiting.append(waiting)
        self._step()

    def session_count(self) -> int:
        """Return how many sessions are open."""
        return len(self._sessions)

    def is_opening(self) -> bool:
        """Return True while a session is being opened."""
        return bool(self._opening)

    def check_connections(self) -> None:
        """Check soon whether the WebSockets still work; see DataChannel.check_connection."""
        for session in self._sessions:
            session.check_connection()

    def retry_now(self) -> None:
        """Let the next connection open a session at once, regardless of earlier failures."""
        self._policy.session_opened()
        self._step()

    def tick(self) -> None:
        """Perform actions that are due. Called every TICK_INTERVAL."""
        now = self._clock()
        for session in list(self._sessions):
            session.handle_timer(now)
        self._step()

    # SessionOwner

    def session_ended(self, session: ForwardSession, error: Exception | None) -> None:
        """Drop a session that has ended by itself, and replace it if it is needed."""
        if session not in self._sessions:
            return
        self._policy.session_ended(session.connections())
        self._remove(session, str(error) if error is not None else "")
        self._step()

    def became_available(self) -> None:
        """Assign a waiting connection to the session that can carry one again."""
        self._step()

    # inside

    def _step(self) -> None:
        """Get a decision from the policy and carry it out."""
        if self._closed:
            return
        now = self._clock()
        sessions = list(self._sessions)
        states = [session.state(now) for session in sessions]
        decision = self._policy.decide(states, [waiting.since for waiting in self._waiting], len(self._opening), now)
        for index in decision.assign:
            waiting = self._waiting.popleft()
            sessions[index].attach(waiting.connection, waiting.local)
        for _ in range(decision.refuse):
            self._refuse(self._waiting.popleft())
        for _ in range(decision.open):
            self._spawn(self._open(), self._opening)
        for index in decision.close:
            self._remove(sessions[index], "")
        self._keep_ticking()
        if decision.decide_again_at is not None and self._timer is None:
            delay = decision.decide_again_at - now
            self._timer = asyncio.get_running_loop().call_later(delay, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._step()

    async def _open(self) -> None:
        """Open one more session."""
        try:
            session = await self._open_session(self)
        except AwsRunasError as error:
            self._open_failed(error)
        else:
            if self._closed:
                await session.close()
            else:
                self._add(session)

    def _add(self, session: ForwardSession) -> None:
        self._policy.session_opened()
        self._sessions.append(session)
        self._notify(SessionOpened(session.session_id, session.agent_version, len(self._sessions)))
        if session.over:
            self.session_ended(session, session.error)

    def _remove(self, session: ForwardSession, reason: str) -> None:
        """Drop a session and release its resources."""
        self._sessions.remove(session)
        self._notify(SessionEnded(session.session_id, reason, len(self._sessions)))
        self._spawn(session.close(), self._closing)

    def _open_failed(self, error: AwsRunasError) -> None:
        if self._closed:
            return
        now = self._clock()
        usable = sum(not session.state(now).unresponsive for session in self._sessions)
        delay = self._policy.open_failed(usable, now)
        needed = bool(self._waiting) and not usable
        self._notify(SessionNotOpened(error.summary, delay if needed else None, error.code))
        while error.code in HOPELESS and self._waiting and not usable:
            self._refuse(self._waiting.popleft())

    def _refuse(self, waiting: _Waiting) -> None:
        """Reset a connection that got no session."""
        connection = waiting.connection
        connection.reset()
        seconds = self._clock() - waiting.since
        self._notify(LocalClosed(connection.number, 0, 0, seconds, "no session could be opened"))

    def _keep_ticking(self) -> None:
        """Tick while any timed action is pending; an idle lazy pool does not wake the machine."""
        if self._ticker is None and (self._sessions or self._waiting):
            self._ticker = asyncio.get_running_loop().create_task(self._tick_until_idle())

    async def _tick_until_idle(self) -> None:
        while self._sessions or self._waiting:
            await asyncio.sleep(TICK_INTERVAL)
            self.tick()
        self._ticker = None

    def _spawn(self, coroutine: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
        """Run a coroutine as a task of this pool; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(lambda done: self._task_done(done, tasks))

    def _task_done(self, task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
        tasks.discard(task)
        if tasks is self._opening:
            self._step()
