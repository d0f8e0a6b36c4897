"""Congestion window from the delivery rate, small enough that a keystroke during an upload is not delayed much."""

from __future__ import annotations

from collections import deque

from aws_runas.ssm.core.recovery.rto import RttEstimator

WINDOW_FLOOR = 128  # messages; below it, round-trip jitter starves the sender; measured with 64: 1.4 MB/s at 42 ms
MIN_WINDOW = 16  # messages; used if WINDOW_FLOOR would take longer than SLOW_PATH_SECONDS
SLOW_PATH_SECONDS = 0.1  # seconds of queueing that the floor may cause on a slow path
MAX_WINDOW = 4096  # messages; the official client stores at most 10,000 out of order; more gains nothing (spec 14.2)
PROBE_RTT_INTERVAL = 10.0  # seconds of a full window after which min_rtt is measured again
PROBE_RTT_ROUNDS = 2  # rounds of PROBE_RTT: one to drain, one to measure
QUEUE_SECONDS = 0.006  # minimum seconds of work that may be queued at the peer
QUEUE_SHARE = 0.4  # share of min_rtt that may be queued; acknowledgements arrive in bursts, and a window is sent as one
RTTVAR_FACTOR = 2.0  # multiple of rttvar; without it, a jitter of 10 ms halves the speed
RATE_ROUNDS = 8  # rounds over which the maximum delivery rate is taken


def _queue_seconds(path: RttEstimator) -> float:
    """Return the seconds of data that may be queued at the peer."""
    return max(QUEUE_SECONDS, QUEUE_SHARE * path.min_rtt)


class DeliveryWindow:
    """Highest delivery rate of the last rounds times (min_rtt + 6 ms); doubled per round while no queue builds up.

    A round ends when a message that was sent after the start of the round is acknowledged.
    """

    def __init__(self) -> None:
        self.size = WINDOW_FLOOR
        self.was_saturated = False
        self._was_saturated_before = False  # in the previous round: acknowledgements from one read begin a new round
        self._in_startup = True
        self._rates: deque[float] = deque(maxlen=RATE_ROUNDS)
        self._round_end = 0
        self._round_began = 0.0
        self._round_min_rtt = float("inf")
        self._delivered = 0
        self._late = 0
        self._probed_rtt_at: float | None = None
        self._probe_rtt_rounds = 0  # rounds left
        self._size_before = WINDOW_FLOOR

    def acknowledged(
        self, sequence: int, next_sequence: int, rtt: float | None, path: RttEstimator, now: float
    ) -> None:
        """Note that one message was acknowledged.

        Args:
            sequence: transmission sequence, 0 if it was sent twice.
            next_sequence: transmission sequence of the next message.
            rtt: seconds, None if it is ambiguous (Karn).
            path: round trip estimates.
            now: monotonic seconds.
        """
        self._delivered += 1
        if rtt is not None:
            if rtt < self._round_min_rtt:
                self._round_min_rtt = rtt
            if self._in_startup and (self.was_saturated or self._was_saturated_before):
                self._grow(rtt, path, now)
        if sequence >= self._round_end:
            self._end_round(next_sequence, path, now)

    def _grow(self, rtt: float, path: RttEstimator, now: float) -> None:
        if rtt <= path.min_rtt + _queue_seconds(path) + RTTVAR_FACTOR * path.rttvar:
            self._late = 0
            self.size = min(self.size + 1, MAX_WINDOW)
            return
        self._late += 1
        if self._late >= RATE_ROUNDS:  # not a single outlier: stop within the round, or it overshoots by thousands
            self._in_startup = False
            elapsed = now - self._round_began
            if elapsed >= max(path.min_rtt, 1e-6):  # else it is the rate of one read, not of the path
                self._rates.append(self._delivered / elapsed)
            self._settle(path)

    def _end_round(self, next_sequence: int, path: RttEstimator, now: float) -> None:
        elapsed = now - self._round_began
        if self._probe_rtt_rounds:
            self._probe_rtt_rounds -= 1
            if not self._probe_rtt_rounds:
                self._probed_rtt_at = now
                self.size = self._size_before
        elif self.was_saturated and elapsed > 0 and self._round_end:
            self._rates.append(self._delivered / elapsed)
            if not self._in_startup:
                self._settle(path)
                # nothing is queued at the peer: the window limits the rate, not the path
                self._in_startup = self._round_min_rtt <= path.min_rtt + _queue_seconds(path) / 2
                if self._probed_rtt_at is None:
                    self._probed_rtt_at = now
                elif now - self._probed_rtt_at > PROBE_RTT_INTERVAL:
                    # with an always full window, no sample is the true min_rtt; without PROBE_RTT it creeps up
                    self._probe_rtt_rounds, self._size_before, self.size = PROBE_RTT_ROUNDS, self.size, MIN_WINDOW
        self._was_saturated_before, self.was_saturated = self.was_saturated, False
        self._late = 0
        self._delivered = 0
        self._round_began = now
        self._round_min_rtt = float("inf")
        self._round_end = next_sequence

    def _settle(self, path: RttEstimator) -> None:
        if self._rates and path.srtt is not None:
            seconds = path.min_rtt + _queue_seconds(path) + RTTVAR_FACTOR * path.rttvar
            rate = max(self._rates)
            floor = min(WINDOW_FLOOR, max(int(rate * (path.min_rtt + SLOW_PATH_SECONDS)), MIN_WINDOW))
            self.size = min(max(int(rate * seconds), floor), MAX_WINDOW)
