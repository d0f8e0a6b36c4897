"""Many connections on one session: smux streams of agents later than 3.0.196.0 (spec 10)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, assert_never

from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.smux.events import StreamDataReceived, StreamFinished, StreamOpened, StreamUnblocked
from aws_runas.ssm.core.smux.session import KEEPALIVE_INTERVAL, MAX_STREAMS, Side, SmuxSession
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.half_close import was_closed_whole
from aws_runas.ssm.forward.multiplexer import AFTER_FIN, CarrierReport, Pace
from aws_runas.ssm.forward.settings import CarrierSettings
from aws_runas.ssm.transport.handler import DataChannel

BATCH: Final = 64 * 1024  # bytes handed to the channel at once at most


@dataclass(slots=True, eq=False)
class _Carried:
    """A connection and its stream."""

    connection: LocalConnection
    stream_id: int
    received: int = 0
    last_received: float = 0.0
    local_gone: bool = False
    far_end_at: float | None = None  # when the far side sent FIN
    fin_due: bool = False  # our FIN is on its way


class MuxCarrier:
    """Carries connections as smux streams; see Carrier.

    Args:
        channel: the session's.
        report: who hears of it.
        keepalive: the agent closes sessions that it hears nothing from (up to 3.1.1511.0).
    """

    def __init__(
        self, channel: DataChannel, report: CarrierReport, settings: CarrierSettings, *, keepalive: bool
    ) -> None:
        self._channel = channel
        self._report = report
        self._settings = settings
        self._keepalive = keepalive
        self._kept_alive_at = time.monotonic()
        self._smux = SmuxSession(Side.CLIENT, frame_data=settings.frame_data, receive_buffer=settings.receive_buffer)
        self._by_stream: dict[int, _Carried] = {}
        self._by_connection: dict[LocalConnection, _Carried] = {}
        self._leaving: set[_Carried] = set()  # their programs have gone, their streams not yet
        self._refusals = 0  # ConnectToPortError flags whose FIN has not come
        self._rest = b""  # taken from the streams, beyond what the channel took
        self._pump_due = False
        self._reading_paused = False
        self._over = False
        self._pace = Pace()

    # Carrier

    def attach(self, connection: LocalConnection) -> None:
        carried = _Carried(connection, self._smux.open_stream())
        self._by_stream[carried.stream_id] = carried
        self._by_connection[connection] = carried
        self._pump_soon()
        connection.attach(self)

    def available(self) -> bool:
        return not self._over and self._smux.open_streams() < MAX_STREAMS and self._smux.ids_left()

    def busy(self) -> bool:
        return self._pace.busy(time.monotonic())

    def connections(self) -> int:
        return len(self._by_connection)

    def active(self) -> int:
        return sum(
            carried.far_end_at is None and connection.half_closed_at is None
            for connection, carried in self._by_connection.items()
        )

    def data_received(self, data: bytes) -> None:
        self._pace.received(len(data), time.monotonic())
        try:
            self._smux.receive_data(data)
        except RemoteProtocolError as error:
            self._report.carrier_failed(f"the agent does not speak smux: {error}")
            return
        self._handle_events()
        if not self._smux.receiving_allowed() and not self._reading_paused:
            self._reading_paused = self._pace.held_up = True
            self._channel.pause_reading()

    def writable(self) -> None:
        self._pump()

    def connect_failed(self) -> None:
        self._refusals += 1

    def tick(self, now: float) -> None:
        if self._keepalive and now - self._kept_alive_at >= KEEPALIVE_INTERVAL:
            self._kept_alive_at = now
            self._smux.send_keepalive()
            self._pump()
        for carried in list(self._by_stream.values()):
            self._close_what_is_due(carried, now)
            if self._reading_paused:
                carried.connection.report_delivered()

    def ended(self) -> None:
        self._over = True
        for connection in list(self._by_connection):
            connection.reset()

    # ConnectionOwner

    def local_data(self, connection: LocalConnection, data: bytes) -> None:
        carried = self._by_connection.get(connection)
        if carried is None or self._over:
            return
        if carried.fin_due:  # the far side has gone, and its time to say more has passed
            connection.reset()
            return
        self._smux.send_data(carried.stream_id, data)
        if not self._smux.send_capacity(carried.stream_id):
            connection.pause_reading()
        self._pump_soon()

    def local_eof(self, connection: LocalConnection) -> None:
        carried = self._by_connection.get(connection)
        if carried is None:
            return
        if carried.far_end_at is not None:
            self._send_fin(carried)
            connection.close()
        elif was_closed_whole(connection.socket()):
            self._send_fin(carried)
        # Else FIN waits for the far side's end: an agent of Amazon's drops its answer when it sees ours (spec 10).

    def local_lost(self, connection: LocalConnection) -> None:
        carried = self._by_connection.pop(connection, None)
        if carried is None:
            return
        carried.local_gone = True
        self._leaving.add(carried)
        if connection.half_closed_at is not None:
            self._send_fin(carried)  # behind what it had sent
        else:
            self._smux.abandon_stream(carried.stream_id)
        self._smux.data_delivered(carried.stream_id, self._smux.undelivered(carried.stream_id))
        self._forget_if_over(carried)
        self._report.connection_over(connection, "the session ended" if self._over else "")
        self._resume_reading()
        self._pump_soon()

    def local_delivered(self, connection: LocalConnection, length: int) -> None:
        carried = self._by_connection.get(connection)
        if carried is not None:
            self._smux.data_delivered(carried.stream_id, length)
            self._forget_if_over(carried)
            self._resume_reading()

    # inside

    def _handle_events(self) -> None:
        for event in self._smux.events():
            match event:
                case StreamDataReceived(stream_id, data):
                    self._pass_on(stream_id, data)
                case StreamFinished(stream_id):
                    self._far_end(stream_id)
                case StreamUnblocked(stream_id):
                    if carried := self._by_stream.get(stream_id):
                        carried.connection.resume_reading()
                case StreamOpened():
                    pass  # a client is never told of one
                case _:
                    assert_never(event)

    def _pass_on(self, stream_id: int, data: bytes) -> None:
        carried = self._by_stream.get(stream_id)
        if carried is None or carried.local_gone:
            self._smux.data_delivered(stream_id, len(data))
            return
        carried.received += len(data)
        carried.last_received = time.monotonic()
        carried.connection.write(data)

    def _far_end(self, stream_id: int) -> None:
        carried = self._by_stream.get(stream_id)
        if carried is None:
            return
        connection = carried.connection
        if self._refusals and not carried.received:
            self._refusals -= 1
            self._report.connection_refused(connection)
            self._smux.abandon_stream(stream_id)
            self._pump_soon()
            connection.reset()
        carried.far_end_at = time.monotonic()
        if not carried.local_gone:
            connection.finish()
            if connection.half_closed_at is not None:
                self._send_fin(carried)
                connection.close()
        self._forget_if_over(carried)

    def _close_what_is_due(self, carried: _Carried, now: float) -> None:
        if carried.fin_due:
            return
        half_closed_at = carried.connection.half_closed_at
        if carried.far_end_at is not None:
            if now - carried.far_end_at >= AFTER_FIN:
                self._send_fin(carried)
        elif half_closed_at is not None and not self._smux.queued(carried.stream_id):
            quiet_since = max(half_closed_at, carried.last_received)
            if now - quiet_since >= self._settings.half_close_wait or was_closed_whole(carried.connection.socket()):
                self._send_fin(carried)

    def _send_fin(self, carried: _Carried) -> None:
        if not carried.fin_due:
            carried.fin_due = True
            self._smux.close_stream(carried.stream_id)
            self._pump_soon()

    def _forget_if_over(self, carried: _Carried) -> None:
        if carried.local_gone and not self._smux.is_open(carried.stream_id):
            self._by_stream.pop(carried.stream_id, None)
            self._leaving.discard(carried)

    def _resume_reading(self) -> None:
        if self._reading_paused and self._smux.receiving_allowed():
            self._reading_paused = self._pace.held_up = False
            self._channel.resume_reading()

    def _pump_soon(self) -> None:
        """Send at the end of this turn of the loop, so that small frames share messages."""
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        if self._over:
            return
        while room := self._channel.send_capacity():
            if not self._rest:
                self._rest = self._smux.data_to_send(min(max(room, 64), BATCH))
                if not self._rest:
                    self._pace.unblocked()
                    break
            data, self._rest = self._rest[:room], self._rest[room:]
            self._channel.write(data)
        else:
            if self._rest or self._smux.wants_to_send():
                self._pace.blocked(time.monotonic())
        for carried in list(self._leaving):
            self._forget_if_over(carried)
        self._handle_events()
