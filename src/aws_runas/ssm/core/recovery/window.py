"""How many messages may be unacknowledged: by delivery rate, so that a byte typed beside an upload waits little."""

from __future__ import annotations

from collections import deque

from aws_runas.ssm.core.recovery.rto import RoundTripTime

FLOOR = 128  # messages: below, jitter in the round trip starves the window; measured 64: 1.4 MB/s at 42 ms
LEAST = 16  # messages, where so many take longer than SLOW_SECONDS
SLOW_SECONDS = 0.1  # of waiting that the floor may cause on a slow path
CEILING = 4096  # messages: the official client stores 10,000 out of order at most; more gains nothing (spec 14.2)
MEASURE_INTERVAL = 10.0  # seconds of a full window after which the smallest round trip is measured anew
MEASURE_ROUNDS = 2  # that take: one to drain, one to measure
QUEUE_SECONDS = 0.006  # of the peer's work that may wait at the peer, at least
QUEUE_SHARE = 0.4  # of the round trip that may: acknowledgements come in bursts, and a window leaves as one
JITTER = 2.0  # times the variation of the round trip: without it a jitter of 10 ms halves the speed
ROUNDS = 8  # the best delivery rate of so many rounds counts


def _queue_seconds(path: RoundTripTime) -> float:
    """What may wait at the peer."""
    return max(QUEUE_SECONDS, QUEUE_SHARE * path.least)


class DeliveryWindow:
    """Highest delivery rate of the last rounds times (smallest round trip + 6 ms), doubled per round while that costs
    no waiting.

    A round ends when a message is acknowledged that was sent after the round began.
    """

    def __init__(self) -> None:
        self.limit = FLOOR
        self.was_full = False
        self._was_full_before = False  # in the round before: acknowledgements that come in one read begin a new round
        self._growing = True
        self._rates: deque[float] = deque(maxlen=ROUNDS)
        self._round_order = 0
        self._round_began = 0.0
        self._round_least = float("inf")
        self._delivered = 0
        self._late = 0
        self._measured_at: float | None = None
        self._measuring = 0  # rounds left
        self._limit_before = FLOOR

    def acknowledged(
        self, order: int, next_order: int, round_trip: float | None, path: RoundTripTime, now: float
    ) -> None:
        """One message was acknowledged.

        Args:
            order: of its transmission, 0 where it was sent twice; next_order: that of the next to be sent.
            round_trip: seconds, None where it cannot be known (Karn).
            path: what is known of round trips.
        """
        self._delivered += 1
        if round_trip is not None:
            if round_trip < self._round_least:
                self._round_least = round_trip
            if self._growing and (self.was_full or self._was_full_before):
                self._grow(round_trip, path, now)
        if order >= self._round_order:
            self._end_round(next_order, path, now)

    def _grow(self, round_trip: float, path: RoundTripTime, now: float) -> None:
        if round_trip <= path.least + _queue_seconds(path) + JITTER * path.variation:
            self._late = 0
            self.limit = min(self.limit + 1, CEILING)
            return
        self._late += 1
        if self._late >= ROUNDS:  # not one hiccup: stop inside the round, or it overshoots by thousands
            self._growing = False
            elapsed = now - self._round_began
            if elapsed >= path.least:  # over less than a round trip it would be the speed of one read, not of the path
                self._rates.append(self._delivered / elapsed)
            self._settle(path)

    def _end_round(self, next_order: int, path: RoundTripTime, now: float) -> None:
        elapsed = now - self._round_began
        if self._measuring:
            self._measuring -= 1
            if not self._measuring:
                self._measured_at = now
                self.limit = self._limit_before
        elif self.was_full and elapsed > 0 and self._round_order:
            self._rates.append(self._delivered / elapsed)
            if not self._growing:
                self._settle(path)
                # nothing waits at the peer: the limit is too small, not the path
                self._growing = self._round_least <= path.least + _queue_seconds(path) / 2
                if self._measured_at is None:
                    self._measured_at = now
                elif now - self._measured_at > MEASURE_INTERVAL:
                    # in a window that is always full, no round trip is the smallest: without this it creeps up
                    self._measuring, self._limit_before, self.limit = MEASURE_ROUNDS, self.limit, LEAST
        self._was_full_before, self.was_full = self.was_full, False
        self._late = 0
        self._delivered = 0
        self._round_began = now
        self._round_least = float("inf")
        self._round_order = next_order

    def _settle(self, path: RoundTripTime) -> None:
        if self._rates and path.smoothed is not None:
            seconds = path.least + _queue_seconds(path) + JITTER * path.variation
            rate = max(self._rates)
            floor = min(FLOOR, max(int(rate * (path.least + SLOW_SECONDS)), LEAST))
            self.limit = min(max(int(rate * seconds), floor), CEILING)
