"""Probe timeouts: which messages to resend when nothing is acknowledged (after RFC 9002, 6.2; spec 8.6)."""

from __future__ import annotations

from typing import Final

PTO_PROBES: Final = (2, 8, 32)  # messages per consecutive probe timeout; after these, all that are overdue
SILENT_AFTER: Final = 0.01  # seconds without an acknowledgement after which a peer is silent
NEVER: Final = float("-inf")


class Probing:
    """Probe timeouts of a silent peer, and the wait after a probe was answered."""

    def __init__(self) -> None:
        self.pto_count = 0
        self._probe_at = NEVER
        self._wait_until = NEVER
        self._answered = False  # a probe was answered: messages overdue after the wait are lost
        self._acknowledged_at = NEVER

    @property
    def earliest(self) -> float:
        """Earliest time at which the next timeout may be handled, in monotonic seconds."""
        return max(self._probe_at, self._wait_until)

    def may_probe_with_new(self, now: float) -> bool:
        """Return True if a probe timeout has passed while paused."""
        return now >= self._probe_at

    def is_silent(self, now: float) -> bool:
        """Return True if nothing was acknowledged recently, and clear the flag that a probe was answered."""
        silent = now - self._acknowledged_at > SILENT_AFTER and not self._answered
        self._answered = False
        return silent

    def probes(self, in_flight: int) -> int:
        """Return how many messages the next probe timeout resends."""
        return PTO_PROBES[self.pto_count] if self.pto_count < len(PTO_PROBES) else in_flight

    def acknowledged(self, now: float, rto: float) -> None:
        """Process an acknowledgement.

        If it answers a probe, the peer was only late, or many messages were lost. Wait one rto to find out which.
        """
        self._acknowledged_at = now
        if self.pto_count:
            self.reset()
            self._wait_until = now + rto
            self._answered = True

    def acknowledged_in_time(self) -> None:
        """Assume that the peer was only late: other messages in flight may be late too."""
        self._answered = False

    def timed_out(self) -> None:
        """Count a probe timeout without any acknowledgement."""
        self.pto_count += 1

    def probed(self, now: float, rto: float) -> None:
        """Set the next probe timeout."""
        self._probe_at = now + rto

    def reset(self) -> None:
        """Reset the backoff, because the peer has answered."""
        self.pto_count = 0
        self._probe_at = self._wait_until = NEVER
        self._answered = False
