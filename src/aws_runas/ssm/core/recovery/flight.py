"""Messages on their way: which of them are acknowledged, overdue or overtaken, and go out again (spec 8.6 to 8.8)."""

from __future__ import annotations

from collections import OrderedDict

from aws_runas.ssm.core.recovery.rto import RoundTripTime

FAST_RESEND_AFTER = 3  # later transmissions; spec 8.7
FAST_RESEND_AFTER_MOST = 4096  # where reordering can drive it: the whole window; timeouts alone then
REORDER_FORGOTTEN = 32  # times its own number of acknowledgements without reordering halve it again
PROBES = (2, 8, 32)  # messages of the first timeouts in a row without any acknowledgement, then all; spec 8.6
QUIET = 0.01  # seconds without an acknowledgement that make a peer silent
STARTING_MARGIN = 0.01  # seconds above a round trip, for data that an agent may not have been ready for; spec 5.6
REMEMBERED_RESENDS = 8192  # acknowledged resends watched for a second acknowledgement

NEVER = float("-inf")


class Outgoing:
    """A message that was sent and not acknowledged.

    Args:
        order: counts transmissions of all messages; number counts messages.
    """

    __slots__ = ("first_order", "first_sent_at", "frame", "number", "order", "sent_at", "size", "transmissions")

    def __init__(self, number: int, frame: bytes, size: int, order: int, now: float) -> None:
        self.number = number
        self.frame = frame
        self.size = size
        self.order = self.first_order = order
        self.sent_at = self.first_sent_at = now
        self.transmissions = 1


