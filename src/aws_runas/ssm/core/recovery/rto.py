"""Round trip estimates and the retransmission timeout (RFC 6298; spec 8.5)."""

from __future__ import annotations

from typing import Final

INITIAL_RTO: Final = 0.2  # seconds before the first sample; same as in the official client and agent
MIN_RTO: Final = 0.03  # seconds; measured for 4 MB at 1 % loss: with 0.1, it takes 1.0 s instead of 0.27 s
MAX_RTO: Final = 4.0  # seconds, including backoff; a peer that returns is noticed within this time
MIN_VARIANCE: Final = 0.02  # minimum seconds above srtt; a garbage collection pause in the agent is not a loss
MIN_RTT_WINDOW: Final = 30.0  # seconds for which a min_rtt is valid; three PROBE_RTT, spec 14.2
MAX_BACKOFF: Final = 10  # doublings; MAX_RTO applies long before


class RttEstimator:
    """srtt, rttvar, min_rtt, and the rto derived from them.

    The caller applies Karn's algorithm: sample only messages that were transmitted once.
    """

    def __init__(self) -> None:
        self.srtt: float | None = None
        self.rttvar = 0.0
        self.min_rtt = float("inf")
        self._least = 0.0  # min_rtt of this half of the window
        self._least_before = float("inf")  # and of the half before
        self._half_ends_at = float("-inf")
        self._rto = INITIAL_RTO
        self._backoff = 0

    def sample(self, rtt: float, now: float) -> None:
        """Add a measured round trip in seconds."""
        if not 0.0 <= rtt <= MAX_RTO:  # out of range if the machine was suspended
            rtt = min(max(rtt, 0.0), MAX_RTO)
        srtt = self.srtt
        if srtt is None:
            self.srtt = rtt
            self.rttvar = rtt / 2
        else:
            error = srtt - rtt
            self.rttvar = 0.75 * self.rttvar + 0.25 * (error if error > 0 else -error)
            self.srtt = srtt - 0.125 * error
        margin = 4 * self.rttvar
        rto = self.srtt + (margin if margin > MIN_VARIANCE else MIN_VARIANCE)
        self._rto = rto if rto > MIN_RTO else MIN_RTO
        if rtt < self.min_rtt:
            self.min_rtt = rtt
        if rtt < self._least or now > self._half_ends_at:
            self._update_min_rtt(rtt, now)

    def _update_min_rtt(self, rtt: float, now: float) -> None:
        if now > self._half_ends_at:
            if self._half_ends_at > float("-inf"):
                self._least_before = self._least
            self._half_ends_at = now + MIN_RTT_WINDOW / 2
            self.min_rtt = min(rtt, self._least_before)
        self._least = rtt

    def rto(self, transmissions: int = 1) -> float:
        """Return the seconds after which a message with this many transmissions is lost by timeout.

        Each retransmission doubles the wait. If round trips have grown beyond the rto, acknowledgements of
        retransmissions give no samples (Karn), and resending at a constant pace would make them grow forever.
        """
        doublings = max(self._backoff, transmissions - 1)
        return min(self._rto * (1 << min(doublings, MAX_BACKOFF)), MAX_RTO)

    def back_off(self) -> None:
        """Double the rto, because it expired without an acknowledgement."""
        if self.rto() < MAX_RTO:
            self._backoff += 1

    def reset_backoff(self) -> None:
        """Reset the backoff, because the peer has answered."""
        self._backoff = 0
