"""The data channel for both roles, without I/O and without a clock."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.ssm.core import handshake as opening
from aws_runas.ssm.core import message as wire
from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.agent_handshake import AgentHandshake, Announcement
from aws_runas.ssm.core.client_handshake import ClientHandshake
from aws_runas.ssm.core.dispatch import Dispatcher
from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.events import (
    ChannelClosed,
    ChannelFailed,
    Event,
    PublicationPaused,
    PublicationResumed,
    SendingUnblocked,
    SessionStarted,
)
from aws_runas.ssm.core.handshake import Handshake
from aws_runas.ssm.core.receiving import Receiver
from aws_runas.ssm.core.recovery.flight import Outgoing
from aws_runas.ssm.core.recovery.pacing import BURST, MIN_SPACING, DataShare, DataSpacing, Pacer
from aws_runas.ssm.core.sending import Sender
from aws_runas.ssm.core.session_start import SessionStart
from aws_runas.ssm.core.settings import ChannelSettings, Role
from aws_runas.ssm.core.state import Lifecycle, State, Trigger

__all__ = ["Channel", "ChannelSettings", "Role"]

QUEUE_AHEAD = 4  # messages accepted ahead of the pacer: during an upload, a keystroke waits for these; 4 ms
LOAN_BELOW = BURST // 2  # tokens; in an exchange of short messages, acknowledgements leave on loan if there are fewer
DEPARTS_SOON = 0.0035  # seconds: if a message leaves within this time, other timers wait for it
QUEUE_BEFORE_START = 16 * 1024  # bytes accepted before the session has started
AWAY_AFTER_PAUSE = 0.3  # seconds of a pause after which the agent counts as away; a pause just before the end is usual
UNREADABLE_LIMIT = 100  # consecutive messages that cannot be decoded; limit 15.2


class Channel:
    """One data channel that outlives its connections.

    After every receive_message, handle_timer, messages_to_send and send call, take events() and messages_to_send(),
    and arrange for handle_timer to be called at next_timer(). ``now`` is monotonic and in seconds.

    Args:
        role: CLIENT or AGENT.
        session_id, target: for the encryption context.
        settings: see ChannelSettings.
        random_bytes: n -> n random bytes, for message ids, nonces and challenges.
        wall_clock: returns milliseconds since the epoch, for CreatedDate and to detect that the machine was suspended.
    """

    def __init__(
        self,
        role: Role,
        *,
        session_id: str,
        target: str,
        settings: ChannelSettings,
        random_bytes: Callable[[int], bytes],
        wall_clock: Callable[[], int],
    ) -> None:
        self.role = role
        self._session_id = session_id
        self._target = target
        self._settings = settings
        self._wall_clock = wall_clock
        is_client = role is Role.CLIENT
        self._is_client = is_client
        outward, inward = wire.INPUT_STREAM_DATA, wire.OUTPUT_STREAM_DATA
        if not is_client:
            outward, inward = inward, outward
        self._inward = inward
        self._ids = wire.MessageIds(random_bytes)
        self._connection_id = self._ids.take_text()
        self._pacer = Pacer(settings.frame_rate)
        self._life = Lifecycle()
        self._sender = Sender(
            self._life,
            wire.DataEncoder(outward, self._ids),
            payload_size=settings.payload_size,
            window_bytes=settings.window_bytes,
            syn=not is_client,
        )
        delay = settings.acknowledge_delay if is_client else 0.0
        self._receiver = Receiver(wire.AcknowledgeEncoder(inward, self._ids), delay, wall_clock)
        self._events: list[Event] = []
        self._handshake = self._make_handshake(random_bytes)
        self._dispatcher = Dispatcher(role, self._handshake, self._emit, expects_handshake=settings.handshake)
        self._start = SessionStart(
            self._life, self._sender, self._dispatcher, self._emit, settings.assume_started_after
        )
        self._opening: list[bytes | str] = []
        self._connected = False
        self._is_unheard = False  # nothing from the peer has arrived on this connection yet
        self._lost_at = float("-inf")
        self._paused_at = float("-inf")
        self._blocked = False
        self._granted = 0  # bytes that the owner may still send
        self._unreadable = 0
        self._share = DataShare()
        self._spacing = DataSpacing(
            paced=is_client and settings.frame_rate is not None
        )  # an agent that is behind may send a burst
        self.next_departure: float | None = None
        """When the next paced message leaves, as of the last `next_timer`; None if none is waiting."""

    def _make_handshake(self, random_bytes: Callable[[int], bytes]) -> Handshake:
        send, settings = self._sender.queue_first, self._settings
        if self._is_client:
            return ClientHandshake(
                session_id=self._session_id,
                target=self._target,
                client_version=settings.client_version,
                random_bytes=random_bytes,
                send=send,
                emit=self._emit,
            )
        announcement = Announcement(
            settings.agent_version,
            settings.session_type,
            settings.properties,
            settings.kms_key_id,
            settings.customer_message,
            self._session_id,
            self._target,
        )
        return AgentHandshake(announcement, random_bytes=random_bytes, send=send, emit=self._emit)

    @property
    def state(self) -> State:
        """The lifecycle state of the channel."""
        return self._life.state

    # connections
    def connect(self, token: str, now: float) -> None:
        """Use a new connection: queue the opening message, then everything that is not acknowledged.

        Args:
            token: for the opening message; a secret.
            now: monotonic seconds.
        """
        if self._life.ended:
            return
        self._connected = self._is_unheard = True
        if self._life.paused:
            self._life.apply(Trigger.RESUME)
        self._sender.flight.connection_opened()
        self._receiver.connection_opened(self._lost_at, now)
        request_id, settings = self._ids.take_text(), self._settings
        if self._is_client:
            self._opening = [opening.client_opening(token, request_id, self._connection_id, settings.client_version)]
            self._start.peer_may_be_there(now)
            return
        self._opening = [opening.agent_opening(token, request_id, self._connection_id, self._target)]
        self._opening.append(self._session_state(opening.CONNECTED))
        if settings.handshake:
            self._handshake.begin(now)
        elif not self._life.open:
            self._emit(SessionStarted(settings.session_type, dict(settings.properties or {}), settings.agent_version))

    def _session_state(self, state: str) -> bytes:
        return opening.session_state(state, self._session_id, self._ids.take(), self._wall_clock())

    def receive_disconnect(self, now: float) -> None:
        """Note that the connection is gone. State and buffers stay until `connect` is called again.

        Args:
            now: monotonic seconds.
        """
        if self._connected:
            self._connected = False
            self._lost_at = now
            self._opening = []
            self._spacing.connection_lost()
            self._pacer.slow_down_if_saturated(now)

    # receiving
    def receive_message(self, data: bytes | str, now: float) -> None:
        """Process one whole WebSocket message. Never raises: an invalid message is ignored or becomes ChannelFailed.

        Args:
            data: bytes of a binary frame, text of a text frame.
            now: monotonic seconds.
        """
        if self._life.ended:
            return
        if isinstance(data, str):
            data = data.encode("utf-8", "replace")  # both official peers accept text as binary; spec 1.4
        number = wire.read_plain_acknowledgement(data)
        if self._is_unheard:
            self._hear(data, now)
        if number is not None:
            self._acknowledged(number, data, now)
            return
        try:
            self._receive(data, now)
        except RemoteProtocolError as error:
            self._fail(str(error))

    def _hear(self, data: bytes, now: float) -> None:
        """Note the first message from the service and the first message from the peer on a connection."""
        message_type = wire.message_type_of(data)
        if message_type == wire.CHANNEL_CLOSED:
            return
        self._receiver.connection_carries(now)
        if message_type in (self._inward, wire.ACKNOWLEDGE):
            self._is_unheard = False
            self._receiver.peer_is_there(now)

    def _receive(self, data: bytes, now: float) -> None:
        message_type = wire.message_type_of(data)
        if message_type == wire.PAUSE_PUBLICATION:
            self._pause(now)
            return
        if message_type == wire.START_PUBLICATION:
            self._resume()
            self._start.peer_may_be_there(now)
            return
        try:
            message = wire.decode_message(data, check_digest=self._is_client)
            if message_type == wire.ACKNOWLEDGE:
                self._acknowledged(payloads.decode_acknowledge(message.payload), data, now)
                return
        except RemoteProtocolError as error:
            self._unreadable += 1  # ignored and not acknowledged, so the peer resends it (spec 2.2)
            if self._unreadable >= UNREADABLE_LIMIT:
                raise RemoteProtocolError(
                    f"{UNREADABLE_LIMIT} messages could not be read; the last: {error}"
                ) from error
            return
        if message_type == self._inward:
            self._unreadable = 0
            if self._life.paused:
                self._resume()
            if not message.sequence_number and self._is_client and self._receiver.is_new_beginning(message):
                raise RemoteProtocolError("the agent has started again; what ran in the session is gone")
            for ready in self._receiver.receive(message, now):
                if ready.payload_type in payloads.HANDSHAKE_TYPES:
                    self._receiver.send_now(now)
                    self._start.received(ready.payload_type)
                elif self._life.assumed:
                    self._start.received(ready.payload_type)
                self._dispatcher.dispatch(ready, now)
        elif message_type == wire.CHANNEL_CLOSED:
            self._closed(payloads.decode_channel_closed(message.payload), now)

    def _acknowledged(self, number: int, data: bytes, now: float) -> None:
        if self._life.paused:
            self._resume()
        rtt = self._sender.acknowledge(number, now)
        if rtt is not None and self._receiver.wants_clock:
            self._receiver.read_clock(wire.date_of(data) / 1000, now - rtt)
        self._start.acknowledged(now)

    def reading_resumed(self, now: float) -> None:
        """Note that reading was paused for a while by back-pressure.

        Args:
            now: monotonic seconds.
        """
        self._receiver.reading_resumed(now)

    def _closed(self, output: str, now: float) -> None:
        if self._receiver.has_gap:
            text = f": {output}" if output else ""
            self._fail(f"the service ended the session while part of its output was missing{text}")
            return
        is_peer_away = self._life.paused and now - self._paused_at > AWAY_AFTER_PAUSE
        missing = is_peer_away or self._receiver.end_may_be_missing(now)
        self._life.apply(Trigger.END)
        self._events.append(ChannelClosed(output, missing, missing and self._receiver.peer_did_not_wait(now)))

    def _fail(self, reason: str) -> None:
        self._emit(ChannelFailed(reason))

    def _emit(self, event: Event) -> None:
        if self._life.ended:
            return
        if isinstance(event, ChannelFailed):
            self._life.apply(Trigger.END)
        if isinstance(event, SessionStarted) and not self._start.started(unready=self._handshake.peer_may_be_unready):
            return
        self._events.append(event)

    def events(self, now: float) -> list[Event]:
        """Return everything that happened since the last call, in order."""
        if self._blocked and self._may_unblock(now):
            self._blocked = False
            self._events.append(SendingUnblocked())
        events, self._events = self._events, []
        return events

    def _may_unblock(self, now: float) -> bool:
        """Return True if the owner waits to send more and must be notified that it may.

        With pacing, that is when the next message may leave, so that little is queued before a keystroke.
        """
        return self._has_room(now) and (not self._pacer.limited or self._spacing.allowed(now) > 0)

    def _has_room(self, now: float) -> bool:
        """Return True if the owner waits to send more and there is room for it."""
        if not self._blocked:
            return False
        size = self._settings.payload_size
        if self._pacer.limited and self._sender.pending_bytes:
            return False  # the owner is asked for a batch, which costs less than single messages
        return self._capacity(now) >= size

    # publication
    def _pause(self, now: float) -> None:
        if not self._life.paused:
            self._paused_at = now
            self._life.apply(Trigger.PAUSE)
            self._pacer.slow_down_if_saturated(now)
            self._sender.flight.pause(now)
            self._events.append(PublicationPaused())

    def _resume(self) -> None:
        if self._life.paused:
            self._life.apply(Trigger.RESUME)
            self._sender.flight.resume()
            self._events.append(PublicationResumed())

    # sending
    def send_capacity(self, now: float) -> int:
        """Return how many bytes `send_data` accepts now: whole payloads or 0. At 0, wait for SendingUnblocked."""
        capacity = self._capacity(now)
        if capacity < self._settings.payload_size:
            capacity = 0
        self._granted = capacity
        self._blocked = capacity == 0 and not self._life.ended
        return capacity

    def _capacity(self, now: float) -> int:
        sender, size = self._sender, self._settings.payload_size
        if self._life.ended:
            return 0
        if not self._life.open:
            return max(QUEUE_BEFORE_START, size) - sender.pending_bytes
        capacity = sender.room() - sender.pending_bytes
        if self._pacer.limited:
            ahead = self._spacing.leaving_soon(self._pacer.available(now)) + QUEUE_AHEAD
            capacity = min(capacity, ahead * size - sender.pending_bytes)
        assumed = self._start.capacity()
        return capacity if assumed is None else min(capacity, assumed)

    def send_data(self, data: bytes, now: float, payload_type: int = payloads.OUTPUT) -> None:
        """Queue stream data, cut into messages.

        Args:
            data: at most `send_capacity` bytes.
            now: monotonic seconds.
            payload_type: 1 output or input, 11 standard error.

        Raises:
            LocalProtocolError: the data exceeds `send_capacity`.
        """
        if payload_type not in payloads.DATA_TYPES:
            raise LocalProtocolError(f"payload type {payload_type} is not stream data")
        if self._life.ended:
            return
        self._take_granted(len(data), now)
        self._sender.queue_data(payload_type, data)

    def _take_granted(self, length: int, now: float) -> None:
        if length > self._granted:
            self._granted = max(self._capacity(now), 0)
            if length > self._granted:
                raise LocalProtocolError(f"{length} bytes where {self._granted} may be sent")
        self._granted -= length

    def send_message(self, data: bytes, now: float) -> None:
        """Queue stream data as exactly one message, for protocols that choose message boundaries.

        Args:
            data: at most one payload.
            now: monotonic seconds.

        Raises:
            LocalProtocolError: the data exceeds one payload or `send_capacity`.
        """
        if self._life.ended:
            return
        if len(data) > self._settings.payload_size:
            raise LocalProtocolError(f"{len(data)} bytes in a message of {self._settings.payload_size}")
        self._take_granted(len(data), now)
        self._sender.queue_message(payloads.OUTPUT, data)

    def send_size(self, columns: int, rows: int, now: float) -> None:  # noqa: ARG002 - all methods take the time
        """Send the terminal size in characters. Before the session has started, only the last size is kept.

        Args:
            columns, rows: 0 to 65,535.
            now: monotonic seconds.
        """
        if not self._life.ended:
            self._start.set_size(payloads.encode_size(columns, rows))

    def send_flag(self, flag: int, now: float) -> None:  # noqa: ARG002 - all methods take the time
        """Send a flag after earlier data: 1 DisconnectToPort, 2 TerminateSession; as agent 3 ConnectToPortError."""
        if not self._life.ended:
            self._sender.queue_control(payloads.FLAG, payloads.encode_flag(flag))

    def send_exit_code(self, exit_code: int, now: float) -> None:  # noqa: ARG002 - all methods take the time
        """Send the exit status of the command (role AGENT)."""
        if not self._life.ended:
            self._sender.queue_control(payloads.EXIT_CODE, payloads.encode_exit_code(exit_code))

    def send_terminating(self, now: float) -> None:  # noqa: ARG002 - all methods take the time
        """Send the message that ends the session at the service (role AGENT)."""
        if self._connected and not self._life.ended:
            self._opening.append(self._session_state(opening.TERMINATING))

    def provide_data_key(self, plaintext: bytes, ciphertext_blob: bytes, now: float) -> None:
        """Answer DataKeyRequested.

        Args:
            plaintext: the 64-byte key; a secret.
            ciphertext_blob: role CLIENT: the encrypted key for the agent.
            now: monotonic seconds.

        Raises:
            LocalProtocolError: no key was requested.
        """
        self._handshake.provide_data_key(plaintext, ciphertext_blob, now)
        cipher = self._handshake.cipher
        if cipher is not None:
            self._sender.encrypt = cipher.encrypt

    def refuse_data_key(self, reason: str, now: float) -> None:
        """Answer DataKeyRequested when KMS refused. The session fails, and the agent is notified."""
        self._handshake.refuse_data_key(reason, now)

    # output and time
    def messages_to_send(self, now: float) -> list[bytes | str]:
        """Return the WebSocket messages that are due, as far as pacing allows: str for text frames, bytes for binary.

        After ChannelFailed, one more call returns the last messages for the peer.

        Args:
            now: monotonic seconds.
        """
        if not self._connected:
            return []
        due = self._receiver.due_at()
        owes = due is not None and due <= now
        if not (owes or self._opening or self._life.ended or self._sender.has_waiting(now)):
            return []
        messages = self._opening
        self._opening = []
        budget = self._pacer.available(now)
        created_date = self._wall_clock()
        from_reserve = lent = 0
        if owes:
            acknowledgements, from_reserve, lent = self._acknowledgements(now, budget, created_date)
            budget -= len(acknowledgements) - from_reserve - lent
            messages += acknowledgements
        elif budget <= 0:
            return messages
        if not self._life.ended:
            count = min(budget, self._spacing.allowed(now))
            if count > 0:
                data = self._sender.frames_to_send(now, count, created_date)
                self._spacing.sent(len(data), now)
                messages += data
        else:
            messages += self._sender.last_frames(now, created_date)
        self._pacer.spend(len(messages), from_reserve=from_reserve, lent=lent)
        return messages

    def _acknowledgements(self, now: float, budget: int, created_date: int) -> tuple[list[bytes], int, int]:
        """Return the acknowledgements that are due, and how many of them use the reserve and the loan of the pacer.

        Data is left its share of the budget.
        """
        waiting = self._sender.waiting(now) if self._pacer.limited else 0
        is_exchange = waiting <= 1 and not self._receiver.is_losing(now)
        share = self._share.take(min(budget, waiting), takes_turns=is_exchange)
        room = budget - share
        loan = self._pacer.loan(now) if room < LOAN_BELOW and is_exchange else 0
        frames = self._receiver.acknowledgements_to_send(now, max(room, loan), created_date)
        self._share.acknowledged(len(frames))
        lent = min(len(frames), loan)
        room -= len(frames) - lent
        due = self._receiver.repeats_due_at()
        if due is None or due > now:
            return frames, 0, lent
        repeats = self._receiver.repeats_to_send(now, max(room, self._pacer.reserve(now) - lent), created_date)
        return frames + repeats, max(0, len(repeats) - room), lent

    def messages_written(self, now: float) -> None:
        """Measure the spacing of data messages from now: the write took longer than encoding them, or began late.

        Args:
            now: monotonic seconds, read after the write.
        """
        self._spacing.written(now)

    def messages_ahead(self, now: float, until: float) -> list[Outgoing]:
        """Return data messages to be sent after now, each at its `sent_at`, as far as pacing allows.

        Preparing several costs much less than a wake-up for each. Call it after `messages_to_send`, and call
        `departed` for each message that was sent. They count as sent: drop them if the connection is lost before.
        While acknowledgements are pending it returns none, because acknowledgements share the budget of the pacer.

        Args:
            now: monotonic seconds.
            until: monotonic seconds; messages with a later `sent_at` are not prepared.
        """
        ahead: list[Outgoing] = []
        if not (self._connected and self._pacer.limited) or self._life.paused or self._life.ended:
            return ahead
        if self._receiver.due_at() is not None:
            return ahead
        created_date = self._wall_clock()
        while (when := max(now, self._pacer.ready_at(1), self._spacing.ready_at)) <= until:
            self._pacer.available(when)
            if not self._sender.frames_to_send(when, 1, created_date):
                break
            self._pacer.spend(1)
            self._spacing.made_ahead(when)
            ahead.append(self._sender.flight.last_sent())
        return ahead

    def departed(self, message: Outgoing, now: float) -> float:
        """Note that a message from `messages_ahead` was sent, and return the earliest time for the next one.

        Args:
            message: as returned by messages_ahead.
            now: monotonic seconds. On a busy machine this is later than its `sent_at`.
        """
        message.sent_at = now
        self._spacing.departed(now)
        return now + MIN_SPACING

    def quiet_until(self) -> float | None:
        """Return the time until which nothing is sent if nothing arrives, when only acknowledgements are pending.

        This is the usual state of a download. The call is much cheaper than `messages_to_send` and `next_timer`.

        Returns:
            Monotonic seconds; None if more than acknowledgements may be due: call those two then.
        """
        if self._blocked or self._opening or self._life.ended or not self._connected or self._sender.unacknowledged():
            return None
        if self._start.deadline is not None or self._handshake.deadline is not None:
            return None
        return self._receiver.due_at()

    def next_timer(self, now: float) -> float | None:
        """Return when to call `handle_timer`, in monotonic seconds; None if there is nothing to wait for."""
        self.next_departure = None
        if self._life.ended:
            return None
        times: list[float] = []
        if self._connected:
            if self._opening or self._sender.has_waiting(now) or self._has_room(now):
                self.next_departure = departure = max(self._pacer.ready_at(1), self._spacing.next_departure(now))
                if departure - now < DEPARTS_SOON:
                    return departure
                times.append(departure)
            if self._start.deadline is not None:
                times.append(self._start.deadline)
            due = self._receiver.due_at()
            if due is not None:
                times.append(max(due, self._pacer.ready_at(max(self._receiver.pending_acknowledgements(), 1))))
            repeat = self._receiver.repeats_due_at()
            if repeat is not None and self._pacer.reserve(now):
                times.append(repeat)
            resend = self._sender.next_timer(now)
            if resend is not None:
                times.append(resend)
        if self._handshake.deadline is not None:
            times.append(self._handshake.deadline)
        return min(times) if times else None

    def handle_timer(self, now: float) -> None:
        """Perform actions that are due: handshake deadline, assumed start, resends.

        Args:
            now: monotonic seconds.
        """
        if self._life.ended:
            return
        try:
            self._handshake.handle_timer(now)
        except RemoteProtocolError as error:
            self._fail(str(error))
        if not self._connected:
            return
        self._start.handle_timer(now)
        self._sender.flight.handle_timer(now)

    # inspection
    @property
    def expected(self) -> int:
        """Sequence number of the next message from the peer to deliver."""
        return self._receiver.expected

    def unacknowledged(self) -> int:
        """Return the number of messages, queued or sent, that the peer has not acknowledged."""
        return self._sender.unacknowledged()
