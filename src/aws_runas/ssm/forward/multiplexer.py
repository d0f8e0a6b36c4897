"""What carries the connections of a port session: many at once (mux) or one after the other (port)."""

from __future__ import annotations

from typing import Final, Protocol

from aws_runas.ssm.forward.connection import LocalConnection

FAST_DOWNLOAD: Final = 300_000  # bytes a second; an agent at its pace sends 650,000 (spec, measured), less under load
MEASURE: Final = 0.05  # seconds over which a download is measured
BLOCKED: Final = 0.03  # seconds with more to send than the channel takes: longer than any burst that it lets through
AFTER_FIN: Final = 2.0  # seconds that the program may still send after the far side has ended


class CarrierReport(Protocol):
    """What a carrier tells the session it belongs to."""

    def connection_over(self, connection: LocalConnection, reason: str) -> None:
        """A connection has ended; the carrier does not know it any more."""

    def connection_refused(self, connection: LocalConnection) -> None:
        """The far side could not connect to its destination; connection_over follows."""

    def became_available(self) -> None:
        """Another connection can be attached, which was not so before."""

    def carrier_failed(self, reason: str) -> None:
        """The peer breaks the protocol: the session is of no use any more."""


class Carrier(Protocol):
    """Connections on one session. Called on the event loop."""

    def attach(self, connection: LocalConnection) -> None:
        """Carry one more connection; only when available."""

    def available(self) -> bool:
        """Whether attach may be called."""
        ...

    def busy(self) -> bool:
        """Whether the session runs at its pace or is held up: another connection would do better elsewhere."""
        ...

    def connections(self) -> int:
        """How many connections it carries."""
        ...

    def active(self) -> int:
        """How many of them are open both ways, and may yet do anything."""
        ...

    def data_received(self, data: bytes) -> None:
        """Bytes of the session."""

    def writable(self) -> None:
        """The channel takes data again."""

    def connect_failed(self) -> None:
        """The far side reports that it could not connect."""

    def tick(self, now: float) -> None:
        """Called about four times a second, for what depends on time."""

    def ended(self) -> None:
        """The session is gone: break off every connection."""


class Pace:
    """Tells whether a session runs as fast as it can, at this moment."""

    def __init__(self) -> None:
        self.held_up = False  # reading stopped, a reader is too slow
        self._blocked_since: float | None = None
        self._received = 0  # bytes since _measured_from
        self._measured_from = 0.0
        self._download = 0.0  # bytes a second

    def blocked(self, now: float) -> None:
        """There is more to send than the channel takes."""
        if self._blocked_since is None:
            self._blocked_since = now

    def unblocked(self) -> None:
        """Everything has been given to the channel."""
        self._blocked_since = None

    def received(self, length: int, now: float) -> None:
        """So many bytes came in."""
        self._received += length
        passed = now - self._measured_from
        if passed >= MEASURE:
            self._download = self._received / passed
            self._received = 0
            self._measured_from = now

    def busy(self, now: float) -> bool:
        """Whether another connection would have to share what there is."""
        if self.held_up or (self._blocked_since is not None and now - self._blocked_since >= BLOCKED):
            return True
        return self._download > FAST_DOWNLOAD and now - self._measured_from < 4 * MEASURE
