"""What the rest of the program knows of credentials: the values, and who gives them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from aws_runas import redact


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of AWS credentials.

    Args:
        access_key_id: ``AKIA...`` for a user's own keys, ``ASIA...`` for temporary ones.
        secret_access_key: never shown, never logged.
        session_token: None for a user's own keys.
        expiration: when they end, aware, UTC; None when they do not.
        issued: when they were made, aware, UTC; None where that is unknown. Life counts from here to expiration.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    expiration: datetime | None = None
    issued: datetime | None = None

    def __repr__(self) -> str:
        return f"Credentials({redact.key_id(self.access_key_id)!r}, expiration={self.expiration})"


class Provider(Protocol):
    """Gives credentials; asked again, the same ones until they near their end. Safe to call from any thread."""

    def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return credentials that are good for a while yet.

        Args:
            refresh: fetch anew even where the cached ones would do.

        Raises:
            CredentialsError: they cannot be had.
            ConfigError: the profile is incomplete.
        """
        ...
