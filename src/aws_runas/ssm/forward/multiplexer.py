"""Interface and settings of multiplexers, which carry connections on one port session; measurement of saturation.

Two modules implement it: `mux` carries many connections at once, `basic` carries one at a time.

Imports nothing expensive at run time, because the command-line parser imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aws_runas.dataclass import dataclass

if TYPE_CHECKING:
    from aws_runas.ssm.forward.connection import LocalConnection

HALF_CLOSE_TIMEOUT: Final = 60.0  # seconds of silence until a half-closed connection is closed
FAST_DOWNLOAD: Final = 300_000  # bytes per second; an agent at full speed sends 650,000 (measured), less under load
MEASURE_INTERVAL: Final = 0.05  # seconds over which the download rate is measured
BLOCKED_TIME: Final = 0.03  # seconds with more to send than the channel accepts; longer than any burst
FRAME_OVERHEAD: Final = 10
"""Bytes of a message that a frame leaves free: its header, and two bytes that shift the frame ends from message to
message. With equal lengths, nearly every cut would have to be moved (docs/adr/0305)."""


@dataclass(frozen=True, slots=True)
class MultiplexerSettings:
    """Settings of a multiplexer.

    Args:
        payload_size: bytes of data in one message of the channel.
        frame_data: bytes of data in one smux frame; see FRAME_OVERHEAD.
        receive_buffer: limit in bytes of the data that programs have not read, for all connections of a session.
        half_close_timeout: seconds, see HALF_CLOSE_TIMEOUT.
    """

    payload_size: int = 1024
    frame_data: int = 1024 - FRAME_OVERHEAD
    receive_buffer: int = 4 * 1024 * 1024
    half_close_timeout: float = HALF_CLOSE_TIMEOUT


class MultiplexerOwner(Protocol):
    """The session that a multiplexer belongs to. Called on the event loop."""

    def connection_ended(self, connection: LocalConnection, reason: str) -> None:
        """Note that a connection has ended and that the multiplexer has dropped it.

        Args:
            connection: the connection.
            reason: "" for an ordinary end.
        """

    def connection_refused(self, connection: LocalConnection) -> None:
        """Note that the remote end could not connect to its destination; `connection_ended` follows."""

    def half_close_timed_out(self, connection: LocalConnection, seconds: float) -> None:
        """Note that no answer arrived after the program had ended its sending half; `connection_ended` follows.

        Args:
            connection: the connection, which is reset.
            seconds: how long nothing arrived.
        """

    def became_available(self) -> None:
        """Note that another connection can be attached now."""

    def multiplexer_failed(self, reason: str) -> None:
        """Note that the peer violated the protocol; the session cannot be used any more."""


class Multiplexer(Protocol):
    """Carries the connections of one session. Called on the event loop."""

    def attach(self, connection: LocalConnection) -> None:
        """Carry one more connection. Call only while `capacity` is above zero."""

    def capacity(self) -> int:
        """Return how many more connections can be attached."""
        ...

    def saturated(self, now: float) -> bool:
        """Return True if another connection would be faster on another session.

        Args:
            now: monotonic seconds.
        """
        ...

    def connections(self) -> int:
        """Return how many connections it carries."""
        ...

    def active(self) -> int:
        """Return how many connections may still transfer data."""
        ...

    def data_received(self, data: bytes) -> None:
        """Process bytes of the session."""

    def writable(self) -> None:
        """Send what is queued: the channel accepts data again."""

    def connect_failed(self) -> None:
        """Process the agent's report that it could not connect."""

    def handle_timer(self, now: float) -> None:
        """Perform actions that are due. Called about four times a second.

        Args:
            now: monotonic seconds.
        """

    def session_ended(self) -> None:
        """Reset every connection: the session has ended."""


class Saturation:
    """Measures whether a session transfers as fast as it can. Has no clock; the caller passes the time."""

    def __init__(self) -> None:
        self.reading_paused = False  # a local program reads too slowly
        self._blocked_since: float | None = None
        self._received = 0  # bytes since _measured_from
        self._measured_from = 0.0
        self._download_rate = 0.0  # bytes per second

    def send_blocked(self, now: float) -> None:
        """Note that there is more to send than the channel accepts."""
        if self._blocked_since is None:
            self._blocked_since = now

    def send_unblocked(self) -> None:
        """Note that the channel has accepted everything."""
        self._blocked_since = None

    def received(self, length: int, now: float) -> None:
        """Note that bytes were received."""
        self._received += length
        passed = now - self._measured_from
        if passed >= MEASURE_INTERVAL:
            self._download_rate = self._received / passed
            self._received = 0
            self._measured_from = now

    def saturated(self, now: float) -> bool:
        """Return True if another connection would have to share the speed of the session."""
        if self.reading_paused or (self._blocked_since is not None and now - self._blocked_since >= BLOCKED_TIME):
            return True
        return self._download_rate > FAST_DOWNLOAD and now - self._measured_from < 4 * MEASURE_INTERVAL
