"""One connection at a time on one session, for agents up to 3.0.196.0, which do not support smux (spec 10).

The session is the byte stream of the connection. The flag DisconnectToPort ends the connection; the agent connects
again when the next bytes arrive. Such an agent never reports that its end was closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.half_close import (
    NO_ANSWER,
    HalfCloseAction,
    HalfCloseState,
    decide_half_close,
    is_fully_closed,
)
from aws_runas.ssm.forward.multiplexer import MultiplexerOwner, MultiplexerSettings
from aws_runas.ssm.transport.interfaces import DataChannel
from aws_runas.ssm.transport.outbox import Outbox

DISCONNECT_TO_PORT: Final = 1  # flag, spec 4
LATE_BYTES_WAIT: Final = 0.2  # seconds of silence after a disconnect until the next connection; late bytes are dropped


class BasicMultiplexer:
    """Carries one connection at a time. Implements Multiplexer and ConnectionOwner.

    Args:
        channel: the data channel of the session.
        owner: the session.
        settings: see MultiplexerSettings.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        channel: DataChannel,
        owner: MultiplexerOwner,
        settings: MultiplexerSettings,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._channel = channel
        self._owner = owner
        self._settings = settings
        self._clock = clock
        self._connection: LocalConnection | None = None
        self._outbox = Outbox(channel, congested=self._set_congested)
        self._undelivered = 0
        self._last_received = 0.0
        self._disconnecting: asyncio.Task[None] | None = None
        self._reading_paused = False
        self._end_reason = ""  # why the connection was reset
        self._disconnected = False  # DisconnectToPort was sent: arriving data belongs to the previous connection
        self._over = False

    # Multiplexer

    def attach(self, connection: LocalConnection) -> None:
        self._connection = connection
        self._undelivered = 0
        self._end_reason = ""
        connection.attach(self)

    def capacity(self) -> int:
        return int(self._connection is None and self._disconnecting is None and not self._over)

    def saturated(self, now: float) -> bool:  # noqa: ARG002 - independent of the time
        return not self.capacity()

    def connections(self) -> int:
        return int(self._connection is not None)

    def active(self) -> int:
        return self.connections()

    def data_received(self, data: bytes) -> None:
        self._last_received = self._clock()
        connection = self._connection
        if connection is None or self._disconnected:
            return
        self._undelivered += len(data)
        connection.write(data)
        connection.flush()
        if self._undelivered > self._settings.receive_buffer and not self._reading_paused:
            self._reading_paused = True
            self._channel.pause_reading()

    def writable(self) -> None:
        self._outbox.flush()

    def connect_failed(self) -> None:
        connection = self._connection
        if connection is not None:
            self._owner.connection_refused(connection)
            self._outbox.clear()
            connection.reset()

    def handle_timer(self, now: float) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._reading_paused:
            connection.report_delivered()
        if self._disconnected:
            return
        state = HalfCloseState(connection.half_closed_at, None, self._last_received, unsent=bool(self._outbox.queued))
        action = decide_half_close(
            state, now, self._settings.half_close_timeout, lambda: is_fully_closed(connection.socket())
        )
        if action is HalfCloseAction.CLOSE:
            connection.close()  # local_lost then sends DisconnectToPort
        elif action is HalfCloseAction.RESET:
            self._end_reason = NO_ANSWER
            self._owner.half_close_timed_out(connection, self._settings.half_close_timeout)
            connection.reset()

    def session_ended(self) -> None:
        self._over = True
        if self._disconnecting is not None:
            self._disconnecting.cancel()
        if self._connection is not None:
            self._connection.reset()

    # ConnectionOwner

    def local_data(self, connection: LocalConnection, data: bytes) -> None:
        if connection is not self._connection or self._over:
            return
        self._outbox.put(data)

    def local_eof(self, connection: LocalConnection) -> None:
        if connection is self._connection and not self._outbox.queued and is_fully_closed(connection.socket()):
            connection.close()

    def local_lost(self, connection: LocalConnection) -> None:
        if connection is not self._connection:
            return
        if connection.half_closed_at is None:
            self._outbox.clear()
        self._owner.connection_ended(connection, "the session ended" if self._over else self._end_reason)
        self._undelivered = 0
        self._resume_reading()
        if self._over:
            self._connection = None
        elif self._disconnecting is None:
            self._disconnecting = asyncio.get_running_loop().create_task(self._disconnect())

    def local_delivered(self, connection: LocalConnection, length: int) -> None:
        if connection is self._connection:
            self._undelivered -= length
            self._resume_reading()

    # inside

    def _set_congested(self, congested: bool) -> None:
        if self._connection is None:
            return
        if congested:
            self._connection.pause_reading()
        else:
            self._connection.resume_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._undelivered <= self._settings.receive_buffer // 2:
            self._reading_paused = False
            self._channel.resume_reading()

    async def _disconnect(self) -> None:
        """Tell the agent that the connection has ended, and wait until no more bytes of it can arrive."""
        await self._outbox.emptied()
        self._disconnected = True
        self._channel.send_flag(DISCONNECT_TO_PORT)
        await self._channel.drained()
        await self._silence()
        self._disconnected = False
        self._connection = None
        self._disconnecting = None
        if not self._over:
            self._owner.became_available()

    async def _silence(self) -> None:
        """Wait until nothing has arrived for LATE_BYTES_WAIT."""
        silent_for = 0.0
        while silent_for < LATE_BYTES_WAIT:
            await asyncio.sleep(LATE_BYTES_WAIT - silent_for)
            silent_for = self._clock() - self._last_received
