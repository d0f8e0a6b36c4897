"""One connection after the other on one session: agents up to 3.0.196.0, which know no smux (spec 10).

The session is the byte stream of the connection. DisconnectToPort ends one; the agent dials anew when the next bytes
come. It never says that its own end was closed: that is how these agents are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.half_close import was_closed_whole
from aws_runas.ssm.forward.multiplexer import CarrierReport
from aws_runas.ssm.forward.settings import CarrierSettings
from aws_runas.ssm.transport.handler import DataChannel

DISCONNECT_TO_PORT: Final = 1  # flag, spec 4
QUEUE: Final = 64 * 1024  # bytes of the connection waiting for the channel
LATE_BYTES: Final = 0.2  # seconds of silence after a disconnect, before the next connection: late bytes are dropped


class PortCarrier:
    """Carries one connection at a time; see Carrier."""

    def __init__(self, channel: DataChannel, report: CarrierReport, settings: CarrierSettings) -> None:
        self._channel = channel
        self._report = report
        self._settings = settings
        self._connection: LocalConnection | None = None
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._undelivered = 0
        self._last_received = 0.0
        self._changing: asyncio.Task[None] | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._disconnect_due = False
        self._over = False

    # Carrier

    def attach(self, connection: LocalConnection) -> None:
        self._connection = connection
        self._undelivered = 0
        connection.attach(self)

    def available(self) -> bool:
        return self._connection is None and self._changing is None and not self._over

    def busy(self) -> bool:
        return not self.available()

    def connections(self) -> int:
        return int(self._connection is not None)

    def active(self) -> int:
        return self.connections()

    def data_received(self, data: bytes) -> None:
        self._last_received = time.monotonic()
        connection = self._connection
        if connection is None or self._disconnect_due:
            return  # of a connection that is over
        self._undelivered += len(data)
        connection.write(data)
        if self._undelivered > self._settings.receive_buffer and not self._reading_paused:
            self._reading_paused = True
            self._channel.pause_reading()

    def writable(self) -> None:
        self._pump()

    def connect_failed(self) -> None:
        connection = self._connection
        if connection is not None:
            self._report.connection_refused(connection)
            self._discard_queue()
            connection.reset()

    def tick(self, now: float) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._reading_paused:
            connection.report_delivered()
        half_closed_at = connection.half_closed_at
        if half_closed_at is None or self._disconnect_due or self._queue:
            return
        quiet_since = max(half_closed_at, self._last_received)
        if now - quiet_since >= self._settings.half_close_wait or was_closed_whole(connection.socket()):
            self._disconnect()

    def ended(self) -> None:
        self._over = True
        if self._changing is not None:
            self._changing.cancel()
        if self._connection is not None:
            self._connection.reset()

    # ConnectionOwner

    def local_data(self, connection: LocalConnection, data: bytes) -> None:
        if connection is not self._connection or self._over:
            return
        self._queue.append(data)
        self._queued += len(data)
        if self._queued >= QUEUE:
            connection.pause_reading()
        self._pump()

    def local_eof(self, connection: LocalConnection) -> None:
        if connection is self._connection and not self._queue and was_closed_whole(connection.socket()):
            self._disconnect()

    def local_lost(self, connection: LocalConnection) -> None:
        if connection is not self._connection:
            return
        if connection.half_closed_at is None:
            self._discard_queue()
        self._report.connection_over(connection, "the session ended" if self._over else "")
        self._undelivered = 0
        self._resume_reading()
        if self._over:
            self._connection = None
        elif self._changing is None:
            self._changing = asyncio.get_running_loop().create_task(self._change())

    def local_delivered(self, connection: LocalConnection, length: int) -> None:
        if connection is self._connection:
            self._undelivered -= length
            self._resume_reading()

    # inside

    def _pump(self) -> None:
        while self._queue and (room := self._channel.send_capacity()):
            data = self._queue.popleft()
            if len(data) > room:
                self._queue.appendleft(data[room:])
                data = data[:room]
            self._queued -= len(data)
            self._channel.write(data)
        if not self._queue and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)
        if self._connection is not None and self._queued < QUEUE // 2:
            self._connection.resume_reading()

    def _discard_queue(self) -> None:
        self._queue.clear()
        self._queued = 0

    def _resume_reading(self) -> None:
        if self._reading_paused and self._undelivered <= self._settings.receive_buffer // 2:
            self._reading_paused = False
            self._channel.resume_reading()

    def _disconnect(self) -> None:
        """The program is done: close its connection; local_lost then tells the agent."""
        if self._connection is not None:
            self._connection.close()

    async def _change(self) -> None:
        """Tell the agent that the connection is over, and wait until no byte of it can come any more."""
        if self._queue:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied
        self._disconnect_due = True
        self._channel.send_flag(DISCONNECT_TO_PORT)
        await self._channel.drained()
        await self._silence()
        self._disconnect_due = False
        self._connection = None
        self._changing = None
        if not self._over:
            self._report.became_available()

    async def _silence(self) -> None:
        """Wait until nothing has come in for a moment."""
        quiet_for = 0.0
        while quiet_for < LATE_BYTES:
            await asyncio.sleep(LATE_BYTES - quiet_for)
            quiet_for = time.monotonic() - self._last_received
