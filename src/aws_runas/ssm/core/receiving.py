"""The receiving half of a channel: order, duplicates, and acknowledgements that are briefly delayed (spec 8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from aws_runas.ssm.core.message import AcknowledgeEncoder, Message

MAX_STORED_MESSAGES = 10_000  # out of order; the official client's number; limit 15.3
MAX_STORED_BYTES = 16 * 1024 * 1024  # of their payloads; limit 15.4
MAX_PENDING_ACKNOWLEDGEMENTS = 50_000  # a minute of an official agent's output while nothing may be sent; limit 15.5
ACKNOWLEDGE_PATIENCE = 0.0025  # seconds beyond the delay, for the next message: it wakes the client anyway; spec 8.3
PATIENT_UP_TO = 8  # pending; more mean a sender without a pace, that may wait for them: its window is full
MIN_ACKNOWLEDGE_DELAY = 0.002  # seconds: before 0.5 ms an agent may not have stored its message; spec 8.3

REPEAT_AFTER = 0.02  # seconds after which an acknowledgement is repeated while messages are being lost; spec 8.3
LOSS_MEMORY = 1.0  # seconds after a gap or a duplicate during which acknowledgements are repeated
RETRANSMISSION_REPEATS = 2  # of the acknowledgement of a retransmission: one that is lost costs an agent 100 ms or more
RECENT_ACKNOWLEDGEMENTS = 256  # kept for the case that the connection is cut with some under way
UNDER_WAY = 0.3  # seconds before a cut: an acknowledgement that left within them may be lost
FRESH_MARGIN = 0.2  # seconds after a cut: a message made later was not lost in it, nor was any before it
SETTLED_AFTER = 2.5  # seconds without a message: an agent resends within 1.1 s, and gives up an ended session in 2
CLOCK_READS = 16  # acknowledgements whose dates are compared with our clock
WAITED_LESS = 1.8  # seconds from its last message to its end: an agent to which one is unacknowledged waits 2
RESENDS = 2  # late or repeated messages in a row that show an agent's resend loop; one alone is the network's
RESEND_GAP = 0.08  # seconds by which a message comes late behind the one before it, if an agent resends one in 0.1 s
CLOCK_TOLERANCE = 0.1  # seconds by which the wall clock may leave the monotonic one before its dates prove nothing

_NOTHING: tuple[Message, ...] = ()


class Receiver:
    """Puts numbered messages in order and acknowledges them.

    Args:
        delay: seconds to hold acknowledgements of data back (spec 8.3).
        wall_clock: milliseconds since the epoch, to notice that the machine slept or its clock was set.
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
        self._retransmissions: deque[tuple[int, bytes, float, int]] = deque()  # the same, and how often yet
        self._recent: deque[tuple[int, bytes, float]] = deque(maxlen=RECENT_ACKNOWLEDGEMENTS)  # and when it left
        self._loss_seen_at = float("-inf")
        self._last_at = float("-inf")
        self._clock_offset = float("inf")  # of our clock to the peer's, the shortest way included; seconds
        self._least_offset = float("-inf")  # of our clock to the peer's: it is this or more
        self._most_offset = float("inf")  # and this or less
        self._clock_reads = 0
        self._first_id = b""  # of message 0
        self._last_made = float("-inf")  # the date of the last message delivered, by the peer's clock; seconds
        self._resent_in_a_row = 0  # messages that came last, as those come that are resent
        self._resent_at = float("-inf")  # when the last of them came
        self._wall_ahead: float | None = None  # seconds by which the wall clock was ahead at the last connection
        self._cut_at: float | None = None  # what the peer sent before may be lost and not resent yet
        self._heard_at: float | None = None  # when the connection after the cut first carried something
        self._peer_heard_at: float | None = None  # when it first carried something of the peer

    @property
    def has_gap(self) -> bool:
        """True if a stored message cannot be delivered because an earlier one is missing."""
        return bool(self._stored)

    def receive(self, message: Message, now: float) -> tuple[Message, ...] | list[Message]:
        """Take a message and return the messages that are next in order; there may be none.

        Args:
            message: decoded.
            now: monotonic seconds.
        """
        number = message.sequence_number
        if len(self._pending) + len(self._urgent) >= MAX_PENDING_ACKNOWLEDGEMENTS:
            return _NOTHING  # neither accepted nor acknowledged, so the peer sends it again
        if number == self.expected:
            self.expected = number + 1
            if not number:
                self._first_id = message.message_id
            self._note_arrival(message, now)
            if self._stored:  # it is late: a retransmission
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
        # else: no room; not acknowledged, so the peer sends it again
        return _NOTHING

    def is_new_beginning(self, message: Message) -> bool:
        """Return True if the peer counts from 0 again: a first message that is another one, made after all others.

        A resent message keeps its id and its date.

        Args:
            message: with number 0.
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
        """Note the arrival of a message; one that was made after a cut shows that nothing of the cut is missing."""
        made_at = message.created_date / 1000
        self._most_offset = min(self._most_offset, now - made_at)
        is_first = self._last_made == float("-inf")  # nobody knows whether that is late
        is_late = not is_first and now - self._last_at > made_at - self._last_made + RESEND_GAP
        self._resent_in_a_row = self._resent_in_a_row + 1 if is_late else 0
        self._resent_at = now
        self._last_made = made_at
        if self._cut_at is None:
            if now - made_at < self._clock_offset and not (is_first or is_late):
                self._clock_offset = now - made_at
        elif self._is_settled(now) or self._is_made_after_cut(made_at, now):
            self._cut_at = None
        self._last_at = now

    def _is_made_after_cut(self, made_at: float, now: float) -> bool:
        """Return True if the peer surely made a message when the connection after the cut carried messages already.

        The service had that connection at the latest when the first message left it, and what it has to pass on from
        then on is not lost.
        """
        if self._heard_at is None or not self._knows_clock(now):
            return False
        return self._heard_at + FRESH_MARGIN < made_at + self._clock_offset

    def connection_carries(self, now: float) -> None:
        """Note that the connection has carried a message of the peer or of the service."""
        if self._heard_at is None:
            self._heard_at = now

    def peer_is_there(self, now: float) -> None:
        """Note the first message of the peer itself on a connection."""
        if self._peer_heard_at is None:
            self._peer_heard_at = now

    def _wall_clock_ahead(self, now: float) -> float:
        return self._wall_clock() / 1000 - now

    def _knows_clock(self, now: float) -> bool:
        """Return True if the peer's dates can be read by our clock."""
        return self._clock_offset < float("inf") and self._is_clock_steady(now)

    def _is_clock_steady(self, now: float) -> bool:
        """Return True if the machine has not slept since the last connection, and its clock was not set."""
        return self._wall_ahead is not None and abs(self._wall_clock_ahead(now) - self._wall_ahead) <= CLOCK_TOLERANCE

    def _is_settled(self, now: float) -> bool:
        """Return True if the peer has been there since the cut, and so quiet that it has nothing left to resend.

        A cut mostly meets both connections: the silence of a peer that may be away proves nothing.
        """
        if self._cut_at is None:
            return True
        return self._peer_heard_at is not None and now - max(self._peer_heard_at, self._last_at) >= SETTLED_AFTER

    def end_may_be_missing(self, now: float) -> bool:
        """Return True if the last messages of a session that ends now may be missing. No gap shows that.

        They may be after a cut, or if the peer was resending because its own connection was cut. An agent resends one
        message in 100 ms, and gives up two seconds after the end of the session's program.

        Args:
            now: monotonic seconds.
        """
        is_resending = self._resent_in_a_row >= RESENDS and now - self._resent_at < SETTLED_AFTER
        return is_resending or not self._is_settled(now)

    def reading_resumed(self, now: float) -> None:
        """Note that what waited in the socket is read now: it is late, and was not resent.

        Args:
            now: monotonic seconds.
        """
        self._last_at = max(self._last_at, now) if self._last_at > float("-inf") else self._last_at

    def peer_did_not_wait(self, now: float) -> bool:
        """Return True if the peer ends the session sooner than it would with a message unacknowledged.

        Agents end it when all is acknowledged, or two seconds after their last message.

        Args:
            now: monotonic seconds.
        """
        offset = self._clock_offset
        if offset == float("inf"):  # no message has come in time: a short session on a busy machine
            offset = self._least_offset if self._least_offset <= self._most_offset else float("-inf")
        return self._is_clock_steady(now) and now < self._last_made + offset + WAITED_LESS

    @property
    def wants_clock(self) -> bool:
        """True if `read_clock` can still tell something. A few acknowledgements are enough."""
        return self._clock_reads < CLOCK_READS

    def read_clock(self, made_at: float, sent_at: float) -> None:
        """Note by an acknowledgement how far the clocks are apart at least: the peer made it after we sent its message.

        Args:
            made_at: seconds by the peer's clock.
            sent_at: when the acknowledged message left, in monotonic seconds.
        """
        self._clock_reads += 1
        self._least_offset = max(self._least_offset, sent_at - made_at)

    def _acknowledge_at_once(self, number: int, message_id: bytes, now: float) -> None:
        if not self._urgent:
            self._urgent_since = now
        self._urgent.append((number, message_id))

    def _acknowledge_retransmission(self, number: int, message_id: bytes, now: float) -> None:
        """Acknowledge at once, and again soon: an agent resends nothing else meanwhile."""
        self._acknowledge_at_once(number, message_id, now)
        if self._delay:
            self._retransmissions.append((number, message_id, now + REPEAT_AFTER, RETRANSMISSION_REPEATS))

    def connection_opened(self, lost_at: float, now: float) -> None:
        """Acknowledge again what may have been under way when the last connection was lost.

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
            # The last one in any case: a paused agent goes on at an acknowledgement, and may never get a start.
            last = len(self._recent) - 1
            again = [
                (number, message_id, now)
                for index, (number, message_id, at) in enumerate(self._recent)
                if lost_at - at < UNDER_WAY or index == last
            ]
            self._repeats.extendleft(again)  # the newest first: it is the most likely one to be lost
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
        for again in (self._retransmissions, self._repeats):
            if again and (due is None or again[0][2] < due):
                due = again[0][2]
        return due

    def pending_acknowledgements(self) -> int:
        """Return how many acknowledgements are pending."""
        return len(self._pending) + len(self._urgent)

    def acknowledgements_to_send(self, now: float, most: int, created_date: int) -> list[bytes]:
        """Return acknowledgements that are due: once the oldest has waited long enough, all that have settled.

        Args:
            now: monotonic seconds.
            most: number of acknowledgements at most.
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
                if self._delay and now - self._loss_seen_at <= LOSS_MEMORY:
                    self._repeats.append((number, message_id, now + REPEAT_AFTER))
        while self._repeats and len(frames) < most and self._repeats[0][2] <= now:
            number, message_id, _ = self._repeats.popleft()
            frames.append(encode(number, message_id, created_date))
        return frames
