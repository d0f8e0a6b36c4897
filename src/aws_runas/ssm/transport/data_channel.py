"""An open session: the channel's core, its connection, its timers, and the way back after a cut.

One DataChannel outlives its connections. What it does with time and bytes is decided by ssm.core.channel; when a
connection is made anew, by Resumer; who is asked for tokens and signatures, by the SessionService that was handed in.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, assert_never

from aws_runas.aws.session import StartedSession
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.core import events
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.transport.dialling import Dialling
from aws_runas.ssm.transport.handler import DataChannel, SessionHandler
from aws_runas.ssm.transport.pause import PauseWatch
from aws_runas.ssm.transport.reconnect import ReconnectPolicy
from aws_runas.ssm.transport.resumer import Resumer
from aws_runas.ssm.transport.service import SessionService
from aws_runas.ssm.transport.threads import in_thread
from aws_runas.ssm.transport.websocket import Closed, WebSocket

TERMINATE_SESSION: Final = 2  # flag, spec 4
SILENCE: Final = 5.0  # seconds without a byte while something is unacknowledged: ask whether the peer is there
TERMINATE_TIMEOUT: Final = 5.0  # seconds that leaving may take when AWS does not answer


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How the channel of a session behaves.

    Args:
        settings: of the protocol core: pace, window, payload size.
        dialling: proxy, certificates, host.
        policy: of reconnecting.
    """

    settings: ChannelSettings = field(default_factory=ChannelSettings)
    dialling: Dialling = field(default_factory=Dialling)
    policy: ReconnectPolicy = field(default_factory=ReconnectPolicy)


async def open_data_channel(
    started: StartedSession,
    make_handler: Callable[[DataChannel], SessionHandler],
    *,
    service: SessionService,
    options: StreamOptions | None = None,
) -> SessionChannel:
    """Connect a session that StartSession opened. Call on the event loop.

    Args:
        started: the reply of StartSession.
        make_handler: called once, before anything is received, with the channel that the handler will use.
        service: the AWS calls behind the session (ssm.api.SsmApi).

    Returns:
        The channel, its WebSocket open; SessionHandler.session_started follows when data may flow.

    Raises:
        SessionError: it could not be connected; the session was terminated at the service.
    """
    channel = SessionChannel(started, service, options or StreamOptions())
    await channel.open(make_handler)
    return channel


