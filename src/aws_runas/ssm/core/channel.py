"""The data channel, both roles, without I/O and without a clock."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.ssm.core import message as wire
from aws_runas.ssm.core import opening, payloads
from aws_runas.ssm.core.agent_handshake import AgentHandshake, Announcement
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
from aws_runas.ssm.core.handshake import ClientHandshake
from aws_runas.ssm.core.inbox import PLAIN_SESSION_TYPE, Inbox
from aws_runas.ssm.core.pacing import Pacer
from aws_runas.ssm.core.receiving import Receiver
from aws_runas.ssm.core.sending import Sender
from aws_runas.ssm.core.settings import ChannelSettings, Role

__all__ = ["Channel", "ChannelSettings", "Role"]

QUEUE_AHEAD = 8  # messages accepted beyond what the pacer lets out: what a byte typed beside an upload waits for; 9 ms
QUEUE_BEFORE_START = 16 * 1024  # bytes accepted before the session has started
KEPT_LIMIT = 64 * 1024  # bytes sent on the assumption that there is no handshake; limit 11.9
ASSUMPTION_SETTLED = 5.0  # seconds without a handshake after an acknowledgement: the assumption was right; spec 5.7
ACKNOWLEDGEMENTS_PER_DATA = 3  # where both wait for the pacer: 675 and 225 a second; an agent sends about 650
DATA_CREDIT = 8.0  # data frames that may have been saved up so
UNREADABLE_LIMIT = 100  # messages in a row that nobody can read; limit 11.2


class Channel:
    """One data channel that outlives its connections.

    After every receive_message, handle_timer, messages_to_send and send call, take events() and messages_to_send(),
    and arrange for handle_timer to be called at next_timer(). ``now`` is monotonic and in seconds.

    Args:
        role: CLIENT or AGENT.
        session_id, target: for the encryption context.
        settings: see ChannelSettings.
        random_bytes: n -> n random bytes; message ids, nonces and challenges come from here.
        wall_clock: milliseconds since the epoch, for CreatedDate and nothing else.
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
        self._sender = Sender(
            wire.DataEncoder(outward, self._ids),
            payload_size=settings.payload_size,
            window_bytes=settings.window_bytes,
            syn=not is_client,
        )
        delay = settings.acknowledge_delay if is_client else 0.0
        self._receiver = Receiver(wire.AcknowledgeEncoder(inward, self._ids), delay)
        self._events: list[Event] = []
        self._handshake: ClientHandshake | AgentHandshake = self._make_handshake(random_bytes)
        self._inbox = Inbox(role, self._handshake, self._emit, expects_handshake=settings.handshake)
        self._opening: list[bytes | str] = []
        self._connected = False
        self._ended = False
        self._blocked = False
        self._unreadable = 0
        self._size: bytes | None = None
        self._assume_at: float | None = None
        self._assumed = False
        self._now = 0.0
        self._data_credit = 0.0  # data frames that may go before acknowledgements that wait

    def _make_handshake(self, random_bytes: Callable[[int], bytes]) -> ClientHandshake | AgentHandshake:
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

    # connections
    def connect(self, token: str, now: float) -> None:
        """A new connection is open: queue the opening text frame, then whatever was not acknowledged."""
        self._now = now
        if self._ended:
            return
        self._connected = True
        request_id = self._ids.take_text()
        if self._is_client:
            version = self._settings.client_version
            self._opening = [opening.client_opening(token, request_id, self._connection_id, version)]
        else:
            self._opening = [opening.agent_opening(token, request_id, self._connection_id, self._target)]
            self._opening.append(self._session_state(opening.CONNECTED))
        self._sender.flight.connection_opened()
        if isinstance(self._handshake, AgentHandshake):
            self._begin_as_agent(self._handshake, now)
        elif not self._sender.open and self._settings.assume_started_after is not None:
            self._assume_at = now + self._settings.assume_started_after

    def _begin_as_agent(self, handshake: AgentHandshake, now: float) -> None:
        if self._settings.handshake:
            handshake.begin(now)
        elif not self._sender.open:
            settings = self._settings
            self._emit(SessionStarted(settings.session_type, dict(settings.properties or {}), settings.agent_version))

    def _session_state(self, state: str) -> bytes:
        return opening.session_state(state, self._session_id, self._ids.take(), self._wall_clock())

    def receive_disconnect(self, now: float) -> None:
        """The connection is gone; state and buffers live on until connect is called again."""
        self._now = now
        if self._connected:
            self._connected = False
            self._opening = []
            self._pacer.slow_down_if_busy(now)

    # receiving
    def receive_message(self, data: bytes | str, now: float) -> None:
        """Take one whole WebSocket message. Raises nothing: what is wrong is ignored or becomes ChannelFailed."""
        self._now = now
        if self._ended:
            return
        if isinstance(data, str):
            data = data.encode("utf-8", "replace")  # both official peers take text for binary; spec 1.4
        number = wire.read_plain_acknowledgement(data)
        if number is not None:
            self._acknowledged(number, now)
            return
        try:
            self._receive(data, now)
        except RemoteProtocolError as error:
            self._fail(str(error))

    def _receive(self, data: bytes, now: float) -> None:
        message_type = wire.message_type_of(data)
        if message_type == wire.PAUSE_PUBLICATION:
            self._pause(now)
            return
        if message_type == wire.START_PUBLICATION:
            self._resume()
            return
        try:
            message = wire.decode_message(data)
            if message_type == wire.ACKNOWLEDGE:
                self._acknowledged(payloads.decode_acknowledge(message.payload), now)
                return
        except RemoteProtocolError as error:
            self._unreadable += 1  # ignored and not acknowledged, so it comes again (spec 2.2)
            if self._unreadable >= UNREADABLE_LIMIT:
                raise RemoteProtocolError(
                    f"{UNREADABLE_LIMIT} messages could not be read; the last: {error}"
                ) from error
            return
        if message_type == self._inward:
            self._unreadable = 0
            self._resume()
            for ready in self._receiver.receive(message, now):
                if ready.payload_type in payloads.HANDSHAKE_TYPES:
                    self._receiver.hurry(now)
                if self._assumed:
                    self._judge_assumption(ready.payload_type)
                self._inbox.take(ready, now)
        elif message_type == wire.CHANNEL_CLOSED:
            self._closed(payloads.decode_channel_closed(message.payload))

    def _acknowledged(self, number: int, now: float) -> None:
        if self._sender.flight.paused:
            self._resume()
        self._sender.acknowledge(number, now)
        if self._assumed and self._assume_at is None:
            self._assume_at = now + ASSUMPTION_SETTLED

    def _closed(self, output: str) -> None:
        if self._receiver.has_gap:
            text = f": {output}" if output else ""
            self._fail(f"the service ended the session while part of its output was missing{text}")
            return
        self._ended = True
        self._events.append(ChannelClosed(output))

    def _fail(self, reason: str) -> None:
        self._emit(ChannelFailed(reason))

    def _emit(self, event: Event) -> None:
        if self._ended:
            return
        if isinstance(event, ChannelFailed):
            self._ended = True
        if isinstance(event, SessionStarted):
            self._start()
            if self._assumed:
                self._settle_assumption()
                return
        self._events.append(event)

    def events(self) -> list[Event]:
        """Everything that happened since the last call, in order."""
        if self._blocked and self.send_capacity() > 0:
            self._events.append(SendingUnblocked())
        events, self._events = self._events, []
        return events

    # publication
    def _pause(self, now: float) -> None:
        if not self._sender.flight.paused:
            self._pacer.slow_down_if_busy(now)
            self._sender.flight.pause(now)
            self._events.append(PublicationPaused())

    def _resume(self) -> None:
        if self._sender.flight.paused:
            self._sender.flight.resume()
            self._events.append(PublicationResumed())

    # starting
    def _start(self) -> None:
        sender = self._sender
        sender.open = True
        if isinstance(self._handshake, ClientHandshake) and self._handshake.done:
            sender.expect_unready_peer()
        if self._size is not None:
            sender.queue_control(payloads.SIZE, self._size, first=True)

    def _assume_started(self) -> None:
        """Nobody said anything: a command without handshake and without output. Send, but keep what is sent: should a
        handshake come after all, the agent has thrown it away (spec 5.7)."""
        self._sender.keep()
        self._inbox.assume_started()
        self._emit(SessionStarted(PLAIN_SESSION_TYPE, {}, ""))
        self._assumed = True

    def _judge_assumption(self, payload_type: int) -> None:
        """The agent speaks at last."""
        if payload_type == payloads.HANDSHAKE_REQUEST:
            self._sender.open = False
            self._sender.queue_kept_again()
            self._inbox.expect_handshake()
        elif payload_type not in payloads.HANDSHAKE_TYPES:
            self._settle_assumption()
            if self._size is not None:
                self._sender.queue_control(
                    payloads.SIZE, self._size
                )  # the first may have come before the agent's start

    def _settle_assumption(self) -> None:
        self._assumed = False
        self._assume_at = None
        self._sender.forget_kept()

    # sending
    def send_capacity(self) -> int:
        """Bytes that send_data takes now; 0: wait for SendingUnblocked. Whole payloads or nothing."""
        capacity = self._capacity()
        if capacity < self._settings.payload_size:
            capacity = 0
        self._blocked = capacity == 0 and not self._ended
        return capacity

    def _capacity(self) -> int:
        sender, size = self._sender, self._settings.payload_size
        if self._ended:
            return 0
        if not sender.open:
            return max(QUEUE_BEFORE_START, size) - sender.pending_bytes
        capacity = sender.room() - sender.pending_bytes
        if self._pacer.limited:
            ahead = self._pacer.available(self._now) + QUEUE_AHEAD
            capacity = min(capacity, ahead * size - sender.pending_bytes)
        if self._assumed:
            capacity = min(capacity, KEPT_LIMIT - sender.kept_bytes - sender.pending_bytes)
        return capacity

    def send_data(self, data: bytes, now: float, payload_type: int = payloads.OUTPUT) -> None:
        """Queue stream data, cut into messages. Raises LocalProtocolError beyond send_capacity."""
        self._now = now
        if payload_type not in payloads.DATA_TYPES:
            raise LocalProtocolError(f"payload type {payload_type} is no stream data")
        if self._ended:
            return
        capacity = self._capacity()
        if len(data) > capacity:
            raise LocalProtocolError(f"{len(data)} bytes where {max(capacity, 0)} may be sent")
        self._sender.queue_data(payload_type, data)

    def send_size(self, columns: int, rows: int, now: float) -> None:
        """Tell the agent the terminal's size; before the session has started the last one waits."""
        self._now = now
        self._size = payloads.encode_size(columns, rows)
        if self._sender.open and not self._ended:
            self._sender.queue_control(payloads.SIZE, self._size)

    def send_flag(self, flag: int, now: float) -> None:
        """Send 1 DisconnectToPort, 2 TerminateSession or, as agent, 3 ConnectToPortError; behind earlier data."""
        self._now = now
        if not self._ended:
            self._sender.queue_control(payloads.FLAG, payloads.encode_flag(flag))

    def send_exit_code(self, exit_code: int, now: float) -> None:
        """Role AGENT: tell the command's status."""
        self._now = now
        if not self._ended:
            self._sender.queue_control(payloads.EXIT_CODE, payloads.encode_exit_code(exit_code))

    def send_terminating(self, now: float) -> None:
        """Role AGENT: tell the service that the session is over."""
        self._now = now
        if self._connected and not self._ended:
            self._opening.append(self._session_state(opening.TERMINATING))

    def provide_data_key(self, plaintext: bytes, ciphertext_blob: bytes, now: float) -> None:
        """Answer DataKeyRequested: 64 bytes of key, and as client what goes to the agent."""
        self._now = now
        if isinstance(self._handshake, ClientHandshake):
            self._handshake.provide_data_key(plaintext, ciphertext_blob)
        else:
            self._handshake.provide_data_key(plaintext, now)
        cipher = self._handshake.cipher
        if cipher is not None:
            self._sender.encrypt = cipher.encrypt

    def refuse_data_key(self, reason: str, now: float) -> None:
        """Answer DataKeyRequested when KMS would not; the session fails, the agent is told."""
        self._now = now
        if isinstance(self._handshake, ClientHandshake):
            self._handshake.refuse_data_key(reason)
        else:
            self._fail(f"the data key could not be decrypted: {reason}")

    # output and time
    def messages_to_send(self, now: float) -> list[bytes | str]:
        """WebSocket messages due now, as far as pacing allows; str is a text frame, bytes a binary one.

        After ChannelFailed one more call returns what the peer should still hear.
        """
        self._now = now
        if not self._connected:
            return []
        messages = self._opening
        self._opening = []
        budget = self._pacer.available(now)
        if budget <= 0:
            return messages
        created_date = self._wall_clock()
        # Acknowledgements go first, but not for ever: a peer that sends at the whole rate would keep data from leaving.
        ahead = min(int(self._data_credit), budget, self._sender.waiting(now))
        acknowledgements = self._receiver.acknowledgements_to_send(now, budget - ahead, created_date)
        earned = len(acknowledgements) / ACKNOWLEDGEMENTS_PER_DATA
        self._data_credit = min(self._data_credit - ahead + earned, DATA_CREDIT)
        messages += acknowledgements
        if not self._ended:
            messages += self._sender.frames_to_send(now, budget - len(acknowledgements), created_date)
        else:
            messages += self._sender.last_frames(now, created_date)
        self._pacer.spend(len(messages))
        return messages

    def next_timer(self) -> float | None:
        """When handle_timer wants to be called, in the same seconds as now; None while there is nothing to wait for."""
        times: list[float] = []
        if self._ended:
            return None
        if isinstance(self._handshake, AgentHandshake) and self._handshake.deadline is not None:
            times.append(self._handshake.deadline)
        if self._connected:
            if self._assume_at is not None:
                times.append(self._assume_at)
            waiting = self._sender.waiting(self._now) + len(self._opening)
            due = self._receiver.due_at()
            if due is not None:
                waiting_then = waiting + self._receiver.owed()
                times.append(max(due, self._pacer.ready_at(waiting_then)))
            if waiting:
                times.append(self._pacer.ready_at(waiting))
            resend = self._sender.next_timer(self._now)
            if resend is not None:
                times.append(resend)
        return min(times) if times else None

    def handle_timer(self, now: float) -> None:
        """Time has passed: resends, late acknowledgements, tokens of the pacer."""
        self._now = now
        if self._ended:
            return
        if isinstance(self._handshake, AgentHandshake):
            try:
                self._handshake.handle_timer(now)
            except RemoteProtocolError as error:
                self._fail(str(error))
        if not self._connected:
            return
        if self._assume_at is not None and now >= self._assume_at:
            self._assume_at = None
            if self._assumed:
                self._settle_assumption()
            elif not self._sender.open:
                self._assume_started()
        self._sender.flight.handle_timer(now)

    # inspection
    def unacknowledged(self) -> int:
        """Messages sent or queued that the peer has not acknowledged; 0: everything arrived."""
        return self._sender.unacknowledged()
