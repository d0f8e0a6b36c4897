"""How many messages may be unacknowledged: by delivery rate, so that a byte typed beside an upload waits little."""

from __future__ import annotations

from collections import deque

FLOOR = 128  # messages: below, jitter in the round trip starves the window; measured 64: 1.4 MB/s at 42 ms
CEILING = 4096  # messages: the official client stores 10,000 out of order at most; more gains nothing (spec 9.2)
QUEUE_SECONDS = 0.006  # of the peer's work that may wait at the peer
ROUNDS = 8  # the best delivery rate of so many rounds counts


class DeliveryWindow:
    """Highest delivery rate of the last rounds times (smallest round trip + 6 ms), doubled per round while that costs
    no waiting.

    A round ends when a message is acknowledged that was sent after the round began.
    """

    def __init__(self) -> None:
        self.limit = FLOOR
        self.was_full = False
        self._growing = True
        self._rates: deque[float] = deque(maxlen=ROUNDS)
        self._round_order = 0
        self._round_began = 0.0
        self._round_least = float("inf")
        self._delivered = 0
        self._late = 0

    def acknowledged(self, order: int, next_order: int, round_trip: float | None, least: float, now: float) -> None:
        """One message was acknowledged.

        Args:
            order: of its last transmission; next_order: that of the next to be sent.
            round_trip: seconds, None where it cannot be known (Karn).
            least: smallest round trip of late.
        """
        self._delivered += 1
        if round_trip is not None:
            if round_trip < self._round_least:
                self._round_least = round_trip
            if self._growing and self.was_full:
                self._grow(round_trip, least, now)
        if order >= self._round_order:
            self._end_round(next_order, least, now)

    def _grow(self, round_trip: float, least: float, now: float) -> None:
        if round_trip <= least + QUEUE_SECONDS:
            self._late = 0
            self.limit = min(self.limit + 1, CEILING)
            return
        self._late += 1
        if self._late >= ROUNDS:  # not one hiccup: stop inside the round, or it overshoots by thousands
            self._growing = False
            elapsed = now - self._round_began
            if elapsed > 0:
                self._rates.append(self._delivered / elapsed)
            self._settle(least)

    def _end_round(self, next_order: int, least: float, now: float) -> None:
        elapsed = now - self._round_began
        if self.was_full and elapsed > 0 and self._round_order:
            self._rates.append(self._delivered / elapsed)
            if not self._growing:
                self._settle(least)
                # nothing waits at the peer: the limit is too small, not the path
                self._growing = self._round_least <= least + QUEUE_SECONDS / 2
        self.was_full = False
        self._late = 0
        self._delivered = 0
        self._round_began = now
        self._round_least = float("inf")
        self._round_order = next_order

    def _settle(self, least: float) -> None:
        if self._rates and least != float("inf"):
            self.limit = min(max(int(max(self._rates) * (least + QUEUE_SECONDS)), FLOOR), CEILING)
