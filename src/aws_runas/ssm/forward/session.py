"""One SSM session of a forward: its start, the connections that it carries, and its end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from aws_runas.errors import SessionError
from aws_runas.ssm import versions
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.forward.basic import BasicMultiplexer
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.events import (
    AgentAnswered,
    AgentSilent,
    ConnectionLost,
    ConnectionRegained,
    HalfCloseTimedOut,
    LocalClosed,
    LocalOpened,
    Notify,
    RemoteRefused,
)
from aws_runas.ssm.forward.multiplexer import Multiplexer, MultiplexerSettings
from aws_runas.ssm.forward.mux import SmuxMultiplexer
from aws_runas.ssm.forward.policy import PLACEMENT_TIME, SessionState
from aws_runas.ssm.session_start import wait_for_start
from aws_runas.ssm.transport.interfaces import DataChannel, OpenChannel, SessionHandler
from aws_runas.ssm.transport.keepalive import AGENT_SILENT_AFTER

SHORT_INTERRUPTION: Final = 1.0  # seconds; the hourly reconnect is faster, and no reason to open another session
AGENT_SILENCE_LIMIT: Final = 120.0  # seconds without an answer until the session is ended
CONNECT_TO_PORT_ERROR: Final = 3  # flag, spec 4


class SessionOwner(Protocol):
    """The pool that a session belongs to. Called on the event loop."""

    def session_ended(self, session: ForwardSession, error: Exception | None) -> None:
        """Note that a started session has ended; the owner must close it.

        Args:
            session: the session.
            error: the reason, None if `close` ended it.
        """

    def became_available(self) -> None:
        """Note that a session can carry another connection."""


class ForwardSession:
    """Implements SessionHandler and MultiplexerOwner.

    Args:
        owner: the pool. It calls `close`, also after `session_ended`.
        notify: called with each event.
        settings: settings of the multiplexer.
        destination: destination for display, such as ``i-deadbeef:9000``.
        remote_host: True if the destination is a host behind the instance.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        owner: SessionOwner,
        notify: Notify,
        settings: MultiplexerSettings,
        *,
        destination: str,
        remote_host: bool,
        clock: Callable[[], float],
    ) -> None:
        self.session_id = ""
        self.agent_version = ""
        self.over = False
        self.error: Exception | None = None  # why the session is over
        self._clock = clock
        self._idle_since = clock()
        self._occupied_since = float("-inf")
        self._attached_at: deque[float] = deque()  # within PLACEMENT_TIME
        self._connection_lost_at: float | None = None  # when its WebSocket was lost; it is being resumed
        self._silent_since: float | None = None  # since when the agent does not answer
        self._owner = owner
        self._notify = notify
        self._settings = settings
        self._destination = destination
        self._remote_host = remote_host
        self._channel: DataChannel | None = None
        self._multiplexer: Multiplexer | None = None
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False

    async def open(self, open_channel: OpenChannel) -> None:
        """Start the session at the service and wait until data may flow.

        Raises:
            AwsRunasError: the session could not be started; it has been ended again.
        """
        self.session_id = await open_channel(self._set_channel)
        try:
            await wait_for_start(asyncio.shield(self._started))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the session at the service and reset its connections. Idempotent."""
        self._closing = True
        if self._channel is not None:
            await self._channel.terminate()
        self._end(None)

    # for the pool

    def attach(self, connection: LocalConnection, local: str) -> None:
        """Carry one more connection. Call only while `state` shows capacity."""
        if self._multiplexer is not None:
            now = self._clock()
            self._attached_at.append(now)
            if not self._multiplexer.active():
                self._occupied_since = now
            self._notify(LocalOpened(connection.number, connection.peer, local, self.session_id))
            self._multiplexer.attach(connection)

    def state(self, now: float) -> SessionState:
        """Return the state of the session for the policy of the pool.

        Args:
            now: monotonic seconds.
        """
        multiplexer = self._multiplexer
        if multiplexer is None or self.over:
            return SessionState(capacity=0)
        while self._attached_at and now - self._attached_at[0] >= PLACEMENT_TIME:
            self._attached_at.popleft()
        lost_at = self._connection_lost_at
        active = multiplexer.active()
        return SessionState(
            capacity=multiplexer.capacity(),
            saturated=multiplexer.saturated(now),
            unresponsive=self._silent_since is not None,
            interrupted=lost_at is not None and now - lost_at > SHORT_INTERRUPTION,
            connections=multiplexer.connections(),
            active=active,
            recent=min(len(self._attached_at), active),
            attached_at=self._attached_at[-1] if self._attached_at else float("-inf"),
            occupied_since=self._occupied_since,
            idle_since=self._idle_since,
        )

    def check_connection(self) -> None:
        """Check soon whether the WebSocket still works; see DataChannel.check_connection."""
        if self._channel is not None:
            self._channel.check_connection()

    def connections(self) -> int:
        """Return how many connections it carries."""
        return self._multiplexer.connections() if self._multiplexer is not None else 0

    def handle_timer(self, now: float) -> None:
        """Perform actions that are due. Called about four times a second.

        Args:
            now: monotonic seconds.
        """
        self._check_agent(now)
        if self._multiplexer is not None:
            self._multiplexer.handle_timer(now)
            if self._multiplexer.connections():
                self._idle_since = now

    # SessionHandler

    def session_started(self, event: SessionStarted) -> None:
        self.agent_version = event.agent_version
        try:
            versions.check_forwarding(event.agent_version, remote_host=self._remote_host)
        except SessionError as error:
            self._fail_start(error)
            return
        if self._channel is None or self._started.done():
            return
        if versions.later_than(event.agent_version, versions.MULTIPLEXING):
            keepalive = not versions.later_than(event.agent_version, versions.NO_KEEPALIVE)
            self._multiplexer = SmuxMultiplexer(
                self._channel, self, self._settings, keepalive=keepalive, clock=self._clock
            )
        else:
            self._multiplexer = BasicMultiplexer(self._channel, self, self._settings, clock=self._clock)
        self._started.set_result(None)

    def data_received(self, data: bytes, payload_type: int) -> None:
        if self._multiplexer is not None and payload_type == 1:
            self._multiplexer.data_received(data)

    def exit_code_received(self, exit_code: int) -> None:
        pass  # port sessions have no exit code

    def flag_received(self, flag: int) -> None:
        if flag == CONNECT_TO_PORT_ERROR and self._multiplexer is not None:
            self._multiplexer.connect_failed()

    def writable(self) -> None:
        if self._multiplexer is not None:
            self._multiplexer.writable()

    def connection_lost(self, reason: str) -> None:
        if self._connection_lost_at is None:
            self._connection_lost_at = self._clock()
        self._notify(ConnectionLost(self.session_id, reason))

    def connection_regained(self, seconds: float) -> None:
        self._connection_lost_at = None
        self._notify(ConnectionRegained(self.session_id, seconds))

    def session_ended(self, error: Exception | None, output: str) -> None:  # noqa: ARG002 - error contains it
        if not self._started.done():
            self._fail_start(error or SessionError("the session ended before it started", code="session-ended"))
        if error is None and not self._closing:
            error = SessionError("the service ended the session", code="session-ended")
        self._end(error)

    # MultiplexerOwner

    def connection_ended(self, connection: LocalConnection, reason: str) -> None:
        self._idle_since = self._clock()
        seconds = self._idle_since - connection.opened_at
        self._notify(LocalClosed(connection.number, connection.sent, connection.received, seconds, reason))

    def connection_refused(self, connection: LocalConnection) -> None:
        self._notify(RemoteRefused(connection.number, self._destination))

    def half_close_timed_out(self, connection: LocalConnection, seconds: float) -> None:
        self._notify(HalfCloseTimedOut(connection.number, seconds))

    def became_available(self) -> None:
        self._owner.became_available()

    def multiplexer_failed(self, reason: str) -> None:
        self._end(SessionError(reason, code="session-failed"))

    # inside

    def _check_agent(self, now: float) -> None:
        """Report an agent that does not answer, and end its session after AGENT_SILENCE_LIMIT."""
        if self._channel is None or self.over:
            return
        silent_for = self._channel.agent_silent_for()
        if self._silent_since is None and silent_for >= AGENT_SILENT_AFTER:
            self._silent_since = now - silent_for
            self._notify(AgentSilent(self.session_id, silent_for))
        elif self._silent_since is not None and silent_for < AGENT_SILENT_AFTER:
            self._notify(AgentAnswered(self.session_id, now - self._silent_since))
            self._silent_since = None
        elif silent_for >= AGENT_SILENCE_LIMIT:
            reason = f"the agent has not answered for {AGENT_SILENCE_LIMIT:.0f} s"
            self._end(
                SessionError(
                    reason,
                    code="agent-silent",
                    hint="check the instance and its agent; the next connection opens a new session",
                )
            )

    def _set_channel(self, channel: DataChannel) -> SessionHandler:
        self._channel = channel
        return self

    def _fail_start(self, error: Exception) -> None:
        if not self._started.done():
            self._started.set_exception(error)
            self._started.exception()  # marks it as retrieved: there may be no waiter left

    def _end(self, error: Exception | None) -> None:
        if self.over:
            return
        self.over = True
        self.error = error
        if self._multiplexer is not None:
            self._multiplexer.session_ended()
            self._owner.session_ended(self, error)