class SessionChannel:
    """Implements handler.DataChannel; owner of the WebSocket. Made by open_data_channel."""

    def __init__(self, started: StartedSession, service: SessionService, options: StreamOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self.started = started
        self._service = service
        self._handler: SessionHandler | None = None
        self._channel = Channel(
            Role.CLIENT,
            session_id=started.session_id,
            target=started.target,
            settings=options.settings,
            random_bytes=os.urandom,
            wall_clock=lambda: time.time_ns() // 1_000_000,
        )
        self._resumer = Resumer(started, self, service, options.dialling, options.policy)
        self._websocket: WebSocket | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._turn_due = False
        self._in_turn = False
        self._reading_paused = False
        self._session_type = ""
        self._probed_at = 0.0
        self._pause = PauseWatch(self._loop, self._paused_for_long, lambda: self._spawn(self._ask_whether_active()))
        self._drained: list[asyncio.Future[None]] = []
        self._terminating: asyncio.Future[None] | None = None
        self._failing: asyncio.Task[None] | None = None  # ending at the service what failed here
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when the session is over, for whatever reason; never an exception."""

    async def open(self, make_handler: Callable[[DataChannel], SessionHandler]) -> None:
        """Make the first connection; see open_data_channel."""
        self._handler = make_handler(self)
        try:
            await self._resumer.connect_first()
        except BaseException:
            self._finish()
            await self._terminate_at_service()
            raise

    # --- the session's verbs (handler.DataChannel)

    def send_capacity(self) -> int:
        return 0 if self.ended.done() else self._channel.send_capacity()

    def write(self, data: bytes) -> None:
        if not self.ended.done():
            self._channel.send_data(data, self._loop.time())
            self._want_turn()

    def send_size(self, columns: int, rows: int) -> None:
        if not self.ended.done():
            self._channel.send_size(columns, rows, self._loop.time())
            self._want_turn()

    def send_flag(self, flag: int) -> None:
        if not self.ended.done():
            self._channel.send_flag(flag, self._loop.time())
            self._want_turn()

    def pause_reading(self) -> None:
        self._reading_paused = True
        if self._websocket is not None:
            self._websocket.pause_reading()

    def resume_reading(self) -> None:
        self._reading_paused = False
        if self._websocket is not None:
            self._websocket.resume_reading()

    async def drained(self) -> None:
        if self._channel.unacknowledged() and not self.ended.done():
            waiter = self._loop.create_future()
            self._drained.append(waiter)
            await waiter

    async def terminate(self) -> None:
        if self._terminating is not None:
            await asyncio.shield(self._terminating)
            return
        self._terminating = self._loop.create_future()
        try:
            if not self.ended.done():
                if self._session_type == "Port" and self._websocket is not None:
                    self._channel.send_flag(TERMINATE_SESSION, self._loop.time())
                    self._turn()
                if self._reconnecting is not None:
                    self._reconnecting.cancel()
                await self._terminate_at_service()
                self._end(None, "")
            elif self._failing is not None:
                await self._failing
        finally:
            self._terminating.set_result(None)

    # --- the connection's calls (websocket.WebSocketOwner)

    def connected(self, websocket: WebSocket, token: str) -> None:
        """Resumer has opened a connection for this token."""
        self._websocket = websocket
        if self._reading_paused:
            websocket.pause_reading()
        self._channel.connect(token, self._loop.time())
        self._turn()

    def messages_received(self, messages: list[bytes | str]) -> None:
        if self.ended.done():
            return
        now = self._loop.time()
        for message in messages:
            self._channel.receive_message(message, now)
        self._pause.heard()
        self._resumer.succeeded()
        self._turn()

    def writing_resumed(self) -> None:
        self._turn(time_passed=True)

    def connection_closed(self, closed: Closed) -> None:
        if self.ended.done() or self._websocket is None:
            return
        self._websocket = None
        self._channel.receive_disconnect(self._loop.time())
        if self._terminating is None:
            self._reconnecting = self._loop.create_task(self._reconnect(str(closed)))

    # --- turns of the loop

    def _want_turn(self) -> None:
        """Send what was queued, once, when the caller's turn of the loop is over."""
        if not self._turn_due and not self._in_turn:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self, *, time_passed: bool = False) -> None:
        """Hand out events, write what is due, set the timer."""
        self._turn_due = False
        if self.ended.done():
            return
        now = self._loop.time()
        if time_passed:
            self._channel.handle_timer(now)
        self._in_turn = True
        try:
            for event in self._channel.events():
                self._deliver(event)
                if self.ended.done():
                    return
        finally:
            self._in_turn = False
        websocket = self._websocket
        if websocket is not None and websocket.writable:
            for message in self._channel.messages_to_send(now):
                websocket.send(message)
            websocket.flush()
            self._arm(now)
        if self._drained and not self._channel.unacknowledged():
            self._release(self._drained)

    def _arm(self, now: float) -> None:
        """One timer, moved only when it has to come sooner; one that comes too early sets itself again."""
        due = self._channel.next_timer()
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(max(due, now), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        websocket = self._websocket
        if websocket is None or not websocket.writable:
            return  # the next connection, or writing_resumed, takes it up
        now = self._loop.time()
        if (
            now - websocket.last_received > SILENCE
            and now - self._probed_at > SILENCE
            and self._channel.unacknowledged()
            and not self._reading_paused
        ):
            self._probed_at = now
            websocket.probe(SILENCE)
        self._turn(time_passed=True)

    def _deliver(self, event: events.Event) -> None:
        handler = self._handler
        if handler is None:
            return
        match event:
            case events.DataReceived():
                self._pause.alive()
                handler.data_received(event.data, event.payload_type)
            case events.SendingUnblocked():
                handler.writable()
            case events.SessionStarted():
                self._session_type = event.session_type
                handler.session_started(event)
            case events.ExitCodeReceived():
                handler.exit_code_received(event.exit_code)
            case events.FlagReceived():
                handler.flag_received(event.flag)
            case events.DataKeyRequested():
                self._spawn(self._provide_data_key(event))
            case events.PublicationPaused():
                self._pause.begin()
            case events.PublicationResumed():
                self._pause.end()
            case events.ChannelClosed():
                self._end(_reason_of(event.output), event.output)
            case events.ChannelFailed():
                self._fail(SessionError(f"the session failed: {event.reason}", code="session-failed"))
            case events.SizeReceived():
                pass  # only agents get those
            case _:
                assert_never(event)

    # --- what takes longer than a turn

    def _spawn(self, coroutine: object) -> None:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _provide_data_key(self, event: events.DataKeyRequested) -> None:
        try:
            key, blob = await in_thread(self._service.data_key, event.kms_key_id, event.encryption_context)
        except AwsRunasError as error:
            if not self.ended.done():
                self._channel.refuse_data_key(error.message, self._loop.time())
                self._fail(error)
            return
        if not self.ended.done():
            self._channel.provide_data_key(key, blob, self._loop.time())
            self._turn()

    async def _reconnect(self, reason: str) -> None:
        lost_at = self._loop.time()
        if self._handler is not None:
            self._handler.connection_lost(reason)
        try:
            await self._resumer.reconnect(lost_at)
        except AwsRunasError as error:
            self._fail(error)
            return
        finally:
            self._reconnecting = None
        if self._handler is not None and not self.ended.done():
            self._handler.connection_regained(self._loop.time() - lost_at)

    def _paused_for_long(self) -> None:
        if self._websocket is not None:
            self._websocket.abort(ConnectionError("the other side has been away for long"))

    async def _ask_whether_active(self) -> None:
        active = await in_thread(self._service.session_is_active, self.started.session_id)
        if active is False:
            self._fail(SessionError("the service has ended the session", code="session-gone"))
        elif not self.ended.done():
            self._pause.begin()

    # --- the end

    async def _terminate_at_service(self) -> None:
        """Best effort: the user is leaving, and what the service says then changes nothing."""
        try:
            async with asyncio.timeout(TERMINATE_TIMEOUT):
                await in_thread(self._service.terminate_session, self.started.session_id)
        except (AwsRunasError, TimeoutError):
            pass

    def _fail(self, error: AwsRunasError) -> None:
        """The session cannot go on: end it on our side, then at the service."""
        if self.ended.done():
            return
        self._failing = self._loop.create_task(self._terminate_at_service())
        self._end(error, "")

    def _end(self, error: Exception | None, output: str) -> None:
        if self.ended.done():
            return
        self._finish()
        if self._handler is not None:
            self._handler.session_ended(error, output)

    def _finish(self) -> None:
        self._pause.end()
        if self._timer is not None:
            self._timer.cancel()
        if self._websocket is not None:
            for message in self._channel.messages_to_send(self._loop.time()):  # what the peer should still hear
                self._websocket.send(message)
            self._websocket.close(wait=False)
            self._websocket = None
        self.ended.set_result(None)
        self._release(self._drained)

    @staticmethod
    def _release(waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        waiters.clear()


def _reason_of(output: str) -> SessionError | None:
    """The service's text at the end of a session is there only when something was wrong."""
    text = " ".join(output.split())
    return SessionError(f"the session was ended by the service: {text}", code="session-ended") if text else None
