"""Policies that decide whether the peer is still alive (docs/adr/0202). They have no clock and send nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from aws_runas.dataclass import dataclass
from aws_runas.ssm.core.message import ACKNOWLEDGE, OUTPUT_STREAM_DATA, message_type_of

PING_INTERVAL: Final = 30.0  # seconds; NATs drop silent connections after 60 s to 5 min (spec 13.5)
PONG_TIMEOUT: Final = 20.0  # seconds without a single byte after a ping, after which the peer is dead
MAX_CHECK_INTERVAL: Final = 5.0  # maximum seconds between two checks
SLEEP_THRESHOLD: Final = 10.0  # seconds that the wall clock gains on the monotonic clock if the machine was suspended
TIMEOUT_AFTER_SLEEP: Final = 5.0  # seconds for the answer to a ping after a suspend
PAUSE_TIMEOUT: Final = 45.0  # seconds of a pause without a message, after which the session is resumed (spec 13.4)
AGENT_SILENT_AFTER: Final = 5.0  # seconds without an answer until the user is notified


@dataclass(frozen=True, slots=True)
class PingDue:
    """Send a ping, then call ``KeepAlive.ping_sent``.

    Args:
        timeout: seconds for the answer.
    """

    timeout: float


@dataclass(frozen=True, slots=True)
class PeerDead:
    """Drop the connection.

    Args:
        silent_for: seconds since the last byte.
    """

    silent_for: float


class KeepAlive:
    """The keep-alive of one connection.

    Args:
        interval: seconds between pings.
        timeout: seconds for the answer to a ping.
        now: monotonic seconds.
        wall_clock: seconds since the epoch, to detect that the machine was suspended.
    """

    def __init__(self, interval: float, timeout: float, now: float, wall_clock: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._last_ping = now
        self._clock_offset = wall_clock - now
        self._next_check = now + min(interval, MAX_CHECK_INTERVAL)
        self._deadlines: list[tuple[float, float]] = []  # (due, when the ping was sent)
        self.last_received = now
        """The arrival of the last byte, in monotonic seconds; the owner sets it, because every read does."""

    def ping_sent(self, timeout: float, now: float) -> None:
        """Note a ping; without a byte within ``timeout`` seconds the peer is dead."""
        self._last_ping = now
        self._deadlines.append((now + timeout, now))

    def next_timer(self) -> float:
        """Return when handle_timer is due."""
        return min([self._next_check, *(due for due, _ in self._deadlines)])

    def handle_timer(self, now: float, wall_clock: float, *, is_listening: bool) -> PingDue | PeerDead | None:
        """Return the action that is due.

        Args:
            now: monotonic seconds.
            wall_clock: seconds since the epoch.
            is_listening: False while reading is paused, because silence then proves nothing.
        """
        overdue = [sent for due, sent in self._deadlines if due <= now]
        self._deadlines = [deadline for deadline in self._deadlines if deadline[0] > now]
        if is_listening and any(self.last_received < sent for sent in overdue):
            return PeerDead(now - self.last_received)
        if now < self._next_check:
            return None
        self._next_check = now + min(self._interval, MAX_CHECK_INTERVAL)
        offset = wall_clock - now
        has_slept = offset - self._clock_offset > SLEEP_THRESHOLD
        self._clock_offset = offset
        if not is_listening:
            return None
        if has_slept:
            return PingDue(min(TIMEOUT_AFTER_SLEEP, self._timeout))
        return PingDue(self._timeout) if now - self._last_ping >= self._interval else None


class PauseTimeout:
    """Decides what to do if a publication pause continues and nothing arrives.

    Args:
        timeout: seconds without a message.
    """

    def __init__(self, timeout: float = PAUSE_TIMEOUT) -> None:
        self._timeout = timeout
        self._due: float | None = None
        self._expired = 0

    def pause_received(self, now: float) -> None:
        """Note that the service has paused the channel, or that the pause continues."""
        self._due = now + self._timeout

    def message_received(self, now: float) -> None:
        """Note that a message arrived: the timeout of a pause starts again."""
        if self._due is not None:
            self._due = now + self._timeout

    def pause_ended(self) -> None:
        """Note the end of the pause or of the session. A new connection ends a pause too."""
        self._due = None

    def data_received(self) -> None:
        """Note data from the agent itself: the next pause is a new one."""
        self._expired = 0

    def next_timer(self) -> float | None:
        """Return when handle_timer is due."""
        return self._due

    def handle_timer(self, now: float) -> Literal["resume", "ask"] | None:
        """Return "resume" for the first timeout of a pause, "ask" (query the service) for each later one."""
        if self._due is None or now < self._due:
            return None
        self._due = None
        self._expired += 1
        return "resume" if self._expired == 1 else "ask"


FROM_THE_AGENT: Final = (OUTPUT_STREAM_DATA, ACKNOWLEDGE)  # the service's own messages do not count


def is_from_agent(message: bytes | str) -> bool:
    """Return True if an agent sent the message, not the service itself or an intermediary."""
    return message_type_of(message.encode() if isinstance(message, str) else message) in FROM_THE_AGENT


class AgentSilence:
    """Measures the time since the agent was due to answer. An agent acknowledges every message at once."""

    def __init__(self) -> None:
        self._since: float | None = None  # monotonic seconds
        self._before = 0.0  # seconds of silence on earlier connections; a new connection is not an answer

    def message_sent(self, unacknowledged: int, now: float) -> None:
        """Note that a message is queued.

        Args:
            unacknowledged: number of messages that were unacknowledged before it.
            now: monotonic seconds.
        """
        if not unacknowledged:
            self._since, self._before = now, 0.0

    def messages_received(self, messages: Sequence[bytes | str], now: float) -> None:
        """Note that messages arrived from the agent or from the service."""
        for message in messages:
            if is_from_agent(message):
                self._since, self._before = now, 0.0
                return

    def connected(self, now: float) -> None:
        """Note that a connection was opened: the time since the last connection ended does not count."""
        self._since = now - self._before

    def disconnected(self, now: float) -> None:
        """Note that the connection is lost: the time without one does not count."""
        if self._since is not None:
            self._before = max(0.0, now - self._since)
        self._since = None

    def seconds(self, unacknowledged: int, now: float) -> float:
        """Return for how long the agent has been silent; 0.0 if no acknowledgement is due.

        Args:
            unacknowledged: number of unacknowledged messages.
            now: monotonic seconds.
        """
        if not unacknowledged:
            return 0.0
        return self._before if self._since is None else max(0.0, now - self._since)
