"""IAM Identity Center in the config file: sso-session sections, and profiles that name one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from aws_runas.config.files import ConfigFiles, ProfileSection, Section
from aws_runas.config.headings import heading_of
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError

DEFAULT_SCOPES = ("sso:account:access",)
FLOW_VARIABLE = "RUNAS_LOGIN_FLOW"

Flow = Literal["auto", "browser", "device"]
FLOWS: tuple[Flow, ...] = ("auto", "browser", "device")


@dataclass(frozen=True, slots=True)
class SsoSession:
    """The settings of an Identity Center session.

    Args:
        name: of the sso-session; "" for a profile that contains the settings itself (legacy).
        start_url: as configured; it names the token file of a legacy profile.
        region: of Identity Center.
        scopes: of the registration.
        flow: how to sign in.
    """

    name: str
    start_url: str
    region: str
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    flow: Flow = "auto"

    @property
    def is_legacy(self) -> bool:
        """Return True for a profile without an sso-session: device code, no scopes, no refresh token."""
        return not self.name

    @property
    def label(self) -> str:
        """Return the display name of the session."""
        return self.name or self.start_url

    @property
    def token_key(self) -> str:
        """Return the text whose SHA-1 names the token file."""
        return self.name or self.start_url


@dataclass(frozen=True, slots=True)
class SsoRole:
    """A role for which Identity Center gives credentials."""

    session: SsoSession
    account_id: str
    role_name: str


def sso_role(
    section: ProfileSection, sso_sessions: Mapping[str, Section], environ: Mapping[str, str] | None = None
) -> SsoRole:
    """Read the role of an SSO profile.

    Args:
        section: of the profile.
        sso_sessions: the sections ``[sso-session NAME]``, by name.
        environ: may set the flow; None for no variables.

    Raises:
        ConfigError: a section or a setting is missing, or two settings contradict each other.
    """
    name = section.text("sso_session")
    place = f"profile {section.name}"
    if name:
        session = sso_session(sso_sessions, name, environ, referrer=section)
        _check_same(section, session)
    else:
        values = {key: section.text(key) for key in ("sso_start_url", "sso_region")}
        for key, value in values.items():
            if not value:
                raise _incomplete(place, key)
        session = SsoSession(
            "", values["sso_start_url"] or "", values["sso_region"] or "", (), _flow({}, environ, place)
        )
    account, role = section.text("sso_account_id"), section.text("sso_role_name")
    if not account or not role:
        raise _incomplete(place, "sso_role_name" if account else "sso_account_id")
    return SsoRole(session, account, role)


def sso_session(
    sections: Mapping[str, Section],
    name: str,
    environ: Mapping[str, str] | None = None,
    *,
    referrer: ProfileSection | None = None,
) -> SsoSession:
    """Read an sso-session.

    Args:
        referrer: the profile that names it.

    Raises:
        ConfigError: the section does not exist, or lacks a setting.
    """
    values = sections.get(name)
    if values is None:
        where = f"; see {referrer.origin('sso_session')}" if referrer else ""
        known = f"known are: {', '.join(sections)}" if sections else "there is none"
        raise ConfigError(
            f"sso-session {name} does not exist" + (f" (profile {referrer.name} names it)" if referrer else ""),
            code="sso-session-not-found",
            hint=f"add [{heading_of('sso-session', name)}] with sso_start_url and sso_region{where}; {known}",
        )
    place = f"sso-session {name}"
    url, region = _text(values, "sso_start_url"), _text(values, "sso_region")
    if not url or not region:
        raise _incomplete(place, "sso_region" if url else "sso_start_url")
    scopes = tuple(scope.strip() for scope in _text(values, "sso_registration_scopes").split(",") if scope.strip())
    return SsoSession(name, url, region, scopes or DEFAULT_SCOPES, _flow(values, environ, place))


def only_session(files: ConfigFiles, environ: Mapping[str, str]) -> SsoSession | None:
    """Return the sso-session if the config file has exactly one."""
    names = list(files.sso_sessions)
    return sso_session(files.sso_sessions, names[0], environ) if len(names) == 1 else None


def _check_same(section: ProfileSection, session: SsoSession) -> None:
    for key, value in (("sso_start_url", session.start_url), ("sso_region", session.region)):
        own = section.text(key)
        if own and own != value:
            raise ConfigError(
                f"{key} is {own} in profile {section.name} and {value} in sso-session {session.name}",
                code="source-contradictory",
                hint=f"remove it from the profile: {section.origin(key)}",
            )


def _incomplete(place: str, key: str) -> ConfigError:
    return ConfigError(f"{place} has no {key}", code="sso-incomplete", hint=f"add {key} = ... to {place}")


def _flow(values: Section, environ: Mapping[str, str] | None, place: str) -> Flow:
    given = (environ or {}).get(FLOW_VARIABLE, "").strip()
    text, origin = (given, FLOW_VARIABLE) if given else (_text(values, "sso_login_flow") or "auto", place)
    for flow in FLOWS:
        if text.lower() == flow:
            return flow
    raise ConfigError(
        f"sign-in flow {text!r} ({origin}) is unknown", code="login-flow-invalid", hint="use auto, browser or device"
    )


def _text(values: Section, key: str) -> str:
    value = values.get(key)
    return value.strip() if isinstance(value, str) else ""
