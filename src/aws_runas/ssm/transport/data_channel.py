"""An open session that outlives its connections.

ssm.core.channel implements the protocol, ChannelDriver does the I/O, Resumer opens new connections after a loss, and
the SessionService that is passed in makes the AWS calls.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import field
from itertools import groupby
from typing import Final, assert_never

from aws_runas.aws.session import StartedSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.core import events
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import Event
from aws_runas.ssm.transport.dialling import Dialling
from aws_runas.ssm.transport.driver import ChannelDriver
from aws_runas.ssm.transport.event_loop import in_thread
from aws_runas.ssm.transport.interfaces import DataChannel, SessionHandler, SessionService
from aws_runas.ssm.transport.keepalive import AgentSilence, PauseTimeout, is_from_agent
from aws_runas.ssm.transport.resumer import ReconnectPolicy, Resumer
from aws_runas.ssm.transport.websocket import Closed, WebSocket

TERMINATE_SESSION: Final = 2  # flag, spec 4
SILENCE: Final = 5.0  # seconds without a byte while something is unacknowledged, after which the peer is probed
STEADY_AFTER: Final = 1.0  # seconds that a new connection without data must last before the user is notified
ADMITTED_AFTER: Final = 5.0  # seconds that a connection without a message must last to count as not refused
PROVED_AFTER: Final = 10.0  # seconds that a connection without data must last to count as good
BUSY_WITHIN: Final = 1.0  # seconds since the last data at which a session counts as busy
RENEWAL_TIMEOUT: Final = 2.0  # seconds that replacing the connection may take until the user is notified
CHECK_TIMEOUT: Final = 2.0  # seconds for the pong after a suspend or a network change
PREPARE_INTERVAL: Final = 15.0  # seconds between two checks of the connection for ResumeSession while data arrives
VERSION_TIMEOUT: Final = 5.0  # seconds that the end of a session waits for the version of the agent
TERMINATE_TIMEOUT: Final = 5.0  # seconds that an exit may take if AWS does not answer


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options of the data channel of a session.

    Args:
        settings: settings of the protocol core: pacing, window, payload size.
        dialling: proxy, certificates, host.
        policy: policy for reconnecting.
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
        SessionError: the session could not be connected; it was terminated at the service.
    """
    channel = SessionChannel(started, service, options or StreamOptions())
    await channel.open(make_handler)
    return channel


