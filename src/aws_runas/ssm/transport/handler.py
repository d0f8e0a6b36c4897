"""The two interfaces between a session and its data channel: callbacks of the session, methods of the channel."""

from __future__ import annotations

from typing import Protocol

from aws_runas.ssm.core.events import SessionStarted


class SessionHandler(Protocol):
    """Called by DataChannel on the event loop; nothing here may block. One handler per session."""

    def session_started(self, event: SessionStarted) -> None:
        """Begin: data may flow."""

    def data_received(self, data: bytes, payload_type: int) -> None:
        """Take stream data, in order.

        Args:
            data: decrypted.
            payload_type: 1 output, 11 standard error.
        """

    def exit_code_received(self, exit_code: int) -> None:
        """Take the exit status of the remote command."""

    def flag_received(self, flag: int) -> None:
        """Handle a flag: 3 is ConnectToPortError."""

    def writable(self) -> None:
        """Continue to send: `DataChannel.send_capacity` is above zero again."""

    def connection_lost(self, reason: str) -> None:
        """Note that the connection is gone and is being resumed. Data is kept."""

    def connection_regained(self, seconds: float) -> None:
        """Note that the connection was resumed.

        Args:
            seconds: without a connection.
        """

    def session_ended(self, error: Exception | None, output: str) -> None:
        """Handle the end of the session. This is the last call.

        Args:
            error: None at an ordinary end, else a SessionError.
            output: the service's text, often "".
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
        """Send the terminal's size in characters."""
        ...

    def send_flag(self, flag: int) -> None:
        """Send DisconnectToPort or TerminateSession, behind the data written before."""
        ...

    def pause_reading(self) -> None:
        """Stop reading from the connection: the local side accepts nothing now."""
        ...

    def resume_reading(self) -> None:
        """Undo pause_reading."""
        ...

    def check_connection(self) -> None:
        """Find out soon whether the WebSocket still works: ping it, or try at once to resume if it is lost."""
        ...

    def agent_silent_for(self) -> float:
        """Return for how many seconds the agent has sent nothing although it owes an acknowledgement.

        0.0 if it owes none, if the connection is lost, or if reading is paused.
        """
        ...

    async def drained(self) -> None:
        """Wait until all that was written is acknowledged, or the session has ended."""
        ...

    async def terminate(self) -> None:
        """End the session at the service (flag and TerminateSession), then close. Idempotent."""
        ...
