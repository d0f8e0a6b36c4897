"""What a data channel needs of AWS, as an interface: ssm.api implements it, tests hand in their own."""

from __future__ import annotations

from typing import Protocol

from aws_runas.errors import SessionError


class SessionGone(SessionError):  # noqa: N818 - says what happened
    """The service does not know the session any more: nothing can be resumed."""


class ServiceUnavailable(SessionError):  # noqa: N818 - says what happened
    """AWS could not be asked, or was too busy to answer: the same call may work later."""


class CredentialsRefused(SessionError):  # noqa: N818 - says what happened
    """AWS refuses the credentials or what they permit; with renewed ones the call may work."""


class SessionService(Protocol):
    """The calls behind a session. Each may block for seconds; the data channel makes them in a thread of their own."""

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
        """Does the service still hold the session? None where it would not say."""
        ...

    def stream_headers(self, url: str) -> list[tuple[str, str]]:
        """Headers that sign the WebSocket's opening request (spec 13.1); [] where the address is signed already."""
        ...

    def data_key(self, kms_key_id: str, encryption_context: dict[str, str]) -> tuple[bytes, bytes]:
        """GenerateDataKey: 64 bytes of key, and the same encrypted for the agent."""
        ...

    def renew_credentials(self) -> None:
        """Fetch new credentials: the last ones were refused."""
        ...
