"""The sending half of a channel: queues, numbering and the window (spec 8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from aws_runas.ssm.core.errors import LocalProtocolError
from aws_runas.ssm.core.message import FLAG_SYN, DataEncoder
from aws_runas.ssm.core.payloads import DATA_TYPES, ENCRYPTED_TYPES, SIZE
from aws_runas.ssm.core.recovery.flight import Flight
from aws_runas.ssm.core.recovery.window import DeliveryWindow
from aws_runas.ssm.core.state import Lifecycle

CONTROL_LIMIT = 1024  # queued flags, sizes and exit codes; limit 15.6
MAX_DISTANCE = 8192  # messages from the lowest unacknowledged number: the official client stores 10,000; limit 15.10


class Sender:
    """Everything between send_data and the wire, except pacing.

    Args:
        life: lifecycle of the channel; data is sent while it is open.
        window_bytes: maximum unacknowledged payload bytes, None for no limit.
        syn: set the SYN flag on the first message, as agents do.
    """

    def __init__(
        self, life: Lifecycle, encoder: DataEncoder, *, payload_size: int, window_bytes: int | None, syn: bool
    ) -> None:
        self._life = life
        self._encoder = encoder
        self._payload_size = payload_size
        self._window_bytes = window_bytes
        self._syn = syn
        self.encrypt: Callable[[bytes], bytes] | None = None
        self.flight = Flight()
        self.window = DeliveryWindow()
        self._first: deque[tuple[int, bytes]] = deque()  # handshake payloads
        self._pending: deque[tuple[int, bytes]] = deque()
        self._pending_controls = 0
        self._last_is_closed = False  # the last pending message may not be filled up
        self.pending_bytes = 0
        self._kept: list[tuple[int, bytes]] | None = None  # payloads that were sent on an assumption
        self.kept_bytes = 0
        self._next_number = 0

    # queueing
    def queue_first(self, payload_type: int, payload: bytes) -> None:
        """Queue a handshake message ahead of all data."""
        self._first.append((payload_type, payload))

    def queue_control(self, payload_type: int, payload: bytes, *, first: bool = False) -> None:
        """Queue a size, a flag or an exit code after or before the data. Of consecutive sizes, only the last is kept.

        Args:
            payload_type: see spec 4.
            payload: payload encoded by `payloads`.
            first: queue it before the data.

        Raises:
            LocalProtocolError: CONTROL_LIMIT of them are already queued.
        """
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

    def queue_message(self, payload_type: int, data: bytes) -> None:
        """Queue stream data as a separate message. No other data is joined to it."""
        self.pending_bytes += len(data)
        self._pending.append((payload_type, data))
        self._last_is_closed = True

    def queue_data(self, payload_type: int, data: bytes) -> None:
        """Queue stream data, cut into payloads. An incomplete payload is filled first."""
        pending = self._pending
        size = self._payload_size
        self.pending_bytes += len(data)
        start = 0
        if not pending:
            self._last_is_closed = False
        if pending and not self._last_is_closed and pending[-1][0] == payload_type and len(pending[-1][1]) < size:
            last = pending[-1][1]
            start = size - len(last)
            pending[-1] = (payload_type, last + data[:start])
        if start == 0 and len(data) <= size:
            if data:
                pending.append((payload_type, bytes(data)))
                self._last_is_closed = False
            return
        self._last_is_closed = False
        for at in range(start, len(data), size):
            pending.append((payload_type, data[at : at + size]))

    # state
    def room(self) -> int:
        """Return how many bytes of data could be sent now if there were no pacing."""
        flight, size = self.flight, self._payload_size
        messages = self.window.size - flight.count
        if self._next_number - flight.lowest > MAX_DISTANCE - messages:
            # the lowest may be missing although all later ones are acknowledged, and the peer has to store those
            messages = min(messages, MAX_DISTANCE - flight.distance(self._next_number))
        room = messages * size
        if self._window_bytes is not None and self._window_bytes - flight.bytes < room:
            room = self._window_bytes - flight.bytes
        if room < size:
            self.window.was_saturated = True
        return room

    def unacknowledged(self) -> int:
        """Return the number of messages, queued or sent, that are not acknowledged."""
        return len(self._first) + len(self._pending) + self.flight.count

    def waiting(self, now: float) -> int:
        """Return the number of frames that could be sent now if there were no pacing."""
        waiting = len(self._first) + self.flight.resends_waiting()
        if self._life.open and self._pending:
            if self.flight.paused:
                waiting += self.flight.may_probe_with_new(now)
            elif self.room() > 0:
                waiting += len(self._pending)
        return waiting

    def has_waiting(self, now: float) -> bool:
        """Return True if a frame could be sent now if there were no pacing."""
        if self._first or self.flight.resends_waiting():
            return True
        if not (self._pending and self._life.open):
            return False
        return self.flight.may_probe_with_new(now) if self.flight.paused else self.room() > 0

    def next_timer(self, now: float) -> float | None:
        """Return when to call `handle_timer`. Frames that may be sent now do not count; see `waiting`."""
        return self.flight.next_timer(now, has_new=self._life.open and bool(self._pending))

    def expect_unready_peer(self) -> None:
        """Note that the next message is the first data after a handshake; see `Flight.expect_unready_peer`."""
        self.flight.expect_unready_peer(self._next_number)

    def acknowledge(self, number: int, now: float) -> float | None:
        """Process an acknowledgement; return its round trip in seconds, None if it is ambiguous or unknown."""
        flight = self.flight
        known = flight.acknowledge(number, now)
        if known is None:
            return None
        sequence, rtt = known
        self.window.acknowledged(sequence, flight.next_sequence, rtt, flight.rtt, now)
        return rtt

    # sending
    def frames_to_send(self, now: float, most: int, created_date: int) -> list[bytes]:
        """Return frames: handshake first, then resends, then new data as far as the window allows.

        Args:
            now: monotonic seconds.
            most: maximum number of frames.
            created_date: milliseconds since the epoch.
        """
        frames: list[bytes] = []
        while self._first and len(frames) < most:
            frames.append(self._new(*self._first.popleft(), now, created_date))
        flight = self.flight
        if flight.paused:
            if len(frames) < most:
                frames += self._probe(now, created_date)
            return frames
        while len(frames) < most and flight.resends_waiting():
            frames.append(flight.resend(now))
        if self._life.open:
            while self._pending and len(frames) < most and self.room() > 0:
                frames.append(self._next_pending(now, created_date))
        return frames

    def _probe(self, now: float, created_date: int) -> list[bytes]:
        """Return one message per probe timeout while paused: an unacknowledged one, or else a new one."""
        flight = self.flight
        frames = []
        if flight.resends_waiting():
            frames.append(flight.resend(now))
        elif self._life.open and self._pending and flight.may_probe_with_new(now):
            frames.append(self._next_pending(now, created_date))
        if frames:
            flight.probed(now)
        return frames

    def last_frames(self, now: float, created_date: int) -> list[bytes]:
        """Return the last frames for the peer after a failure: the handshake response."""
        frames = [self._new(payload_type, payload, now, created_date) for payload_type, payload in self._first]
        self._first.clear()
        return frames

    def _next_pending(self, now: float, created_date: int) -> bytes:
        payload_type, payload = self._pending.popleft()
        if payload_type in DATA_TYPES:
            self.pending_bytes -= len(payload)
        else:
            self._pending_controls -= 1
        if self._kept is not None:
            self._kept.append((payload_type, payload))
            self.kept_bytes += len(payload)
        return self._new(payload_type, payload, now, created_date)

    def _new(self, payload_type: int, payload: bytes, now: float, created_date: int) -> bytes:
        number = self._next_number
        self._next_number = number + 1
        size = len(payload)
        if self.encrypt is not None and payload_type in ENCRYPTED_TYPES:
            payload = self.encrypt(payload)
        flags = FLAG_SYN if self._syn and number == 0 else 0
        frame = self._encoder.encode(number, flags, payload_type, payload, created_date)
        self.flight.add(number, frame, size, now)
        return frame

    # payloads sent on an assumption
    def keep_for_resend(self) -> None:
        """Keep payloads sent from now on, because they may have to be sent again as new messages."""
        self._kept = []

    def drop_kept(self) -> None:
        """Drop the kept payloads, because they have arrived."""
        self._kept = None
        self.kept_bytes = 0

    def resend_kept(self) -> None:
        """Queue the kept payloads as new messages, ahead of all others, because the agent has discarded them."""
        for payload_type, payload in reversed(self._kept or []):
            self._pending.appendleft((payload_type, payload))
            if payload_type in DATA_TYPES:
                self.pending_bytes += len(payload)
            else:
                self._pending_controls += 1
        self.drop_kept()
