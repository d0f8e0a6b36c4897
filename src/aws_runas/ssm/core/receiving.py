"""The receiving half of a channel: order, duplicates, and delayed acknowledgements (spec 8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from aws_runas.ssm.core.message import AcknowledgeEncoder, Message

MAX_STORED_MESSAGES = 10_000  # out of order; same as in the official client; limit 15.3
MAX_STORED_BYTES = 16 * 1024 * 1024  # payload bytes of these; limit 15.4
MAX_PENDING_ACKNOWLEDGEMENTS = 50_000  # one minute of output of an official agent while nothing can be sent; limit 15.5
ACKNOWLEDGE_PATIENCE = 0.0025  # seconds to wait beyond the delay: the next message wakes the client anyway; spec 8.3
PATIENT_UP_TO = 8  # pending ones; more mean an unpaced sender, which may be blocked on a full window
MIN_ACKNOWLEDGE_DELAY = 0.002  # seconds; up to 0.5 ms after sending, an agent may not have stored its message; spec 8.3

REPEAT_AFTER = 0.02  # seconds after which an acknowledgement is repeated while messages are being lost; spec 8.3
LOSS_MEMORY = 1.0  # seconds after a gap or a duplicate during which acknowledgements are repeated
RETRANSMISSION_REPEATS = 2  # of the acknowledgement of a retransmission; a lost one costs an agent 100 ms or more
RECENT_ACKNOWLEDGEMENTS = 256  # kept in case some are in transit when the connection is lost
UNDER_WAY = 0.3  # seconds; an acknowledgement sent within this time before a cut may be lost
FRESH_MARGIN = 0.2  # seconds after a cut; a message created later shows that no earlier one was lost in it
SETTLED_AFTER = 2.5  # seconds without a message; an agent resends within 1.1 s, and drops an ended session after 2 s
CLOCK_READS = 16  # number of acknowledgements whose dates are compared with our clock
WAITED_LESS = 1.8  # seconds from last message to end of session; with a message unacknowledged, an agent waits 2 s
RESENDS = 2  # consecutive late or repeated messages that indicate a resend loop; a single one is network jitter
RESEND_GAP = 0.08  # seconds of extra gap before a message that indicate a resend; an agent resends one per 0.1 s
CLOCK_TOLERANCE = 0.1  # seconds that wall clock and monotonic clock may diverge before dates are not trusted

_NOTHING: tuple[Message, ...] = ()


class Receiver:
    """Puts numbered messages in order and acknowledges them.

    Args:
        delay: seconds to hold acknowledgements of data back (spec 8.3).
        wall_clock: returns milliseconds since the epoch, to detect that the machine was suspended or its clock set.
    """

    def __init__(self, encoder: AcknowledgeEncoder, delay: float, wall_clock: Callable[[], int]) -> None:
        self._encoder = encoder
        self._delay = delay
        self._wall_clock = wall_clock
        self._settle = min(MIN_ACKNOWLEDGE_DELAY, delay)
        self._patience = ACKNOWLEDGE_PATIENCE if delay else 0.0
        self.expected = 0
        self._stored: dict[int, Message] = {}
        self._stored_bytes = 0
        self._urgent: deque[tuple[int, bytes]] = deque()  # number and wire id
        self._urgent_since = 0.0
        self._pending: deque[tuple[int, bytes, float]] = deque()  # number, wire id, arrival

        self._repeats: deque[tuple[int, bytes, float]] = deque()  # number, wire id, when it is repeated
        self._retransmissions: deque[tuple[int, bytes, float, int]] = deque()  # the same, and repeats left
        self._recent: deque[tuple[int, bytes, float]] = deque(maxlen=RECENT_ACKNOWLEDGEMENTS)  # and when sent
        self._loss_seen_at = float("-inf")
        self._last_at = float("-inf")
        self._clock_offset = float("inf")  # our clock minus the peer's, plus the shortest latency seen; seconds
        self._least_offset = float("-inf")  # our clock minus the peer's, lower bound; seconds
        self._most_offset = float("inf")  # the same, upper bound; seconds
        self._clock_reads = 0
        self._first_id = b""  # id of message 0
        self._last_made = float("-inf")  # date of the last delivered message, by the peer's clock; seconds
        self._resent_in_a_row = 0  # most recent consecutive messages that look resent
        self._resent_at = float("-inf")  # when the last of them arrived
        self._wall_ahead: float | None = None  # wall clock minus monotonic clock at the last connection; seconds
        self._cut_at: float | None = None  # messages that the peer sent before this may be lost and not resent yet
        self._heard_at: float | None = None  # when the first message arrived on the connection after the cut
        self._peer_heard_at: float | None = None  # when the first message from the peer arrived on it

    @property
    def has_gap(self) -> bool:
        """True if a stored message cannot be delivered because an earlier one is missing."""
        return bool(self._stored)

    def is_losing(self, now: float) -> bool:
        """Return True while acknowledgements are repeated because messages are being lost."""
        return now - self._loss_seen_at <= LOSS_MEMORY

    def receive(self, message: Message, now: float) -> tuple[Message, ...] | list[Message]:
        """Process a message and return the messages that are next in order, if any.

        Args:
            message: decoded message.
            now: monotonic seconds.
        """
        number = message.sequence_number
        if len(self._pending) + len(self._urgent) >= MAX_PENDING_ACKNOWLEDGEMENTS:
            return _NOTHING  # neither accepted nor acknowledged, so the peer resends it
        if number == self.expected:
            self.expected = number + 1
            if not number:
                self._first_id = message.message_id
            self._note_arrival(message, now)
            if self._stored:  # it fills a gap: a retransmission
                self._loss_seen_at = now
                self._acknowledge_retransmission(number, message.message_id, now)
                return self._drain(message, now)
            self._pending.append((number, message.message_id, now))
            return (message,)
        if number < self.expected or number in self._stored:
            self._loss_seen_at = self._resent_at = now
            self._resent_in_a_row += 1
            if number >= 0:  # its acknowledgement was lost or too early: acknowledge again at once (spec 8.2)
                self._acknowledge_retransmission(number, message.message_id, now)
            return _NOTHING
        self._loss_seen_at = now
        if len(self._stored) < MAX_STORED_MESSAGES and self._stored_bytes + len(message.payload) <= MAX_STORED_BYTES:
            self._stored[number] = message
            self._stored_bytes += len(message.payload)
            self._pending.append((number, message.message_id, now))
        # else: no room; not acknowledged, so the peer resends it
        return _NOTHING

    def is_new_beginning(self, message: Message) -> bool:
        """Return True if the peer counts from 0 again: this first message has a new id and is newer than all others.

        A resent message keeps its id and its date.

        Args:
            message: message with sequence number 0.
        """
        is_first = not self.expected or message.message_id == self._first_id
        return not is_first and message.created_date / 1000 > self._last_made

    def _drain(self, message: Message, now: float) -> list[Message]:
        ready = [message]
        while (following := self._stored.pop(self.expected, None)) is not None:
            self._stored_bytes -= len(following.payload)
            self.expected += 1
            ready.append(following)
        self._note_arrival(ready[-1], now)
        return ready

    def _note_arrival(self, message: Message, now: float) -> None:
        """Note the arrival of a message. One that was created after a cut shows that none from before it is missing."""
        made_at = message.created_date / 1000
        offset = now - made_at
        if offset < self._most_offset:
            self._most_offset = offset
        is_first = self._last_made == float("-inf")  # cannot be judged as late or not
        is_late = not is_first and now - self._last_at > made_at - self._last_made + RESEND_GAP
        self._resent_in_a_row = self._resent_in_a_row + 1 if is_late else 0
        self._resent_at = now
        self._last_made = made_at
        if self._cut_at is None:
            if offset < self._clock_offset and not (is_first or is_late):
                self._clock_offset = offset
        elif self._is_settled(now) or self._is_made_after_cut(made_at, now):
            self._cut_at = None
        self._last_at = now

    def _is_made_after_cut(self, made_at: float, now: float) -> bool:
        """Return True if the peer certainly created a message after the first message on the connection after the cut.

        The service knew that connection no later than when it sent the first message on it. Messages that the service
        forwards after that are not lost.
        """
        if self._heard_at is None or not self._knows_clock(now):
            return False
        return self._heard_at + FRESH_MARGIN < made_at + self._clock_offset

    def connection_carries(self, now: float) -> None:
        """Note that a message from the peer or from the service arrived on the connection."""
        if self._heard_at is None:
            self._heard_at = now

    def peer_is_there(self, now: float) -> None:
        """Note the first message from the peer itself on a connection."""
        if self._peer_heard_at is None:
            self._peer_heard_at = now

    def _wall_clock_ahead(self, now: float) -> float:
        return self._wall_clock() / 1000 - now

    def _knows_clock(self, now: float) -> bool:
        """Return True if the peer's dates can be converted to our clock."""
        return self._clock_offset < float("inf") and self._is_clock_steady(now)

    def _is_clock_steady(self, now: float) -> bool:
        """Return True if the machine was not suspended, and its clock not set, since the last connection was opened."""
        return self._wall_ahead is not None and abs(self._wall_clock_ahead(now) - self._wall_ahead) <= CLOCK_TOLERANCE

    def _is_settled(self, now: float) -> bool:
        """Return True if the peer was heard after the cut and then silent for so long that it has nothing to resend.

        A cut usually affects both connections, so the silence of a peer that has not been heard proves nothing.
        """
        if self._cut_at is None:
            return True
        return self._peer_heard_at is not None and now - max(self._peer_heard_at, self._last_at) >= SETTLED_AFTER

    def end_may_be_missing(self, now: float) -> bool:
        """Return True if the last messages of a session that ends now may be missing. No gap shows that.

        Messages may be missing after a cut, or if the peer was resending because its own connection was cut. An agent
        resends one message per 100 ms, and stops two seconds after the program of the session has ended.

        Args:
            now: monotonic seconds.
        """
        is_resending = self._resent_in_a_row >= RESENDS and now - self._resent_at < SETTLED_AFTER
        return is_resending or not self._is_settled(now)

    def reading_resumed(self, now: float) -> None:
        """Note that data that waited in the socket is read now: it is late, but was not resent.

        Args:
            now: monotonic seconds.
        """
        self._last_at = max(self._last_at, now) if self._last_at > float("-inf") else self._last_at

    def peer_did_not_wait(self, now: float) -> bool:
        """Return True if the peer ended the session sooner than it would with an unacknowledged message.

        Agents end a session when everything is acknowledged, or two seconds after their last message.

        Args:
            now: monotonic seconds.
        """
        offset = self._clock_offset
        if offset == float("inf"):  # no message has arrived in time: a short session on a busy machine
            offset = self._least_offset if self._least_offset <= self._most_offset else float("-inf")
        return self._is_clock_steady(now) and now < self._last_made + offset + WAITED_LESS

    @property
    def wants_clock(self) -> bool:
        """True if `read_clock` needs more acknowledgements. A few are enough."""
        return self._clock_reads < CLOCK_READS

    def read_clock(self, made_at: float, sent_at: float) -> None:
        """Update the lower bound of the clock offset: the peer created the acknowledgement after we sent the message.

        Args:
            made_at: date of the acknowledgement, seconds by the peer's clock.
            sent_at: when the acknowledged message was sent, in monotonic seconds.
        """
        self._clock_reads += 1
        self._least_offset = max(self._least_offset, sent_at - made_at)

    def _acknowledge_at_once(self, number: int, message_id: bytes, now: float) -> None:
        if not self._urgent:
            self._urgent_since = now
        self._urgent.append((number, message_id))

    def _acknowledge_retransmission(self, number: int, message_id: bytes, now: float) -> None:
        """Acknowledge at once, and again soon: an agent resends nothing else until it is acknowledged."""
        self._acknowledge_at_once(number, message_id, now)
        if self._delay:
            self._retransmissions.append((number, message_id, now + REPEAT_AFTER, RETRANSMISSION_REPEATS))

    def connection_opened(self, lost_at: float, now: float) -> None:
        """Repeat acknowledgements that may have been in transit when the last connection was lost.

        Args:
            lost_at: monotonic seconds; minus infinity if there was none.
            now: monotonic seconds.
        """
        ahead = self._wall_clock_ahead(now)
        if lost_at > float("-inf"):
            self._cut_at, self._heard_at, self._peer_heard_at = now, None, None
            if self._wall_ahead is None or abs(ahead - self._wall_ahead) > CLOCK_TOLERANCE:
                self._clock_offset = self._most_offset = float("inf")
                self._least_offset = float("-inf")
                self._clock_reads = 0
        self._wall_ahead = ahead
        if self._delay and self._recent:
            # Always the last one: an acknowledgement resumes a paused agent, which may never get start_publication.
            last = len(self._recent) - 1
            again = [
                (number, message_id, now)
                for index, (number, message_id, at) in enumerate(self._recent)
                if lost_at - at < UNDER_WAY or index == last
            ]
            self._repeats.extendleft(again)  # the newest first, because it was most likely lost
            self._recent.clear()

    def send_now(self, now: float) -> None:
        """Make the pending acknowledgements due at once, because they belong to the handshake."""
        while self._pending:
            number, message_id, _ = self._pending.popleft()
            self._acknowledge_at_once(number, message_id, now)

    def due_at(self) -> float | None:
        """Return when acknowledgements are due, monotonic seconds; None if none is pending."""
        if self._urgent:
            return self._urgent_since
        due = None
        if self._pending:
            oldest = self._pending[0][2]
            due = oldest + self._delay
            lossless = oldest - self._loss_seen_at > LOSS_MEMORY
            if self._last_at < due and lossless and len(self._pending) <= PATIENT_UP_TO:
                due += self._patience
        if self._retransmissions and (due is None or self._retransmissions[0][2] < due):
            due = self._retransmissions[0][2]
        if self._repeats and (due is None or self._repeats[0][2] < due):
            due = self._repeats[0][2]
        return due

    def pending_acknowledgements(self) -> int:
        """Return how many acknowledgements are pending."""
        return len(self._pending) + len(self._urgent)

    def acknowledgements_to_send(self, now: float, most: int, created_date: int) -> list[bytes]:
        """Return due acknowledgements: once the oldest has waited `delay`, all older than MIN_ACKNOWLEDGE_DELAY.

        Args:
            now: monotonic seconds.
            most: maximum number of acknowledgements.
            created_date: milliseconds since the epoch.
        """
        encode = self._encoder.encode
        frames: list[bytes] = []
        while self._urgent and len(frames) < most:
            number, message_id = self._urgent.popleft()
            frames.append(encode(number, message_id, created_date))
        while self._retransmissions and len(frames) < most and self._retransmissions[0][2] <= now:
            number, message_id, _, repeats = self._retransmissions.popleft()
            frames.append(encode(number, message_id, created_date))
            if repeats > 1:
                self._retransmissions.append((number, message_id, now + REPEAT_AFTER, repeats - 1))
        pending = self._pending
        if pending and now >= pending[0][2] + self._delay:
            settled = now - self._settle
            while pending and len(frames) < most and pending[0][2] <= settled:
                number, message_id, _ = pending.popleft()
                frames.append(encode(number, message_id, created_date))
                self._recent.append((number, message_id, now))
                if self._delay and self.is_losing(now):
                    self._repeats.append((number, message_id, now + REPEAT_AFTER))
        return frames

    def repeats_due_at(self) -> float | None:
        """Return when the next acknowledgement is repeated, monotonic seconds; None if none is."""
        return self._repeats[0][2] if self._repeats else None

    def repeats_to_send(self, now: float, most: int, created_date: int) -> list[bytes]:
        """Return acknowledgements that are repeated now, apart from those of retransmissions.

        Args:
            now: monotonic seconds.
            most: maximum number of acknowledgements.
            created_date: milliseconds since the epoch.
        """
        frames: list[bytes] = []
        while self._repeats and len(frames) < most and self._repeats[0][2] <= now:
            number, message_id, _ = self._repeats.popleft()
            frames.append(self._encoder.encode(number, message_id, created_date))
        return frames
