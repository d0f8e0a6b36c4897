"""What flags and environment variables say about credentials."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overrides:
    """The flags that bear on credentials; None, False and empty where one was not given.

    Args:
        session_token_duration, role_duration: seconds.
        session: session token credentials instead of the role's.
        refresh: nothing from the cache.
        policy: JSON text, or ``file://`` and a path.
    """

    region: str | None = None
    session_token_duration: int | None = None
    role_duration: int | None = None
    mfa_serial: str | None = None
    otp: str | None = None
    mfa_process: str | None = None
    external_id: str | None = None
    session: bool = False
    refresh: bool = False
    role_session_name: str | None = None
    session_tags: tuple[tuple[str, str], ...] = ()
    transitive_tags: tuple[str, ...] = ()
    source_identity: str | None = None
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Overrides(...)"  # may hold an MFA code
