"""The global flags, parsed: what every command may look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GlobalFlags:
    """The values of the global flags; None and False where a flag was not given, so that other origins can count.

    Durations are in seconds. Environment variables are not merged in here: config.resolve does that, with the origin.
    """

    session_token_duration: int | None = None  # -d
    role_duration: int | None = None  # -a
    list_roles: bool = False
    list_mfa: bool = False
    expiration: bool = False
    make_conf: bool = False
    session: bool = False
    refresh: bool = False
    verbose: int = 0
    mfa_serial: str | None = None
    otp: str | None = None
    update: bool = False
    diagnose: bool = False
    ec2: bool = False
    ecs: bool = False
    env: bool = False
    output: str | None = None
    whoami: bool = False
    external_id: str | None = None
    write_credentials: bool = False
    port: int | None = None  # -p with --ec2 and --ecs
    extra: tuple[tuple[str, str], ...] = ()  # flags beyond the original, by long name

    def __repr__(self) -> str:
        return "GlobalFlags(...)"  # may hold an MFA code
