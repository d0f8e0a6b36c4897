"""How long to wait for an acknowledgement before sending again (spec 8.5)."""

from __future__ import annotations

from collections import deque

TIMEOUT_BEFORE_SAMPLES = 0.2  # seconds, the official pair's first value
TIMEOUT_FLOOR = 0.03  # seconds; measured: 0.1 costs 1.0 instead of 0.27 s on 4 MB at 1 % loss
TIMEOUT_CEILING = 4.0  # seconds, back-off included: a peer that comes back is noticed within that
MARGIN = 0.02  # seconds above the smoothed round trip at least: a collector's pause in the agent is no loss
LEAST_ROUND_TRIP_WINDOW = 30.0  # seconds that a smallest round trip is believed; three measurements, spec 14.2


class RoundTripTime:
    """Smoothed round trip time, its variation, and the resend timeout made of them.

    Karn's rule is the caller's: sample only messages that were sent once.
    """

    def __init__(self) -> None:
        self.smoothed: float | None = None
        self.variation = 0.0
        self.least = float("inf")
        self._recent_least: deque[tuple[float, float]] = deque(maxlen=2)  # (since, least) of this and the last window
        self._timeout = TIMEOUT_BEFORE_SAMPLES
        self._doublings = 0

    def sample(self, seconds: float, now: float) -> None:
        """A round trip was measured."""
        seconds = min(max(seconds, 0.0), TIMEOUT_CEILING)  # a machine that slept is no round trip
        smoothed = self.smoothed
        if smoothed is None:
            self.smoothed = seconds
            self.variation = seconds / 2
        else:
            error = smoothed - seconds
            self.variation = 0.75 * self.variation + 0.25 * (error if error > 0 else -error)
            self.smoothed = smoothed - 0.125 * error
        self._timeout = max(self.smoothed + max(MARGIN, 4 * self.variation), TIMEOUT_FLOOR)
        if seconds < self.least:
            self.least = seconds
        self._remember_least(seconds, now)

    def _remember_least(self, seconds: float, now: float) -> None:
        recent = self._recent_least
        if not recent or now - recent[-1][0] > LEAST_ROUND_TRIP_WINDOW / 2:
            recent.append((now, seconds))
            self.least = min(least for _, least in recent)
        elif seconds < recent[-1][1]:
            recent[-1] = (recent[-1][0], seconds)

    def timeout(self, transmissions: int = 1) -> float:
        """Seconds after which a message sent so many times is overdue.

        Each of its resends doubles the wait: where round trips have grown beyond the timeout, acknowledgements of
        resends cannot tell (Karn), and resending everything at the same pace would make them grow for ever.
        """
        doublings = max(self._doublings, transmissions - 1)
        return min(self._timeout * (1 << min(doublings, 10)), TIMEOUT_CEILING)

    def back_off(self) -> None:
        """A timeout passed and nothing at all was acknowledged: wait twice as long next time."""
        if self.timeout() < TIMEOUT_CEILING:
            self._doublings += 1

    def forget_back_off(self) -> None:
        """The peer is there."""
        self._doublings = 0
