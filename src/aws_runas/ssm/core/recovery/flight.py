"""Unacknowledged messages: in flight, or lost and waiting for retransmission (spec 8.6 to 8.8)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from aws_runas.ssm.core.recovery.probing import PTO_PROBES, Probing
from aws_runas.ssm.core.recovery.reordering import Reordering
from aws_runas.ssm.core.recovery.rto import RttEstimator

UNREADY_MARGIN: Final = 0.01  # seconds above srtt for data that arrives before the agent may be ready; spec 5.6


class Outgoing:
    """A message that was sent and is not acknowledged.

    Args:
        number: sequence number.
        frame: encoded message.
        size: bytes of payload.
        sequence: transmission sequence, which counts transmissions of all messages.
    """

    __slots__ = ("first_sent_at", "first_sequence", "frame", "number", "sent_at", "sequence", "size", "transmissions")

    def __init__(self, number: int, frame: bytes, size: int, sequence: int, now: float) -> None:
        self.number = number
        self.frame = frame
        self.size = size
        self.sequence = self.first_sequence = sequence
        self.sent_at = self.first_sent_at = now
        self.transmissions = 1


class Flight:
    """All unacknowledged messages."""

    def __init__(self) -> None:
        self.rtt = RttEstimator()
        self.reordering = Reordering()
        self.paused = False
        self.bytes = 0
        self.count = 0
        """Messages that are not acknowledged."""
        self.next_sequence = 1
        self.lost_by_timeout = 0
        self.lost_by_threshold = 0
        self._probing = Probing()
        self._in_flight: OrderedDict[int, Outgoing] = OrderedDict()  # in the order of their last transmission
        self._lost: OrderedDict[int, Outgoing] = OrderedDict()  # to be resent as soon as the pacer permits
        self.lowest = 0
        """No number below this one is unacknowledged; `distance` raises it."""
        self._unready_number: int | None = None

    @property
    def spurious_retransmissions(self) -> int:
        """Number of retransmissions whose first transmission arrived as well."""
        return self.reordering.spurious_retransmissions

    def distance(self, next_number: int) -> int:
        """Return the distance from the lowest unacknowledged number to the next: the receiver may store so many."""
        lowest = self.lowest
        if lowest < next_number and lowest not in self._in_flight:
            while lowest < next_number and lowest not in self._in_flight and lowest not in self._lost:
                lowest += 1
            self.lowest = lowest
        return next_number - lowest

    # sending
    def add(self, number: int, frame: bytes, size: int, now: float) -> None:
        """Store a message that is sent for the first time, before it is written (spec 8.1).

        Otherwise its acknowledgement could arrive before it is stored.

        Args:
            number: sequence number of the message.
            frame: encoded message.
            size: payload bytes, which count against the window.
            now: monotonic seconds.
        """
        self._in_flight[number] = Outgoing(number, frame, size, self.next_sequence, now)
        self.next_sequence += 1
        self.bytes += size
        self.count += 1

    def resend(self, now: float) -> bytes:
        """Return the frame of the next lost message and put it in flight again."""
        number, message = self._lost.popitem(last=False)
        message.sent_at = now
        message.transmissions += 1
        message.sequence = self.next_sequence
        self.next_sequence += 1
        self._in_flight[number] = message
        return message.frame

    def last_sent(self) -> Outgoing:
        """Return the message that `add` or `resend` has just put in flight."""
        return next(reversed(self._in_flight.values()))

    def resends_waiting(self) -> int:
        """Return how many frames `resend` can return now; while paused, at most one per probe timeout."""
        return min(len(self._lost), 1) if self.paused else len(self._lost)

    def may_probe_with_new(self, now: float) -> bool:
        """Return True if, while paused with nothing unacknowledged, a new message may be sent as a probe."""
        return not self.count and self._probing.may_probe_with_new(now)

    def probed(self, now: float) -> None:
        """Note that a probe was sent while paused."""
        self._probing.probed(now, self._rto())

    # acknowledgements
    def acknowledge(self, number: int, now: float) -> tuple[int, float | None] | None:
        """Process an acknowledgement.

        Returns:
            Transmission sequence and round trip in seconds; 0 and None if the message was sent twice, because the
            acknowledged transmission is unknown. None if the number is not in flight.
        """
        message = self._in_flight.pop(number, None) or self._lost.pop(number, None)
        if message is None:
            first_rtt = self.reordering.acknowledged_again(number)
            if first_rtt is not None:
                self.rtt.sample(first_rtt, now)
            return None
        self.bytes -= message.size
        self.count -= 1
        rto = 0.0  # used only after a probe timeout
        if self._probing.pto_count:
            self.rtt.reset_backoff()
            rto = self._rto()
        self._probing.acknowledged(now, rto)
        if number == self._unready_number:
            self._unready_number = None
        if message.transmissions > 1:
            self.reordering.watch(number, now - message.first_sent_at, message.first_sequence)
            return 0, None
        self._probing.acknowledged_in_time()
        rtt = now - message.sent_at
        self.rtt.sample(rtt, now)
        lost_up_to = self.reordering.acknowledged(message.sequence)
        if lost_up_to is not None:
            self._lose_up_to(lost_up_to)
        return message.sequence, rtt

    def _lose_up_to(self, sequence: int) -> None:
        in_flight = self._in_flight
        while in_flight:
            number, message = next(iter(in_flight.items()))
            if message.sequence > sequence:
                return
            del in_flight[number]
            self._lost[number] = message
            self.lost_by_threshold += 1

    # time
    def next_timer(self, now: float, *, has_new: bool) -> float | None:
        """Return when to call `handle_timer`; messages that may be sent now do not count.

        Args:
            has_new: True if a message that was never sent is waiting.
        """
        if self._in_flight and not (self.paused and self._lost):
            oldest = next(iter(self._in_flight.values()))
            return max(self._lost_at(oldest), self._probing.earliest)
        if self.paused and has_new and not self.count and now < self._probing.earliest:
            return self._probing.earliest
        return None

    def handle_timer(self, now: float) -> None:
        """Mark messages as lost by timeout (spec 8.6)."""
        if not self._in_flight or now < self._probing.earliest or (self.paused and self._lost):
            return
        if now < self._lost_at(next(iter(self._in_flight.values()))):
            return
        # No recent acknowledgements: the peer is busy or away, and resending everything would not help. Probe with a
        # few messages. The answer shows which it is. A late acknowledgement of a message sent once raises the rto.
        silent = self._probing.is_silent(now)
        count = self._probe_count(silent)
        if silent or self.paused:
            self.distance(self.lowest + 1)
            count -= self._lose(self.lowest, now)  # first the message that the receiver needs to continue
        while count > 0 and self._in_flight:
            number, message = next(iter(self._in_flight.items()))
            if now < self._lost_at(message):
                break
            count -= self._lose(number, now)
        if silent:
            self._probing.timed_out()
            self.rtt.back_off()
            self._probing.probed(now, self._rto())

    def _probe_count(self, silent: bool) -> int:
        if self.paused:
            return 1
        if silent and self._unready_number is not None:
            return PTO_PROBES[0]  # the agent is not ready and would drop more as well
        return self._probing.probes(len(self._in_flight)) if silent else len(self._in_flight)

    def _lose(self, number: int, now: float) -> int:
        message = self._in_flight.get(number)
        if message is None or now < self._lost_at(message):
            return 0
        del self._in_flight[number]
        self._lost[number] = message
        self.lost_by_timeout += 1
        return 1

    def _rto(self, transmissions: int = 1) -> float:
        srtt = self.rtt.srtt
        if self._unready_number is not None and srtt is not None:
            return min(self.rtt.rto(), srtt + UNREADY_MARGIN * (1 << min(self._probing.pto_count, 8)))
        return self.rtt.rto(transmissions)

    def _lost_at(self, message: Outgoing) -> float:
        return message.sent_at + self._rto(message.transmissions)

    # the peer leaves and returns
    def connection_opened(self) -> None:
        """Queue everything unacknowledged for the new connection, lowest number first."""
        everything = {**self._in_flight, **self._lost}
        self._in_flight.clear()
        self._lost = OrderedDict(sorted(everything.items()))
        self.paused = False
        self._peer_is_there()

    def pause(self, now: float) -> None:
        """Send nothing but probes from now on: the peer is away."""
        if not self.paused:
            self.paused = True
            self._probing.probed(now, self._rto())
            # lost messages are in flight again; their next timeout sends the probe
            self._in_flight = OrderedDict([*self._lost.items(), *self._in_flight.items()])
            self._lost.clear()

    def resume(self) -> None:
        """Send again: the peer is back."""
        self.paused = False
        self._peer_is_there()

    def _peer_is_there(self) -> None:
        self._probing.reset()
        self.rtt.reset_backoff()

    def expect_unready_peer(self, number: int) -> None:
        """Resend the first data soon: right after the handshake the agent may drop it (spec 5.6).

        Args:
            number: sequence number of the first data.
        """
        self._unready_number = number
