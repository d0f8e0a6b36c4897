"""One session of a forward: opened, carrying connections, ended; and what of it the pool wants to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm import versions
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.forward.basic import PortCarrier
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.events import (
    ConnectionLost,
    ConnectionRegained,
    LocalClosed,
    LocalOpened,
    Notify,
    RemoteRefused,
)
from aws_runas.ssm.forward.multiplexer import Carrier
from aws_runas.ssm.forward.mux import MuxCarrier
from aws_runas.ssm.forward.settings import CarrierSettings
from aws_runas.ssm.transport.handler import DataChannel, SessionHandler

START_TIMEOUT: Final = 30.0  # seconds for the agent's handshake; the agent itself gives up after 15 + 15
SHORT_CUT: Final = 1.0  # seconds; the hourly cut is mended faster, and no reason for another session
CONNECT_TO_PORT_ERROR: Final = 3  # flag, spec 4


OpenChannel = Callable[[Callable[[DataChannel], SessionHandler]], Awaitable[str]]
"""Start a session and connect it with the handler that is made; returns the session id."""


class SessionOwner(Protocol):
    """The pool."""

    def session_over(self, session: ForwardSession, error: Exception | None) -> None:
        """A session that had started has ended. error: why, None where we wanted it."""

    def became_available(self) -> None:
        """A session can take another connection."""


class ForwardSession:
    """Implements SessionHandler and CarrierReport.

    Args:
        destination: for people, ``i-deadbeef:9000``.
        remote_host: the destination lies behind the instance.
    """

    def __init__(
        self, owner: SessionOwner, notify: Notify, settings: CarrierSettings, *, destination: str, remote_host: bool
    ) -> None:
        self.session_id = ""
        self.agent_version = ""
        self.idle_since = time.monotonic()
        self.occupied_since = 0.0  # monotonic: when it last got a connection that it does not share
        self.over = False
        self._lost_at: float | None = None  # its connection was cut then, and is being resumed
        self._owner = owner
        self._notify = notify
        self._settings = settings
        self._destination = destination
        self._remote_host = remote_host
        self._channel: DataChannel | None = None
        self._carrier: Carrier | None = None
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving = False

    async def open(self, open_channel: OpenChannel) -> None:
        """Start the session at the service and wait until data may flow.

        Raises:
            AwsRunasError: it could not be started; nothing of it is left.
        """
        self.session_id = await open_channel(self._made)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await asyncio.shield(self._started)
        except TimeoutError:
            await self.close()
            raise SessionError(
                f"the agent on the target said nothing within {START_TIMEOUT:.0f} s", code="session-start-timeout"
            ) from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the session at the service and break off its connections. Idempotent."""
        self._leaving = True
        if self._channel is not None:
            await self._channel.terminate()
        self._end(None)

    # for the pool

    def attach(self, connection: LocalConnection, local: str) -> None:
        """Carry one more connection; only when available."""
        if self._carrier is not None:
            if not self._carrier.active():
                self.occupied_since = time.monotonic()
            self._notify(LocalOpened(connection.number, connection.peer, local, self.session_id))
            self._carrier.attach(connection)

    def available(self) -> bool:
        """Whether attach may be called."""
        return self._carrier is not None and not self.over and self._carrier.available()

    def busy(self) -> bool:
        """Whether another connection would do better on another session."""
        away = self._lost_at is not None and time.monotonic() - self._lost_at > SHORT_CUT
        return self._carrier is not None and (away or self._carrier.busy())

    def active(self) -> int:
        """How many connections may yet do anything."""
        return self._carrier.active() if self._carrier is not None else 0

    def connections(self) -> int:
        """How many it carries."""
        return self._carrier.connections() if self._carrier is not None else 0

    def tick(self, now: float) -> None:
        """Called about four times a second."""
        if self._carrier is not None:
            self._carrier.tick(now)
            if self._carrier.connections():
                self.idle_since = now

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
            self._carrier = MuxCarrier(self._channel, self, self._settings, keepalive=keepalive)
        else:
            self._carrier = PortCarrier(self._channel, self, self._settings)
        self._started.set_result(None)

    def data_received(self, data: bytes, payload_type: int) -> None:
        if self._carrier is not None and payload_type == 1:
            self._carrier.data_received(data)

    def exit_code_received(self, exit_code: int) -> None:
        pass  # port sessions have none

    def flag_received(self, flag: int) -> None:
        if flag == CONNECT_TO_PORT_ERROR and self._carrier is not None:
            self._carrier.connect_failed()

    def writable(self) -> None:
        if self._carrier is not None:
            self._carrier.writable()

    def connection_lost(self, reason: str) -> None:
        self._lost_at = time.monotonic()
        self._notify(ConnectionLost(self.session_id, reason))

    def connection_regained(self, seconds: float) -> None:
        self._lost_at = None
        self._notify(ConnectionRegained(self.session_id, seconds))

    def session_ended(self, error: Exception | None, output: str) -> None:  # noqa: ARG002 - error says it
        if not self._started.done():
            self._fail_start(error or SessionError("the session ended before it began", code="session-ended"))
        self._end(error if error is not None or self._leaving else _ended_by_service())

    # CarrierReport

    def connection_over(self, connection: LocalConnection, reason: str) -> None:
        self.idle_since = time.monotonic()
        seconds = self.idle_since - connection.opened_at
        self._notify(LocalClosed(connection.number, connection.sent, connection.received, seconds, reason))

    def connection_refused(self, connection: LocalConnection) -> None:
        self._notify(RemoteRefused(connection.number, self._destination))

    def became_available(self) -> None:
        self._owner.became_available()

    def carrier_failed(self, reason: str) -> None:
        self._end(SessionError(reason, code="session-failed"))
        if self._channel is not None:
            self._closing = asyncio.get_running_loop().create_task(self._channel.terminate())

    # inside

    def _made(self, channel: DataChannel) -> SessionHandler:
        self._channel = channel
        return self

    def _fail_start(self, error: Exception) -> None:
        if not self._started.done():
            self._started.set_exception(error)
            self._started.exception()  # looked at, even where nobody waits any more

    def _end(self, error: Exception | None) -> None:
        if self.over:
            return
        self.over = True
        if self._carrier is not None:
            self._carrier.ended()
            self._owner.session_over(self, error)


def _ended_by_service() -> AwsRunasError:
    return SessionError("the service ended the session", code="session-ended")
