"""Credentials and their providers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from aws_runas import redact
from aws_runas.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Credentials:
    """One set of AWS credentials.

    Args:
        access_key_id: ``AKIA...`` for a user's own keys, ``ASIA...`` for temporary ones.
        secret_access_key: never shown, never logged.
        session_token: None for a user's own keys.
        expiration: when they expire, aware, UTC; None if they do not.
        issued: when they were issued, aware, UTC; None if unknown. Their lifetime is the time from issue to expiration.
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
    """Make credentials from received values: from a reply, a process or a metadata server.

    Args:
        access_key_id, secret_access_key, session_token: as received; the last may be None or empty.
        expiration: aware.
        now: seconds since the epoch, becomes ``issued``.

    Raises:
        ValueError: one is missing or cannot be a key; the message names it without its value.
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
    """Read a time in ISO 8601, in UTC if it has no time zone.

    Raises:
        ValueError: the text is not a time, or the time is out of range.
    """
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        if moment is not None and 1970 <= moment.year < 9999:  # no time zone moves these out of the range of datetime
            return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("the expiration is not a time")


class Provider(Protocol):
    """Gives credentials, the same ones until they are about to expire. Safe to call from any thread."""

    def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return credentials that remain valid for a while.

        Args:
            refresh: fetch new ones even if the cached ones are valid.

        Raises:
            CredentialsError: no credentials are available.
            ConfigError: the profile is incomplete.
        """
        ...