class SessionChannel:
    """Implements handler.DataChannel; owner of the WebSocket. Created by open_data_channel."""

    def __init__(self, started: StartedSession, service: SessionService, options: StreamOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self.started = started
        self._service = service
        self._handler: SessionHandler | None = None
        channel = Channel(
            Role.CLIENT,
            session_id=started.session_id,
            target=started.target,
            settings=options.settings,
            random_bytes=os.urandom,
            wall_clock=lambda: time.time_ns() // 1_000_000,
        )
        self._driver = ChannelDriver(channel, self)
        self._resumer = Resumer(started, self, service, options.dialling, options.policy, self._tell_obstacle)
        self._websocket: WebSocket | None = None
        self._connected_at = 0.0
        self._is_proved = False  # a message from the agent has arrived on the connection
        self._is_heard = False  # a message from the agent or the service has arrived on it
        self._received_at = float("-inf")  # when a message was last received
        self._data_at = float("-inf")  # when data was last received
        self._reconnecting: asyncio.Task[None] | None = None
        self._size: tuple[int, int] | None = None  # the last one sent
        self._is_renewing = False  # the connection is replaced because the agent is away, not because it was lost
        self._lost_at: float | None = None  # loss that the handler was notified of, but not of its end
        self._back_at = 0.0
        self._steady_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._session_type = ""
        self._agent_version = ""
        self._probed_at = 0.0
        self._pause = PauseTimeout()
        self._silence = AgentSilence()
        self._pause_timer: asyncio.TimerHandle | None = None
        self._prepare_timer: asyncio.TimerHandle | None = None
        self._end_may_be_missing = False
        self._drained: list[asyncio.Future[None]] = []
        self._terminating: asyncio.Future[None] | None = None
        self._failing: asyncio.Task[None] | None = None  # ends the failed session at the service
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when the session is over, for any reason; never has an exception."""

    async def open(self, make_handler: Callable[[DataChannel], SessionHandler]) -> None:
        """Open the first connection; see open_data_channel."""
        try:
            self._handler = make_handler(self)
            self._connected(*await self._resumer.connect_first())
        except BaseException:
            self._finish()
            await self._terminate_at_service()
            raise

    # --- handler.DataChannel

    def send_capacity(self) -> int:
        return self._driver.send_capacity()

    def write(self, data: bytes) -> None:
        self._silence.message_sent(self._driver.unacknowledged(), self._loop.time())
        self._driver.send_data(data)

    def send_message(self, data: bytes) -> None:
        self._silence.message_sent(self._driver.unacknowledged(), self._loop.time())
        self._driver.send_message(data)

    def send_size(self, columns: int, rows: int) -> None:
        self._size = (columns, rows)
        self._driver.send_size(columns, rows)

    def send_flag(self, flag: int) -> None:
        self._silence.message_sent(self._driver.unacknowledged(), self._loop.time())
        self._driver.send_flag(flag)

    def pause_reading(self) -> None:
        self._driver.pause_reading()

    def resume_reading(self) -> None:
        self._silence.connected(self._loop.time())
        self._driver.resume_reading()

    def check_connection(self) -> None:
        if self._websocket is not None:
            self._websocket.probe(CHECK_TIMEOUT)
        else:
            self._resumer.retry_now()

    def end_may_be_missing(self) -> bool:
        return self._end_may_be_missing

    def agent_silent_for(self) -> float:
        if self._driver.reading_paused or self.ended.done():
            return 0.0
        return self._silence.seconds(self._driver.unacknowledged(), self._loop.time())

    async def drained(self) -> None:
        if self._driver.unacknowledged() and not self.ended.done():
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
                    self._driver.send_flag(TERMINATE_SESSION)
                    self._driver.turn()
                if self._reconnecting is not None:
                    self._reconnecting.cancel()
                self._driver.pause_reading()  # nothing that arrives now may delay the end
                await self._terminate_at_service()
                self._end(None, "")
            elif self._failing is not None:
                await self._failing
        finally:
            self._terminating.set_result(None)

    # --- websocket.WebSocketOwner

    def messages_received(self, messages: list[bytes | str]) -> None:
        if self.ended.done():
            return
        self._received_at = now = self._loop.time()
        self._pause.message_received(now)
        self._silence.messages_received(messages, now)
        self._is_heard = True
        if not self._is_proved and any(is_from_agent(message) for message in messages):
            self._prove_connection()
        self._driver.messages_received(messages)

    def writing_resumed(self) -> None:
        self._driver.writing_resumed()

    def connection_closed(self, closed: Closed) -> None:
        if self.ended.done() or self._websocket is None:
            return
        self._driver.disconnect()
        if self.ended.done():
            return
        self._websocket = None
        self._silence.disconnected(self._loop.time())
        if self._steady_timer is not None:
            self._steady_timer.cancel()
        if self._loop.time() - self._connected_at >= PROVED_AFTER:
            self._prove_connection()
            self._resumer.connection_proved()  # once more: it may have had no restart left when it began
        if self._terminating is None:
            self._reconnecting = self._loop.create_task(self._reconnect(closed))

    # --- driver.ChannelOwner

    def events_received(self, events: list[Event]) -> None:
        for event in events if len(events) == 1 else _join_data(events):
            self._deliver(event)
            if self.ended.done():
                return

    def turn_ended(self, now: float) -> None:
        if self._drained and not self._driver.unacknowledged():
            self._release(self._drained)
        if now - self._received_at > SILENCE:
            self._probe_if_silent(now)

    def _probe_if_silent(self, now: float) -> None:
        """Probe the peer if it is silent while something is unacknowledged."""
        websocket = self._websocket
        if (
            websocket is not None
            and now - websocket.last_received > SILENCE
            and now - self._probed_at > SILENCE
            and self._driver.unacknowledged()
            and not self._driver.reading_paused
        ):
            self._probed_at = now
            websocket.probe(SILENCE)

    def _prove_connection(self) -> None:
        if not self._is_proved:
            self._is_proved = True
            self._resumer.connection_proved()
            self._tell_regained()

    def _tell_lost(self, lost_at: float, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = lost_at
            if self._handler is not None:
                self._handler.connection_lost(reason)

    def _tell_obstacle(self, reason: str) -> None:
        """Notify the user of a loss that will last until something else than AWS stops answering."""
        if self._lost_at is None:
            self._lost_at = self._loop.time()
        if self._handler is not None:
            self._handler.connection_lost(reason)

    def _tell_regained(self) -> None:
        if self._lost_at is not None and self._handler is not None and not self.ended.done():
            lost_at, self._lost_at = self._lost_at, None
            self._handler.connection_regained(self._back_at - lost_at)

    def _connected(self, websocket: WebSocket, token: str) -> None:
        self._connected_at, self._is_proved, self._is_heard = self._loop.time(), False, False
        self._websocket = websocket
        self._silence.connected(self._loop.time())
        self._driver.connect(websocket, token)

    def _deliver(self, event: Event) -> None:
        handler = self._handler
        if handler is None:
            return
        match event:
            case events.DataReceived():
                self._pause.data_received()
                self._data_at = self._received_at
                if self._prepare_timer is None:
                    self._prepare_timer = self._loop.call_later(PREPARE_INTERVAL, self._prepare_resume)
                if not self._is_proved:
                    self._prove_connection()
                handler.data_received(event.data, event.payload_type)
            case events.SendingUnblocked():
                handler.writable()
            case events.SessionStarted():
                self._session_type, self._agent_version = event.session_type, event.agent_version
                handler.session_started(event)
            case events.ExitCodeReceived():
                handler.exit_code_received(event.exit_code)
            case events.FlagReceived():
                handler.flag_received(event.flag)
            case events.DataKeyRequested():
                self._spawn(self._provide_data_key(event))
            case events.PublicationPaused():
                self._pause_received()
            case events.PublicationResumed():
                self._pause.pause_ended()
            case events.ChannelClosed():
                self._closed(event)
            case events.ChannelFailed():
                self._fail(SessionError(f"the session failed: {event.reason}", code="session-failed"))
            case events.SizeReceived():
                pass  # only agents receive these
            case _:
                assert_never(event)

    # --- operations that take longer than a turn

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _prepare_resume(self) -> None:
        """Keep a connection for ResumeSession open while data arrives; a silent session needs none, and no timer."""
        self._prepare_timer = None
        self._spawn(in_thread(self._service.prepare_resume))

    async def _provide_data_key(self, event: events.DataKeyRequested) -> None:
        try:
            key, blob = await in_thread(self._service.data_key, event.kms_key_id, event.encryption_context)
        except AwsRunasError as error:
            self._driver.refuse_data_key(error.message)
            self._fail(error)
            return
        self._driver.provide_data_key(key, blob)

    async def _reconnect(self, closed: Closed) -> None:
        """Resume after a loss. A new connection that breaks immediately belongs to the same loss."""
        now = self._loop.time()
        notice: asyncio.TimerHandle | None = None
        if self._is_renewing:
            notice = self._loop.call_later(RENEWAL_TIMEOUT, self._tell_lost, now, str(closed))
        else:
            self._tell_lost(now, str(closed))
        self._is_renewing = False
        was_busy = self._driver.unacknowledged() > 0 or now - self._data_at < BUSY_WITHIN
        was_admitted = self._is_heard or now - self._connected_at >= ADMITTED_AFTER
        refused = closed if closed.error is None and not was_admitted else None
        try:
            connection = await self._resumer.reconnect(now, was_busy=was_busy, refused=refused)
        except AwsRunasError as error:
            self._fail(error)
            return
        finally:
            self._reconnecting = None
            if notice is not None:
                notice.cancel()
        self._back_at = self._loop.time()
        self._steady_timer = self._loop.call_later(STEADY_AFTER, self._tell_regained)
        self._connected(*connection)
        if self._lost_at is None and self._size is not None:  # the handler, which sends it, was not notified
            self._driver.send_size(*self._size)  # the agent acknowledges it, which shows that it answers again

    def _pause_received(self) -> None:
        self._pause.pause_received(self._loop.time())
        self._set_pause_timer()

    def _set_pause_timer(self) -> None:
        """Set the timer. If it fires too early because messages have arrived, it is set again."""
        due = self._pause.next_timer()
        if due is not None and self._pause_timer is None:
            self._pause_timer = self._loop.call_at(due, self._check_pause)

    def _check_pause(self) -> None:
        self._pause_timer = None
        action = self._pause.handle_timer(self._loop.time())
        if action == "ask":
            self._spawn(self._ask_whether_active())
        elif action == "resume" and self._websocket is not None:
            self._is_renewing = True
            self._websocket.abort(ConnectionError("the agent has been away for too long"))
        self._set_pause_timer()

    async def _ask_whether_active(self) -> None:
        active = await in_thread(self._service.session_is_active, self.started.session_id)
        if active is False:
            self._fail(SessionError("the service has ended the session", code="session-gone"))
        elif not self.ended.done():
            self._pause_received()

    # --- the end

    async def _terminate_at_service(self) -> None:
        """Terminate the session, best effort: the session ends locally in any case."""
        try:
            async with asyncio.timeout(TERMINATE_TIMEOUT):
                await in_thread(self._service.terminate_session, self.started.session_id)
        except (AwsRunasError, TimeoutError):
            pass

    def _fail(self, error: AwsRunasError) -> None:
        """End a session that cannot continue: first on our side, then at the service."""
        if self.ended.done():
            return
        self._failing = self._loop.create_task(self._terminate_at_service())
        self._end(error, "")

    def _closed(self, event: events.ChannelClosed) -> None:
        """End with the reason from the service. The version of the agent may decide if output may be missing."""
        self._end_may_be_missing = event.end_may_be_missing
        if event.did_not_wait and not event.output:
            self._finish()
            self._spawn(self._end_by_version())
        else:
            self._end(_reason_of(event.output), event.output)

    async def _end_by_version(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(VERSION_TIMEOUT):
                waits = await in_thread(self._service.agent_waits, self.started.target, self._agent_version)
                self._end_may_be_missing = not waits
        if self._handler is not None:
            self._handler.session_ended(None, "")

    def _end(self, error: Exception | None, output: str) -> None:
        if self.ended.done():
            return
        self._finish()
        if self._handler is not None:
            self._handler.session_ended(error, output)

    def _finish(self) -> None:
        self._pause.pause_ended()
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        for timer in (self._prepare_timer, self._steady_timer):
            if timer is not None:
                timer.cancel()
        self._driver.stop()
        if self._websocket is not None:
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


def _join_data(received: list[Event]) -> list[Event]:
    """Join data that arrived together: a callback costs more than a copy; in a forward it is a system call."""
    joined: list[Event] = []
    for payload_type, group in groupby(received, _type_of_data):
        run = list(group)
        if payload_type is None:
            joined += run
        else:
            data = b"".join([event.data for event in run if isinstance(event, events.DataReceived)])
            joined.append(events.DataReceived(data, payload_type))
    return joined


def _type_of_data(event: Event) -> int | None:
    return event.payload_type if isinstance(event, events.DataReceived) else None


def _reason_of(output: str) -> SessionError | None:
    """Return an error with the text of the service. A regular end has no text."""
    text = " ".join(output.split())
    return SessionError(f"the session was ended by the service: {text}", code="session-ended") if text else None
