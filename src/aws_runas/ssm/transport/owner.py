"""The owner of a WebSocket, and how a connection ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended.

    Args:
        code: of the close frame; 1006 where there was none.
        reason: its text.
        error: what broke it, None where the other side closed it in order.
    """

    code: int
    reason: str
    error: Exception | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return str(self.error) or type(self.error).__name__
        return f"closed with code {self.code}" + (f" ({self.reason})" if self.reason else "")


class HandshakeRefused(Exception):  # noqa: N818 - it is an answer
    """The server answered the opening request with something else than 101.

    Args:
        status: HTTP status.
        body: the beginning of its text.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.body = body


class PeerSilent(Exception):  # noqa: N818
    """A ping was not answered."""


class WebSocketOwner(Protocol):
    """Called on the event loop by the connection; nothing here may block."""

    def messages_received(self, messages: list[bytes | str]) -> None:
        """Take all whole messages of one read; str for text frames."""

    def writing_resumed(self) -> None:
        """Continue to send: ``writable`` is True again."""

    def connection_closed(self, closed: Closed) -> None:
        """Handle the end of the connection. This is the last call; it is not made if ``opened`` failed."""
