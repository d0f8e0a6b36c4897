"""Console settings of a profile: its keys, the sign-in method, and the limit of the session duration.

Source: AWS IAM User Guide, "Enable custom identity broker access to the AWS console". According to user reports, AWS
refuses SessionDuration with chained roles and with GetFederationToken, and all session tokens.
"""

from __future__ import annotations

import shlex
from typing import Literal

from aws_runas.aws.credentials import Credentials
from aws_runas.config.durations import CHAINED_ROLE_LIMIT
from aws_runas.config.profile import (
    FederatedSource,
    KeyringSource,
    KeySource,
    NoSource,
    Profile,
    ResolverSource,
    Setting,
)
from aws_runas.config.roles import read_policy
from aws_runas.errors import ConfigError

ALLOW_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'

# Browsers with profiles, and the possible program names of each.
_CHROMIUM_BROWSERS = {
    "brave": ("brave-browser", "brave"),
    "chrome": ("google-chrome", "google-chrome-stable", "chrome"),
    "chromium": ("chromium", "chromium-browser"),
    "edge": ("microsoft-edge", "microsoft-edge-stable", "msedge"),
    "vivaldi": ("vivaldi", "vivaldi-stable"),
}
_MAC_APPLICATIONS = {
    "brave": "Brave Browser",
    "chrome": "Google Chrome",
    "chromium": "Chromium",
    "edge": "Microsoft Edge",
    "vivaldi": "Vivaldi",
}


def find_setting(profile: Profile, key: str) -> Setting[str] | None:
    """Return a setting from the profile, else from its source profile, else from ``[default]``."""
    for name in (profile.section, profile.source_profile, "default"):
        section = profile.sections.get(name or "")
        text = section.text(key) if section is not None else None
        if section is not None and text:
            return Setting(text, section.origin(key))
    return None


def federation_policy(profile: Profile) -> str:
    """Return the policy of a federated user: ``console_policy``, else one that restricts nothing.

    Raises:
        ConfigError: the policy is not JSON, or its file cannot be read.
    """
    setting = find_setting(profile, "console_policy")
    return (read_policy(setting.value, setting.origin) if setting else None) or ALLOW_ALL


def browser_commands(name: str, profile: str, platform: str) -> list[str]:
    """Return command lines that may open a browser with a separate browser profile for an AWS profile.

    Args:
        name: value of ``console_browser``.
        profile: the AWS profile.
        platform: as `sys.platform`.

    Returns:
        Candidates, of which the first existing one is used; the value itself for an unknown browser.
    """
    if name not in _CHROMIUM_BROWSERS:
        return [name]
    directory = shlex.quote(f"--profile-directory=aws-runas {_plain(profile)}")
    if platform == "darwin":
        return [f"open -na {shlex.quote(_MAC_APPLICATIONS[name])} --args {directory} %s"]
    return [f"{program} {directory} %s" for program in _CHROMIUM_BROWSERS[name]]


def _plain(text: str) -> str:
    """Return a name that is valid for a directory."""
    return "".join(letter if letter.isalnum() or letter in "-_.@ " else "-" for letter in text)[:80].strip(". ")


def portal_settings(profile: Profile) -> tuple[dict[str, str], str]:
    """Return the settings of an Identity Center profile, and where they are set.

    Raises:
        ConfigError: the profile names a session without a section.
    """
    source = profile.source
    section = profile.sections[(source.profile if isinstance(source, ResolverSource) else None) or "default"]
    values = {key: value for key, value in section.values.items() if isinstance(value, str)}
    place = f"profile {section.name}"
    name = section.text("sso_session")
    if not name:
        return values, place
    if name not in profile.sso_sessions:
        raise ConfigError(
            f"{place} names sso_session {name}, which has no section",
            code="sso-session-not-found",
            hint=f"add [sso-session {name}], or correct {section.origin('sso_session')}",
        )
    session = {key: value for key, value in profile.sso_sessions[name].items() if isinstance(value, str)}
    return values | session, f"{place} and its sso-session {name}"


Way = Literal["portal", "direct", "federated", "chained", "user", "unknown"]
SHORTEST, LONGEST = 900, 43200  # seconds of SessionDuration
NAME_LENGTH = 32  # characters of the Name of GetFederationToken
_FEDERATED_SOURCES = frozenset({"web-identity", "environment-web-identity"})


def find_way(profile: Profile, *, federation: bool) -> Way:
    """Return the method by which a profile signs in.

    Args:
        federation: do not use the portal of Identity Center.

    Returns:
        "portal": the shortcut link of Identity Center. "direct": role credentials that may have a SessionDuration, from
        AssumeRole with long-term keys, SAML or a web identity. "federated": role credentials from Identity Center, for
        which this is unknown. "chained": role credentials that may not have one. "user": keys
        of a user, with GetFederationToken. "unknown": only STS can tell.
    """
    source = profile.source
    if profile.roles and not profile.use_session_token:
        own_keys = isinstance(source, KeyringSource) or (isinstance(source, KeySource) and source.session_token is None)
        kept = profile.roles[-1].duration.value <= CHAINED_ROLE_LIMIT  # such a role is assumed with a session token
        return "direct" if own_keys and len(profile.roles) == 1 and not kept else "chained"
    if isinstance(source, KeyringSource):
        return "user"
    if isinstance(source, KeySource):
        return "user" if source.session_token is None else "unknown"
    if isinstance(source, NoSource):
        return "unknown"
    if isinstance(source, FederatedSource):
        return "direct"
    if source.kind == "sso":
        return "federated" if federation else "portal"
    return "direct" if source.kind in _FEDERATED_SOURCES else "unknown"


def session_duration(way: Way, asked: int | None, credentials: Credentials, now: float) -> int | None:
    """Return the SessionDuration to send, in seconds; None to send none.

    Args:
        asked: value of ``-d``; sent unless AWS is known to refuse it.
        credentials: used for the sign-in.
        now: seconds since the epoch.
    """
    if way == "chained" or way == "user":
        return None
    if asked is not None:
        return asked
    if way != "direct" or credentials.expiration is None:
        return None
    left = int(credentials.expiration.timestamp() - now)
    return min(left, LONGEST) if left >= SHORTEST else None


def can_sign_in(arn: str) -> bool:
    """Return True if temporary credentials of this identity can sign in: a role or a federated user."""
    return (
        arn.partition(":sts:")[2].partition(":")[2].partition(":")[2].startswith(("assumed-role/", "federated-user/"))
    )


def federation_name(arn: str) -> str:
    """Return the Name for GetFederationToken: the user's name, 2 to 32 characters."""
    name = arn.rpartition(":")[2].rpartition("/")[2][:NAME_LENGTH]
    return name if len(name) > 1 else f"{name}-user"
