"""Values of the flags that affect credentials."""

from __future__ import annotations

from aws_runas.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class SignInFlags:
    """The flags of the sign-in with SAML or OIDC; None for each flag that was not given."""

    saml_url: str | None = None
    web_url: str | None = None
    web_client: str | None = None
    web_redirect: str | None = None
    provider: str | None = None
    username: str | None = None
    password: str | None = None
    saml_entity_id: str | None = None
    jump_role: str | None = None
    mfa_type: str | None = None

    def __repr__(self) -> str:
        return "SignInFlags(...)"  # may hold a password


@dataclass(frozen=True, slots=True)
class Overrides:
    """The flags that affect credentials; None, False or empty for each flag that was not given.

    Args:
        session_token_duration, role_duration: seconds.
        use_session_token: use the session token instead of the role.
        refresh: do not read the cache.
        policy: JSON text, or ``file://`` and a path.
        signin: of the sign-in with SAML or OIDC.
    """

    region: str | None = None
    session_token_duration: int | None = None
    role_duration: int | None = None
    mfa_serial: str | None = None
    otp: str | None = None
    mfa_process: str | None = None
    external_id: str | None = None
    use_session_token: bool = False
    refresh: bool = False
    role_session_name: str | None = None
    session_tags: tuple[tuple[str, str], ...] = ()
    transitive_tags: tuple[str, ...] = ()
    source_identity: str | None = None
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    signin: SignInFlags = SignInFlags()

    def __repr__(self) -> str:
        return "Overrides(...)"  # may hold an MFA code or a password
