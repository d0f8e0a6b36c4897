"""Measures how long the agent has left our messages unanswered; the caller passes the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_runas.ssm.core.message import CHANNEL_CLOSED, PAUSE_PUBLICATION, START_PUBLICATION, message_type_of

FROM_THE_SERVICE: Final = (PAUSE_PUBLICATION, START_PUBLICATION, CHANNEL_CLOSED)  # they say nothing about the agent


class AgentSilence:
    """Measures the time since the agent was due to answer. An agent acknowledges every message at once."""

    def __init__(self) -> None:
        self._since: float | None = None  # monotonic seconds

    def message_sent(self, unacknowledged: int, now: float) -> None:
        """Note that a message is queued.

        Args:
            unacknowledged: messages that were unacknowledged before it.
            now: monotonic seconds.
        """
        if not unacknowledged or self._since is None:
            self._since = now

    def messages_received(self, messages: Sequence[bytes | str], now: float) -> None:
        """Note that messages arrived, of the agent or of the service."""
        if any(isinstance(message, str) or message_type_of(message) not in FROM_THE_SERVICE for message in messages):
            self._since = now

    def connected(self, now: float) -> None:
        """Note that there is a new connection: before it, nothing could arrive."""
        self._since = now

    def disconnected(self) -> None:
        """Note that the connection is lost."""
        self._since = None

    def seconds(self, unacknowledged: int, now: float) -> float:
        """Return for how long the agent has been silent; 0.0 if it owes no acknowledgement.

        Args:
            unacknowledged: messages that are unacknowledged.
            now: monotonic seconds.
        """
        return max(0.0, now - self._since) if unacknowledged and self._since is not None else 0.0
