"""Credentials as the rest of the program knows them: the values, and their providers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
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


def checked(
    access_key_id: object, secret_access_key: object, session_token: object, *, expiration: datetime | None, now: float
) -> Credentials:
    """Make credentials of values that somebody else sent: a reply, a process, a metadata server.

    Args:
        access_key_id, secret_access_key, session_token: as they came; the last may be None or empty.
        expiration: aware.
        now: seconds since the epoch, becomes ``issued``.

    Raises:
        ValueError: one is missing or cannot be a key; the message names it and holds no value.
    """
    values = {"access key id": access_key_id, "secret access key": secret_access_key}
    if session_token not in (None, ""):
        values["session token"] = session_token
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            raise ValueError(f"the {name} is missing")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError(f"the {name} has characters that no {name} has")
    return Credentials(
        str(access_key_id),
        str(secret_access_key),
        str(session_token) if session_token else None,
        expiration=expiration.astimezone(UTC) if expiration else None,
        issued=datetime.fromtimestamp(now, UTC),
    )


def parse_time(text: object) -> datetime:
    """Read a time in ISO 8601, in UTC where it names no zone.

    Raises:
        ValueError: it is none, or none that can be meant.
    """
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        if moment is not None and 1970 <= moment.year < 9999:  # a zone cannot move these beyond what datetime holds
            return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("the expiration is not a time")


class Provider(Protocol):
    """Gives credentials; asked again, the same ones until they near their end. Safe to call from any thread."""

    def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return credentials that are good for a while yet.

        Args:
            refresh: fetch new ones even if the cached ones are valid.

        Raises:
            CredentialsError: they cannot be had.
            ConfigError: the profile is incomplete.
        """
        ...
