"""The sending half of a channel: numbering, the window, and sending again what was not acknowledged (spec 7)."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from aws_runas.ssm.core.errors import LocalProtocolError
from aws_runas.ssm.core.message import FLAG_SYN, DataEncoder
from aws_runas.ssm.core.payloads import DATA_TYPES, ENCRYPTED_TYPES, SIZE
from aws_runas.ssm.core.rto import RoundTripTime
from aws_runas.ssm.core.window import DeliveryWindow

FAST_RESEND_AFTER = 3  # later transmissions; spec 7.5
FAST_RESEND_AFTER_MOST = 256  # where needless resends have driven it
PROBES = (2, 8, 32)  # messages of the first timeouts in a row without any acknowledgement, then all; spec 7.4
STARTING_MARGIN = 0.01  # seconds above a round trip, for data that an agent may not have been ready for; spec 5.6
REMEMBERED_RESENDS = 256  # acknowledged resends watched for a second acknowledgement
CONTROL_LIMIT = 1024  # flags, sizes and exit codes waiting; limit 11.6


class Outgoing:
    """A message on its way."""

    __slots__ = ("first_sent_at", "frame", "order", "sent_at", "sequence_number", "size", "transmissions")

    def __init__(self, sequence_number: int, frame: bytes, size: int, order: int, now: float) -> None:
        self.sequence_number = sequence_number
        self.frame = frame
        self.size = size
        self.order = order
        self.sent_at = now
        self.first_sent_at = now
        self.transmissions = 1


class Sender:
    """Everything between send_data and the wire, but for the pacing.

    Args:
        window_bytes: unacknowledged payload at most, None for no such bound.
        syn: mark the first message, as agents do.
    """

    def __init__(self, encoder: DataEncoder, *, payload_size: int, window_bytes: int | None, syn: bool) -> None:
        self._encoder = encoder
        self._payload_size = payload_size
        self._window_bytes = window_bytes
        self._syn = syn
        self.encrypt: Callable[[bytes], bytes] | None = None
        self.open = False  # data may leave; the handshake's own messages always may
        self.paused = False
        self.round_trip = RoundTripTime()
        self.window = DeliveryWindow()
        self._first: deque[tuple[int, bytes]] = deque()  # the handshake's
        self._pending: deque[tuple[int, bytes]] = deque()
        self._pending_controls = 0
        self.kept: list[tuple[int, bytes]] | None = None  # what was sent on an assumption, see Channel._assume_started
        self.kept_bytes = 0
        self.pending_bytes = 0
        self._in_flight: OrderedDict[int, Outgoing] = OrderedDict()  # in the order of their last transmission
        self._lost: OrderedDict[int, Outgoing] = OrderedDict()  # to be sent again as soon as the pacer lets them
        self.flight_bytes = 0
        self.next_sequence_number = 0
        self._next_order = 1
        self._acknowledged_order = 0
        self._acknowledged_at = float("-inf")
        self._reorder = FAST_RESEND_AFTER
        self._resent: OrderedDict[int, float] = OrderedDict()  # number -> seconds from first transmission to first ack
        self._probes = 0
        self._probe_at = float("-inf")
        self._starting_number: int | None = None

    # queueing
    def queue_first(self, payload_type: int, payload: bytes) -> None:
        """Queue a message of the handshake, ahead of all data."""
        self._first.append((payload_type, payload))

    def queue_control(self, payload_type: int, payload: bytes, *, first: bool = False) -> None:
        """Queue a size, a flag or an exit code behind the data (or ahead of it). Of sizes in a row the last stays."""
        if first:
            self._pending_controls += 1
            self._pending.appendleft((payload_type, payload))
            return
        if payload_type == SIZE and self._pending and self._pending[-1][0] == SIZE:
            self._pending[-1] = (SIZE, payload)
            return
        if self._pending_controls >= CONTROL_LIMIT:
            raise LocalProtocolError(f"{CONTROL_LIMIT} control messages are waiting already")
        self._pending_controls += 1
        self._pending.append((payload_type, payload))

    def queue_data(self, payload_type: int, data: bytes) -> None:
        """Queue stream data, cut into payloads; a payload that is not full yet is filled up first."""
        pending = self._pending
        size = self._payload_size
        self.pending_bytes += len(data)
        start = 0
        if pending and pending[-1][0] == payload_type and len(pending[-1][1]) < size:
            last = pending[-1][1]
            start = size - len(last)
            pending[-1] = (payload_type, last + data[:start])
        if start == 0 and len(data) <= size:
            if data:
                pending.append((payload_type, bytes(data)))
            return
        for at in range(start, len(data), size):
            pending.append((payload_type, data[at : at + size]))

    # state
    def room(self) -> int:
        """Bytes of data that would leave at once, but for the pacing."""
        count = len(self._in_flight) + len(self._lost)
        messages = self.window.limit - count
        room = messages * self._payload_size
        if self._window_bytes is not None:
            room = min(room, self._window_bytes - self.flight_bytes)
        if room < self._payload_size:
            self.window.was_full = True
        return room

    def unacknowledged(self) -> int:
        """Messages queued or sent and not acknowledged."""
        return len(self._first) + len(self._pending) + len(self._in_flight) + len(self._lost)

    def waiting(self, now: float) -> int:
        """Frames that would leave now if the pacer let them."""
        waiting = len(self._first)
        if self.paused:
            return waiting + self._probe_ready(now)
        waiting += len(self._lost)
        if self.open and self._pending and self.room() > 0:
            waiting += len(self._pending)
        return waiting

    def _probe_ready(self, now: float) -> int:
        """While paused: one message at each timeout, an old one or else a new one."""
        if self._lost:
            return 1
        return int(self.open and not self._in_flight and bool(self._pending) and now >= self._probe_at)

    def next_timer(self, now: float) -> float | None:
        """When handle_timer has work; what may leave already is not its business, see waiting."""
        at = None
        if self._in_flight and not (self.paused and self._lost):
            oldest = next(iter(self._in_flight.values()))
            at = max(oldest.sent_at + self._timeout(), self._probe_at)
        elif self.paused and self.open and self._pending and not self._lost and now < self._probe_at:
            at = self._probe_at
        return at

    def _timeout(self) -> float:
        timeout = self.round_trip.timeout()
        if self._starting_number is not None and self.round_trip.smoothed is not None:
            timeout = min(timeout, self.round_trip.smoothed + STARTING_MARGIN * 2 ** min(self._probes, 8))
        return timeout

    # time
    def handle_timer(self, now: float) -> None:
        """Move what is overdue among the lost (spec 7.4)."""
        if not self._in_flight or now < self._probe_at or (self.paused and self._lost):
            return
        timeout = self._timeout()
        oldest = next(iter(self._in_flight.values()))
        if now - oldest.sent_at < timeout - 1e-9:
            return
        # Nothing acknowledged since the oldest went out: perhaps nobody is there. Ask with a few before repeating all.
        silent = self._acknowledged_at < oldest.sent_at
        most = len(self._in_flight)
        if self.paused:
            most = 1
        elif silent and self._probes < len(PROBES):
            most = PROBES[self._probes]
        while most and self._in_flight:
            number, message = next(iter(self._in_flight.items()))
            if now - message.sent_at < timeout - 1e-9:
                break
            del self._in_flight[number]
            self._lost[number] = message
            most -= 1
        if silent:
            self._probes += 1
            self.round_trip.back_off()
            self._probe_at = now + self._timeout()

    def connection_opened(self) -> None:
        """A new connection: whatever is unacknowledged goes out again, oldest number first."""
        everything = {**self._in_flight, **self._lost}
        self._in_flight.clear()
        self._lost = OrderedDict(sorted(everything.items()))
        self.paused = False
        self._heard()

    def pause(self, now: float) -> None:
        """The peer is away: nothing but a probe from here on."""
        if not self.paused:
            self.paused = True
            self._probe_at = now + self._timeout()
            # what waited to be sent again becomes unacknowledged as before; its next timeout makes the probe
            self._in_flight = OrderedDict([*self._lost.items(), *self._in_flight.items()])
            self._lost.clear()

    def resume(self) -> None:
        """The peer is there."""
        self.paused = False
        self._heard()

    def _heard(self) -> None:
        self._probes = 0
        self._probe_at = float("-inf")
        self.round_trip.forget_back_off()

    def expect_unready_peer(self) -> None:
        """The handshake is complete: the agent may drop the first data, so resend it after little more than a round
        trip until it is acknowledged (spec 5.6)."""
        self._starting_number = self.next_sequence_number

    # acknowledgements
    def acknowledge(self, number: int, now: float) -> None:
        """The peer has this message."""
        message = self._in_flight.pop(number, None)
        if message is None:
            message = self._lost.pop(number, None)
            if message is None:
                self._acknowledged_again(number, now)
                return
        self.flight_bytes -= message.size
        self._acknowledged_at = now
        if self._probes:
            self._heard()
        if number == self._starting_number:
            self._starting_number = None
        order = message.order
        round_trip = None
        if message.transmissions == 1:
            round_trip = now - message.sent_at
            self.round_trip.sample(round_trip, now)
        else:
            self._resent[number] = now - message.first_sent_at
            if len(self._resent) > REMEMBERED_RESENDS:
                self._resent.popitem(last=False)
            if now - message.sent_at < 0.5 * self.round_trip.least:
                order = 0  # too early for an answer to the resend: the first transmission arrived, late
        self.window.acknowledged(order, self._next_order, round_trip, self.round_trip.least, now)
        if order > self._acknowledged_order:
            self._acknowledged_order = order
            self._find_lost(order)

    def _find_lost(self, order: int) -> None:
        """What went out so much earlier than something acknowledged is lost (spec 7.5)."""
        in_flight = self._in_flight
        limit = order - self._reorder
        while in_flight:
            number, message = next(iter(in_flight.items()))
            if message.order > limit:
                return
            del in_flight[number]
            self._lost[number] = message

    def _acknowledged_again(self, number: int, now: float) -> None:
        """A second acknowledgement of a resend: both arrived, so it was needless (spec 7.6)."""
        first = self._resent.pop(number, None)
        if first is not None:
            self.round_trip.sample(first, now)
            self._reorder = min(self._reorder * 2, FAST_RESEND_AFTER_MOST)

    # sending
    def frames_to_send(self, now: float, most: int, created_date: int) -> list[bytes]:
        """At most so many frames: the handshake's, then resends, then new data as far as the window allows."""
        frames: list[bytes] = []
        while self._first and len(frames) < most:
            frames.append(self._new(*self._first.popleft(), now, created_date))
        probe = self.paused and self._probe_ready(now) > 0
        if self.paused:
            if not probe:
                return frames
            most = min(most, len(frames) + 1)
            self._probe_at = now + self._timeout()
        while self._lost and len(frames) < most:
            number, message = self._lost.popitem(last=False)
            message.sent_at = now
            message.transmissions += 1
            message.order = self._next_order
            self._next_order += 1
            self._in_flight[number] = message
            frames.append(message.frame)
        if self.open and self._pending and len(frames) < most:
            self._send_new(frames, now, most, created_date)
        return frames

    def last_frames(self, now: float, created_date: int) -> list[bytes]:
        """After a failure: what the peer should still hear, the handshake's answer."""
        frames = [self._new(payload_type, payload, now, created_date) for payload_type, payload in self._first]
        self._first.clear()
        return frames

    def _send_new(self, frames: list[bytes], now: float, most: int, created_date: int) -> None:
        pending = self._pending
        while pending and len(frames) < most:
            if self.room() <= 0:
                return
            payload_type, payload = pending.popleft()
            if payload_type in DATA_TYPES:
                self.pending_bytes -= len(payload)
            else:
                self._pending_controls -= 1
            if self.kept is not None:
                self.kept.append((payload_type, payload))
                self.kept_bytes += len(payload)
            frames.append(self._new(payload_type, payload, now, created_date))

    def keep(self) -> None:
        """From now on keep what is sent: it may have to be sent a second time, as something new."""
        self.kept = []

    def forget_kept(self) -> None:
        """It arrived where it should."""
        self.kept = None
        self.kept_bytes = 0

    def queue_kept_again(self) -> None:
        """It was thrown away by the agent: send it as new messages, ahead of the rest."""
        for payload_type, payload in reversed(self.kept or []):
            self._pending.appendleft((payload_type, payload))
            if payload_type in DATA_TYPES:
                self.pending_bytes += len(payload)
            else:
                self._pending_controls += 1
        self.forget_kept()

    def _new(self, payload_type: int, payload: bytes, now: float, created_date: int) -> bytes:
        number = self.next_sequence_number
        self.next_sequence_number = number + 1
        size = len(payload)
        if self.encrypt is not None and payload_type in ENCRYPTED_TYPES:
            payload = self.encrypt(payload)
        flags = FLAG_SYN if self._syn and number == 0 else 0
        frame = self._encoder.encode(number, flags, payload_type, payload, created_date)
        # stored before it is written: an acknowledgement cannot come too early (spec 7.1)
        self._in_flight[number] = Outgoing(number, frame, size, self._next_order, now)
        self._next_order += 1
        self.flight_bytes += size
        return frame
