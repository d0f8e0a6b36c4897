"""Many connections on one session: smux streams, for agents later than 3.0.196.0 (spec 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never

from aws_runas.dataclass import dataclass
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.smux.session import KEEPALIVE_INTERVAL, MAX_STREAMS, Side, SmuxSession
from aws_runas.ssm.core.smux.stream import StreamDataReceived, StreamFinished, StreamOpened, StreamUnblocked
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.half_close import (
    NO_ANSWER,
    HalfCloseAction,
    HalfCloseState,
    decide_half_close,
    is_fully_closed,
)
from aws_runas.ssm.forward.multiplexer import MultiplexerOwner, MultiplexerSettings, Saturation
from aws_runas.ssm.transport.event_loop import exact_timers
from aws_runas.ssm.transport.interfaces import DataChannel


@dataclass(slots=True, eq=False)
class _Stream:
    """A stream and the connection that it carries."""

    stream_id: int
    connection: LocalConnection
    received: int = 0  # bytes from the remote end
    last_received: float = 0.0
    local_lost: bool = False
    remote_end_at: float | None = None  # when the remote end sent FIN
    fin_sent: bool = False  # our FIN is queued or sent
    end_reason: str = ""  # why its local connection was reset


class SmuxMultiplexer:
    """Carries connections as smux streams. Implements Multiplexer and ConnectionOwner.

    Args:
        channel: the data channel of the session.
        owner: the session.
        settings: see MultiplexerSettings.
        keepalive: send NOP frames: agents up to 3.1.1511.0 close sessions without them.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        channel: DataChannel,
        owner: MultiplexerOwner,
        settings: MultiplexerSettings,
        *,
        keepalive: bool,
        clock: Callable[[], float],
    ) -> None:
        self._channel = channel
        self._owner = owner
        self._settings = settings
        self._keepalive = keepalive
        self._clock = clock
        self._keepalive_sent_at = clock()
        self._smux = SmuxSession(Side.CLIENT, frame_data=settings.frame_data, receive_buffer=settings.receive_buffer)
        self._by_id: dict[int, _Stream] = {}
        self._by_connection: dict[LocalConnection, _Stream] = {}
        self._written: list[LocalConnection] = []  # to be flushed after everything that arrived together is handled
        self._lingering: set[_Stream] = set()  # streams whose local connection is gone
        self._refusals = 0  # ConnectToPortError flags whose FIN has not arrived
        self._send_due = False
        self._reading_paused = False
        self._over = False
        self._saturation = Saturation()
        self._exact = exact_timers(asyncio.get_running_loop())

    # Multiplexer

    def attach(self, connection: LocalConnection) -> None:
        stream = _Stream(self._smux.open_stream(), connection)
        self._by_id[stream.stream_id] = stream
        self._by_connection[connection] = stream
        self._send_soon()
        connection.attach(self)

    def capacity(self) -> int:
        if self._over or not self._smux.ids_left():
            return 0
        return max(0, MAX_STREAMS - self._smux.open_streams())

    def saturated(self, now: float) -> bool:
        return self._saturation.saturated(now)

    def connections(self) -> int:
        return len(self._by_connection)

    def active(self) -> int:
        return sum(map(self._is_active, self._by_connection.values()))

    def data_received(self, data: bytes) -> None:
        self._saturation.received(len(data), self._clock())
        try:
            self._smux.receive_data(data)
        except RemoteProtocolError as error:
            self._owner.multiplexer_failed(f"the agent does not speak smux: {error}")
            return
        self._handle_events()
        if not self._smux.receiving_allowed() and not self._reading_paused:
            self._reading_paused = self._saturation.reading_paused = True
            self._channel.pause_reading()

    def writable(self) -> None:
        self._send()

    def connect_failed(self) -> None:
        self._refusals += 1

    def handle_timer(self, now: float) -> None:
        if self._keepalive and now - self._keepalive_sent_at >= KEEPALIVE_INTERVAL:
            self._keepalive_sent_at = now
            self._smux.send_keepalive()
            self._send()
        for stream in list(self._by_id.values()):
            self._close_if_due(stream, now)
            if self._reading_paused:
                stream.connection.report_delivered()

    def session_ended(self) -> None:
        self._over = True
        for connection in list(self._by_connection):
            connection.reset()

    # ConnectionOwner

    def local_data(self, connection: LocalConnection, data: bytes) -> None:
        stream = self._by_connection.get(connection)
        if stream is None or self._over:
            return
        if stream.fin_sent:  # the remote end closed, and REMOTE_END_TIMEOUT has passed
            connection.reset()
            return
        self._smux.send_data(stream.stream_id, data)
        if self._exact is not None and len(data) < self._settings.payload_size:
            self._exact.expect_answer()
        if not self._smux.send_capacity(stream.stream_id):
            connection.pause_reading()
        self._send_soon()

    def local_eof(self, connection: LocalConnection) -> None:
        stream = self._by_connection.get(connection)
        if stream is None:
            return
        if stream.remote_end_at is not None:
            self._send_fin(stream)
            connection.close()
        elif is_fully_closed(connection.socket()):
            self._send_fin(stream)
        # Otherwise FIN waits for the remote end: the Amazon agent drops its answer when it receives our FIN (spec 10).

    def local_lost(self, connection: LocalConnection) -> None:
        stream = self._by_connection.pop(connection, None)
        if stream is None:
            return
        stream.local_lost = True
        self._lingering.add(stream)
        if connection.half_closed_at is not None:
            self._send_fin(stream)  # after the queued data
        else:
            self._smux.abandon_stream(stream.stream_id)
        self._smux.data_delivered(stream.stream_id, self._smux.undelivered(stream.stream_id))
        self._forget_if_over(stream)
        self._owner.connection_ended(connection, "the session ended" if self._over else stream.end_reason)
        self._resume_reading()
        self._send_soon()

    def local_delivered(self, connection: LocalConnection, length: int) -> None:
        stream = self._by_connection.get(connection)
        if stream is not None:
            self._smux.data_delivered(stream.stream_id, length)
            self._forget_if_over(stream)
            self._resume_reading()

    # inside

    def _is_active(self, stream: _Stream) -> bool:
        """Return True if data may still be transferred: neither end has closed, or we have not sent everything yet."""
        if stream.remote_end_at is not None:
            return False
        return not stream.fin_sent or bool(self._smux.queued(stream.stream_id))

    def _handle_events(self) -> None:
        for event in self._smux.events():
            match event:
                case StreamDataReceived(stream_id, data):
                    self._deliver(stream_id, data)
                case StreamFinished(stream_id):
                    self._handle_remote_end(stream_id)
                case StreamUnblocked(stream_id):
                    if stream := self._by_id.get(stream_id):
                        stream.connection.resume_reading()
                case StreamOpened():
                    pass  # only a server receives this
                case _:
                    assert_never(event)
        for connection in self._written:
            connection.flush()
        self._written.clear()

    def _deliver(self, stream_id: int, data: bytes) -> None:
        stream = self._by_id.get(stream_id)
        if stream is None or stream.local_lost:
            self._smux.data_delivered(stream_id, len(data))
            return
        stream.received += len(data)
        stream.last_received = self._clock()
        stream.connection.write(data)
        self._written.append(stream.connection)

    def _handle_remote_end(self, stream_id: int) -> None:
        stream = self._by_id.get(stream_id)
        if stream is None:
            return
        connection = stream.connection
        if self._refusals and not stream.received:
            self._refusals -= 1
            self._owner.connection_refused(connection)
            self._smux.abandon_stream(stream_id)
            self._send_soon()
            connection.reset()
        stream.remote_end_at = self._clock()
        if not stream.local_lost:
            connection.finish()
            if connection.half_closed_at is not None:
                self._send_fin(stream)
                connection.close()
        self._forget_if_over(stream)

    def _close_if_due(self, stream: _Stream, now: float) -> None:
        if stream.fin_sent:
            return
        connection = stream.connection
        state = HalfCloseState(
            connection.half_closed_at,
            stream.remote_end_at,
            stream.last_received,
            unsent=bool(self._smux.queued(stream.stream_id)),
        )
        action = decide_half_close(
            state, now, self._settings.half_close_timeout, lambda: is_fully_closed(connection.socket())
        )
        if action is not HalfCloseAction.WAIT:
            self._send_fin(stream)
        if action is HalfCloseAction.RESET:
            stream.end_reason = NO_ANSWER
            self._owner.half_close_timed_out(connection, self._settings.half_close_timeout)
            connection.reset()

    def _send_fin(self, stream: _Stream) -> None:
        if not stream.fin_sent:
            stream.fin_sent = True
            self._smux.close_stream(stream.stream_id)
            self._send_soon()

    def _forget_if_over(self, stream: _Stream) -> None:
        if stream.local_lost and not self._smux.is_open(stream.stream_id):
            self._by_id.pop(stream.stream_id, None)
            self._lingering.discard(stream)

    def _resume_reading(self) -> None:
        if self._reading_paused and self._smux.receiving_allowed():
            self._reading_paused = self._saturation.reading_paused = False
            self._channel.resume_reading()

    def _send_soon(self) -> None:
        """Send at the end of this iteration of the event loop, so that small frames share messages."""
        if not self._send_due:
            self._send_due = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._send_due = False
        if self._over:
            return
        size = self._settings.payload_size
        room = 0
        while self._smux.wants_to_send():
            if room < size and not (room := self._channel.send_capacity()):
                break
            message = self._smux.message_to_send(min(room, size))
            self._channel.send_message(message)
            room -= len(message)
        if self._smux.wants_to_send():
            self._saturation.send_blocked(self._clock())
        else:
            self._saturation.send_unblocked()
        for stream in list(self._lingering):
            self._forget_if_over(stream)
        self._handle_events()
