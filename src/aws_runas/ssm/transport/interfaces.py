"""Interfaces of the transport, so that each side can be tested alone.

SessionHandler and DataChannel connect a session with its data channel. SessionService makes the AWS calls of a channel
(ssm.api implements it). WebSocketOwner receives the messages of a connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError
from aws_runas.ssm.core.events import SessionStarted


class SessionHandler(Protocol):
    """Called by DataChannel on the event loop; no method may block. One handler per session."""

    def session_started(self, event: SessionStarted) -> None:
        """Start sending and receiving: data may flow."""

    def data_received(self, data: bytes, payload_type: int) -> None:
        """Process stream data, in order.

        Args:
            data: decrypted bytes.
            payload_type: 1 output, 11 standard error.
        """

    def exit_code_received(self, exit_code: int) -> None:
        """Process the exit status of the remote command."""

    def flag_received(self, flag: int) -> None:
        """Handle a flag: 3 is ConnectToPortError."""

    def writable(self) -> None:
        """Resume sending: `DataChannel.send_capacity` is above 0 again."""

    def connection_lost(self, reason: str) -> None:
        """Note that the connection is gone and is being resumed. Data is kept.

        Called a second time if something other than AWS answers the attempts, with what it answers as the reason.
        """

    def connection_regained(self, seconds: float) -> None:
        """Note that the connection was resumed.

        Args:
            seconds: time without a connection.
        """

    def session_ended(self, error: Exception | None, output: str) -> None:
        """Handle the end of the session. This is the last call.

        Args:
            error: None at a regular end, else a SessionError.
            output: text from the service, often "".
        """


class DataChannel(Protocol):
    """An open session; transport.data_channel implements it."""

    def send_capacity(self) -> int:
        """Return how many bytes `write` accepts now. At 0, wait for `SessionHandler.writable`."""
        ...

    def write(self, data: bytes) -> None:
        """Send stream data; at most send_capacity bytes."""
        ...

    def send_message(self, data: bytes) -> None:
        """Send stream data as exactly one message; at most one payload and send_capacity bytes."""
        ...

    def send_size(self, columns: int, rows: int) -> None:
        """Send the terminal size in characters."""
        ...

    def send_flag(self, flag: int) -> None:
        """Send DisconnectToPort or TerminateSession after the data written before."""
        ...

    def pause_reading(self) -> None:
        """Stop reading from the connection, because the local side accepts no data."""
        ...

    def resume_reading(self) -> None:
        """Undo pause_reading."""
        ...

    def check_connection(self) -> None:
        """Check soon whether the WebSocket still works: ping it, or try at once to resume if it is lost."""
        ...

    def agent_silent_for(self) -> float:
        """Return for how many seconds the agent has sent nothing while an acknowledgement is due.

        0.0 if none is due, if the connection is lost, or if reading is paused.
        """
        ...

    def end_may_be_missing(self) -> bool:
        """Return True if the session ended so soon after a loss that the agent may not have resent everything."""
        ...

    async def drained(self) -> None:
        """Wait until all written data is acknowledged, or the session has ended."""
        ...

    async def terminate(self) -> None:
        """End the session at the service (flag and TerminateSession), then close. Idempotent."""
        ...


def end_uncertain() -> SessionError:
    """Return the error for a session that ended so soon after a connection loss that its last output may be missing."""
    return SessionError(
        "the session ended just after a lost connection; the end of its output may be missing",
        code="end-uncertain",
        hint="check the end of the output, and run it again if something is missing",
    )


OpenChannel = Callable[[Callable[[DataChannel], SessionHandler]], Awaitable[str]]
"""Starts a session, connects it with the handler that is created for it, and returns the session id."""


class SessionGone(SessionError):  # noqa: N818 - says what happened
    """The service no longer knows the session, so it cannot be resumed."""


class ServiceUnavailable(SessionError):  # noqa: N818 - says what happened
    """AWS did not answer or was too busy. The same call may succeed later."""


class AnsweredByAnother(ServiceUnavailable):
    """Something other than AWS answered: the login page of a network, a proxy. The user may have to do something."""


class CredentialsRefused(SessionError):  # noqa: N818 - says what happened
    """AWS refused the credentials or their permissions. With renewed ones the call may succeed."""


class SessionService(Protocol):
    """The AWS calls of a session. Each may block for seconds, so the data channel makes them in threads."""

    def resume_session(self, session_id: str) -> tuple[str, str]:
        """Return a new token and the new stream URL, "" if the old URL is still valid.

        Raises:
            SessionGone, ServiceUnavailable, CredentialsRefused, CredentialsError: as their names say.
        """
        ...

    def prepare_resume(self) -> None:
        """Open a connection to the service so that ``resume_session`` is fast. Best effort, never raises."""
        ...

    def terminate_session(self, session_id: str) -> None:
        """End the session at the service. It is not an error if the session has already ended."""
        ...

    def session_is_active(self, session_id: str) -> bool | None:
        """Return True if the service still has the session, None if that is unknown."""
        ...

    def agent_waits(self, target: str, version: str) -> bool:
        """Return True if the agent waits for acknowledgements, or for two seconds, before it ends a session.

        False if its version is unknown.

        Args:
            target: target of the session.
            version: version of the agent; "" if the session did not report it: then the service is queried.
        """
        ...

    def stream_headers(self, url: str) -> list[tuple[str, str]]:
        """Return headers that sign the opening request (spec 13.1); [] if the URL is already signed."""
        ...

    def data_key(self, kms_key_id: str, encryption_context: dict[str, str]) -> tuple[bytes, bytes]:
        """Call GenerateDataKey; return the 64-byte key, and the encrypted key for the agent."""
        ...

    def renew_credentials(self) -> None:
        """Fetch new credentials, because the last ones were refused."""
        ...


@dataclass(frozen=True, slots=True)
class Closed:
    """End of a connection.

    Args:
        code: code of the close frame; 1006 if there was none.
        reason: text of the close frame.
        error: error that broke the connection, None if the other side closed it regularly.
    """

    code: int
    reason: str
    error: Exception | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return str(self.error) or type(self.error).__name__
        return f"closed with code {self.code}" + (f" ({self.reason})" if self.reason else "")


class HandshakeRefused(Exception):  # noqa: N818 - it is an answer
    """The server answered the opening request with a status other than 101.

    Args:
        status: HTTP status.
        body: beginning of the response body.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.body = body


class PeerSilent(Exception):  # noqa: N818
    """A ping was not answered."""


class WebSocketOwner(Protocol):
    """Called on the event loop by the connection; no method may block."""

    def messages_received(self, messages: list[bytes | str]) -> None:
        """Process all whole messages of one read; str for text frames."""

    def writing_resumed(self) -> None:
        """Resume sending: ``writable`` is True again."""

    def connection_closed(self, closed: Closed) -> None:
        """Handle the end of the connection. This is the last call; it is not made if ``opened`` failed."""