class Flight:
    """Everything unacknowledged, either in flight or lost and waiting to go out again."""

    def __init__(self) -> None:
        self.round_trip = RoundTripTime()
        self.paused = False
        self.bytes = 0
        self._in_flight: OrderedDict[int, Outgoing] = OrderedDict()  # in the order of their last transmission
        self._lost: OrderedDict[int, Outgoing] = OrderedDict()  # to be sent again as soon as the pacer lets them
        self._lowest = 0  # no number below this one is unacknowledged
        self.next_order = 1
        self._acknowledged_order = 0
        self._acknowledged_at = NEVER
        self._tolerated = FAST_RESEND_AFTER
        self._in_order = 0  # acknowledgements since reordering was seen
        self._resent: OrderedDict[int, tuple[float, int]] = (
            OrderedDict()
        )  # number -> round trip, reordering if needless
        self._probes = 0
        self._probe_at = NEVER
        self._patient_until = NEVER
        self._answered = False  # a probe was; what is overdue after the patience is lost
        self._starting_number: int | None = None
        self.overdue = 0  # resends because of a timeout
        self.overtaken = 0  # resends because of later acknowledgements
        self.needless = 0  # resends whose first transmission arrived as well

    def __len__(self) -> int:
        return len(self._in_flight) + len(self._lost)

    def span(self, next_number: int) -> int:
        """How far the next number is from the lowest that is unacknowledged: what a receiver may have to store."""
        while self._lowest < next_number and self._lowest not in self._in_flight and self._lowest not in self._lost:
            self._lowest += 1
        return next_number - self._lowest

    # sending
    def add(self, number: int, frame: bytes, size: int, now: float) -> None:
        """A message is sent for the first time: stored before it is written, so that its acknowledgement cannot come
        too early (spec 8.1)."""
        self._in_flight[number] = Outgoing(number, frame, size, self.next_order, now)
        self.next_order += 1
        self.bytes += size

    def resend(self, now: float) -> bytes:
        """The frame of the next lost message, which is in flight again."""
        number, message = self._lost.popitem(last=False)
        message.sent_at = now
        message.transmissions += 1
        message.order = self.next_order
        self.next_order += 1
        self._in_flight[number] = message
        return message.frame

    def resends_waiting(self) -> int:
        """Frames that resend would give now: while paused one at each timeout."""
        return min(len(self._lost), 1) if self.paused else len(self._lost)

    def probes_with_new(self, now: float) -> bool:
        """While paused with nothing unacknowledged: whether something new may go out to see if anybody is there."""
        return not len(self) and now >= self._probe_at

    def probed(self, now: float) -> None:
        """A probe went out while paused."""
        self._probe_at = now + self._timeout()

    # acknowledgements
    def acknowledge(self, number: int, now: float) -> tuple[int, float | None] | None:
        """The peer has this message.

        Returns:
            Order and round trip of its transmission (0 and None where it was sent twice: nobody knows which arrived),
            or None for a number that is not waited for.
        """
        message = self._in_flight.pop(number, None) or self._lost.pop(number, None)
        if message is None:
            self._acknowledged_again(number, now)
            return None
        self.bytes -= message.size
        self._acknowledged_at = now
        if self._probes:
            # The peer was only late, or it lost much. Give what is on its way a moment to show which.
            self._heard()
            self._patient_until = now + self._timeout()
            self._answered = True
        if number == self._starting_number:
            self._starting_number = None
        if message.transmissions > 1:
            self._resent[number] = (now - message.first_sent_at, self._acknowledged_order - message.first_order)
            if len(self._resent) > REMEMBERED_RESENDS:
                self._resent.popitem(last=False)
            return 0, None
        self._answered = False  # it was late, not lost, and so may the others be
        round_trip = now - message.sent_at
        self.round_trip.sample(round_trip, now)
        self._judge_order(message.order)
        return message.order, round_trip

    def _judge_order(self, order: int) -> None:
        if order < self._acknowledged_order:
            # the path reorders; what comes later still would be taken for lost
            self._tolerate(2 * (self._acknowledged_order - order))
            return
        self._acknowledged_order = order
        self._in_order += 1
        if self._tolerated > FAST_RESEND_AFTER and self._in_order > REORDER_FORGOTTEN * self._tolerated:
            self._in_order = 0
            self._tolerated = max(self._tolerated // 2, FAST_RESEND_AFTER)
        limit = order - self._tolerated
        in_flight = self._in_flight
        while in_flight:
            number, message = next(iter(in_flight.items()))
            if message.order > limit:
                return
            del in_flight[number]
            self._lost[number] = message
            self.overtaken += 1

    def _acknowledged_again(self, number: int, now: float) -> None:
        """A second acknowledgement of a resend: both arrived, so it was needless (spec 8.8)."""
        first = self._resent.pop(number, None)
        if first is not None:
            round_trip, reordering = first
            self.round_trip.sample(round_trip, now)
            self._tolerate(reordering + 1)
            self.needless += 1

    def _tolerate(self, reordering: int) -> None:
        self._in_order = 0
        self._tolerated = min(max(reordering, self._tolerated), FAST_RESEND_AFTER_MOST)

    # time
    def next_timer(self, now: float, *, has_new: bool) -> float | None:
        """When handle_timer has work; what may leave already is not its business.

        Args:
            has_new: something that was never sent is waiting.
        """
        if self._in_flight and not (self.paused and self._lost):
            oldest = next(iter(self._in_flight.values()))
            return max(self._due(oldest), self._probe_at, self._patient_until)
        if self.paused and has_new and not len(self) and now < self._probe_at:
            return self._probe_at
        return None

    def handle_timer(self, now: float) -> None:
        """Move what is overdue among the lost (spec 8.6)."""
        if not self._in_flight or now < max(self._probe_at, self._patient_until) or (self.paused and self._lost):
            return
        if now < self._due(next(iter(self._in_flight.values()))):
            return
        # No acknowledgements of late: the peer is busy or away, and repeating everything would not help it. Ask with a
        # few; the answer tells which, and a late acknowledgement of something sent once stretches the timeout itself.
        silent = now - self._acknowledged_at > QUIET and not self._answered
        self._answered = False
        most = len(self._in_flight)
        if self.paused:
            most = 1
        elif silent and self._starting_number is not None:
            most = PROBES[0]  # not ready is all that it is: more would be dropped as well
        elif silent and self._probes < len(PROBES):
            most = PROBES[self._probes]
        if silent or self.paused:
            self.span(self._lowest + 1)
            most -= self._lose(self._lowest, now)  # first what the receiver needs to go on
        while most > 0 and self._in_flight:
            number, message = next(iter(self._in_flight.items()))
            if now < self._due(message):
                break
            most -= self._lose(number, now)
        if silent:
            self._probes += 1
            self.round_trip.back_off()
            self._probe_at = now + self._timeout()

    def _lose(self, number: int, now: float) -> int:
        message = self._in_flight.get(number)
        if message is None or now < self._due(message):
            return 0
        del self._in_flight[number]
        self._lost[number] = message
        self.overdue += 1
        return 1

    def _timeout(self, transmissions: int = 1) -> float:
        smoothed = self.round_trip.smoothed
        if self._starting_number is not None and smoothed is not None:
            return min(self.round_trip.timeout(), smoothed + STARTING_MARGIN * (1 << min(self._probes, 8)))
        return self.round_trip.timeout(transmissions)

    def _due(self, message: Outgoing) -> float:
        return message.sent_at + self._timeout(message.transmissions)

    # the peer comes and goes
    def connection_opened(self) -> None:
        """A new connection: whatever is unacknowledged goes out again, lowest number first."""
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
        self._probe_at = self._patient_until = NEVER
        self._answered = False
        self.round_trip.forget_back_off()

    def expect_unready_peer(self, number: int) -> None:
        """The handshake is complete: the agent may drop the first data, so resend it after little more than a round
        trip until it is acknowledged (spec 5.6).

        Args:
            number: of the first data.
        """
        self._starting_number = number
