"""The keys of a profile that say how its console is opened."""

from __future__ import annotations

import shlex

from aws_runas.config.profile import Profile, ResolverSource, Setting
from aws_runas.config.roles import read_policy
from aws_runas.errors import ConfigError

ALLOW_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'

# Browsers that have profiles, and the programs that each may be.
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
    """Return a key of the profile, else of its source profile, else of ``[default]``."""
    for name in (profile.section, profile.source_profile, "default"):
        section = profile.sections.get(name or "")
        text = section.text(key) if section is not None else None
        if section is not None and text:
            return Setting(text, section.origin(key))
    return None


def federation_policy(profile: Profile) -> str:
    """Return the policy of a federated user: ``console_policy``, else one that takes nothing away.

    Raises:
        ConfigError: it is no JSON, or its file cannot be read.
    """
    setting = find_setting(profile, "console_policy")
    return (read_policy(setting.value, setting.origin) if setting else None) or ALLOW_ALL


def browser_commands(name: str, profile: str, platform: str) -> list[str]:
    """Return the command lines that may open a browser with a profile of its own for an AWS profile.

    Args:
        name: value of ``console_browser``.
        profile: the AWS profile.
        platform: as `sys.platform`.

    Returns:
        Candidates, the first that exists counts; the value itself for a browser that is not known by name.
    """
    if name not in _CHROMIUM_BROWSERS:
        return [name]
    directory = shlex.quote(f"--profile-directory=aws-runas {_plain(profile)}")
    if platform == "darwin":
        return [f"open -na {shlex.quote(_MAC_APPLICATIONS[name])} --args {directory} %s"]
    return [f"{program} {directory} %s" for program in _CHROMIUM_BROWSERS[name]]


def _plain(text: str) -> str:
    """Return a name that can be that of a directory."""
    return "".join(letter if letter.isalnum() or letter in "-_.@ " else "-" for letter in text)[:80].strip(". ")


def portal_settings(profile: Profile) -> tuple[dict[str, str], str]:
    """Return the settings of an Identity Center profile, and where they are.

    Raises:
        ConfigError: it names a session that has no section.
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
