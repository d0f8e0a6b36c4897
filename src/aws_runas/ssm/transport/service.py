"""The AWS calls behind a data channel, as an interface: ssm.api implements it, and tests pass their own."""

from __future__ import annotations

from typing import Protocol

from aws_runas.errors import SessionError


class SessionGone(SessionError):  # noqa: N818 - says what happened
    """The service no longer knows the session, so it cannot be resumed."""


class ServiceUnavailable(SessionError):  # noqa: N818 - says what happened
    """AWS did not answer or was too busy. The same call may succeed later."""


class CredentialsRefused(SessionError):  # noqa: N818 - says what happened
    """AWS refused the credentials or their permissions. With renewed ones the call may succeed."""


class SessionService(Protocol):
    """The calls behind a session. Each may block for seconds, so the data channel makes them in threads."""

    def resume_session(self, session_id: str) -> tuple[str, str]:
        """Return a new token and the new stream address, "" where the old one stays good.

        Raises:
            SessionGone, ServiceUnavailable, CredentialsRefused, CredentialsError: as their names say.
        """
        ...

    def prepare_resume(self) -> None:
        """Have a connection to the service ready, so that ``resume_session`` is quick. Best effort, raises nothing."""
        ...

    def terminate_session(self, session_id: str) -> None:
        """End the session at the service; ending an ended one is no error."""
        ...

    def session_is_active(self, session_id: str) -> bool | None:
        """Return True if the service still has the session, None if it does not say."""
        ...

    def stream_headers(self, url: str) -> list[tuple[str, str]]:
        """Return headers that sign the WebSocket's opening request (spec 13.1); [] if the address is signed already."""
        ...

    def data_key(self, kms_key_id: str, encryption_context: dict[str, str]) -> tuple[bytes, bytes]:
        """Call GenerateDataKey; return 64 bytes of key, and the same encrypted for the agent."""
        ...

    def renew_credentials(self) -> None:
        """Fetch new credentials, because the last ones were refused."""
        ...
