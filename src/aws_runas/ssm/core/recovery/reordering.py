"""Packet threshold: how many later transmissions may be acknowledged first (RFC 9002, 6.1.1; spec 8.7, 8.8)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

PACKET_THRESHOLD: Final = 3  # later transmissions; recommended by RFC 9002, spec 8.7
MAX_PACKET_THRESHOLD: Final = 4096  # the whole window; at this value only timeouts detect loss
DECAY_AFTER: Final = 32  # the threshold is halved after this many times the threshold of acknowledgements in order
WATCHED_RETRANSMISSIONS: Final = 8192  # acknowledged retransmissions watched for a second acknowledgement; limit 15.12


class Reordering:
    """The packet threshold, which adapts to the observed reordering.

    Transmission sequences count transmissions of all messages; sequence numbers count messages.
    """

    def __init__(self) -> None:
        self.packet_threshold = PACKET_THRESHOLD
        self.largest_acknowledged = 0  # transmission sequence
        self.spurious_retransmissions = 0
        self._in_order = 0  # acknowledgements since reordering was seen
        # number -> seconds since the first transmission, and reordering distance if the retransmission was spurious
        self._watched: OrderedDict[int, tuple[float, int]] = OrderedDict()

    def acknowledged(self, sequence: int) -> int | None:
        """Process the acknowledgement of a message that was transmitted once.

        Returns:
            The transmission sequence up to which messages in flight are lost by packet threshold, or None if the
            acknowledgement came out of order.
        """
        if sequence < self.largest_acknowledged:
            self._raise_threshold(2 * (self.largest_acknowledged - sequence))
            return None
        self.largest_acknowledged = sequence
        self._in_order += 1
        threshold = self.packet_threshold
        if threshold > PACKET_THRESHOLD and self._in_order > DECAY_AFTER * threshold:
            self._in_order = 0
            self.packet_threshold = max(threshold // 2, PACKET_THRESHOLD)
        return sequence - self.packet_threshold

    def watch(self, number: int, rtt: float, first_sequence: int) -> None:
        """Watch a retransmitted message that was acknowledged: a second acknowledgement proves it spurious.

        Args:
            number: sequence number of the message.
            rtt: seconds since its first transmission.
            first_sequence: transmission sequence of its first transmission.
        """
        self._watched[number] = (rtt, self.largest_acknowledged - first_sequence)
        if len(self._watched) > WATCHED_RETRANSMISSIONS:
            self._watched.popitem(last=False)

    def acknowledged_again(self, number: int) -> float | None:
        """Process a second acknowledgement.

        Returns:
            The round trip of the first transmission if the retransmission was spurious (RFC 4015), else None.
        """
        watched = self._watched.pop(number, None)
        if watched is None:
            return None
        rtt, distance = watched
        self.spurious_retransmissions += 1
        self._raise_threshold(distance + 1)
        return rtt

    def _raise_threshold(self, threshold: int) -> None:
        self._in_order = 0
        self.packet_threshold = min(max(self.packet_threshold, threshold), MAX_PACKET_THRESHOLD)
