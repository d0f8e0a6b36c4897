"""The lines of a profile that hold its access keys or name their keyring item."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from aws_runas.config.files import KEY_NAMES, ConfigFiles, ParsedFile, ProfileSection, profile_heading
from aws_runas.credentials.shared_file import change_sections
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, CredentialsError
from aws_runas.fast.names import COMMANDS
from aws_runas.store.items import KeyPair

LINES = ("aws_access_key_id", "aws_secret_access_key")
KEYRING_LINES = ("keyring", "keyring_key_id")


@dataclass(frozen=True, slots=True)
class PlainKeys:
    """Access keys in a file.

    Args:
        path: of the file.
        heading: of the section.
        pair: the keys.
        origin: for messages.
    """

    path: Path
    heading: str
    pair: KeyPair = field(repr=False)
    origin: str


def plain_keys(files: ConfigFiles, name: str) -> PlainKeys | None:
    """Return the long-term keys of a profile: from the credentials file, else from the config file.

    Raises:
        ConfigError: a key id without its secret, or a secret without its key id.
        CredentialsError: the keys are temporary.
    """
    for parsed, heading in ((files.credentials, name), (files.config, profile_heading(files.config, name))):
        section = parsed.sections.get(heading, {})
        key_id, secret = (_text(section, key) for key in LINES)
        if not key_id and not secret:
            continue
        origin = f"[{heading}] in {parsed.path}, line {parsed.lines.get((heading, LINES[0]), '?')}"
        if not key_id or not secret:
            raise ConfigError(
                f"{origin}: one of {' and '.join(LINES)} is missing", code="keys-incomplete", hint="add both keys"
            )
        if _text(section, "aws_session_token") or _text(section, "aws_security_token"):
            raise temporary_keys(origin)
        return PlainKeys(parsed.path, heading, KeyPair(key_id, secret), origin)
    return None


def temporary_keys(origin: str) -> CredentialsError:
    """Return the error for temporary keys, which do not belong in a keyring."""
    return CredentialsError(
        f"{origin} are temporary keys",
        code="keys-temporary",
        hint="name a profile that has the long-term keys of an IAM user",
    )


def remove_key_lines(keys: PlainKeys) -> None:
    """Remove the two key lines from their file. No copy of the old content is kept.

    Raises:
        ConfigError: the file cannot be written; it is unchanged.
    """
    change_sections(keys.path, {keys.heading: dict.fromkeys(LINES)})


def check_section_name(name: str) -> None:
    """Refuse a profile name that cannot be a section name.

    Raises:
        ConfigError: the name has brackets or control characters, or spaces at an end, which a value cannot have.
    """
    if name != name.strip() or any(character in "[]" or not character.isprintable() for character in name):
        raise ConfigError(
            f"{name!r} cannot be the name of a section",
            code="section-name-invalid",
            hint="give the profile a plainer name",
        )


def set_keyring_lines(files: ConfigFiles, name: str, values: Mapping[str, str]) -> None:
    """Write lines of a profile to the config file, and remove the same lines from the credentials file.

    Args:
        files: as read.
        name: of the profile; a missing section is added.
        values: ``keyring``, ``keyring_key_id`` and the like.

    Raises:
        ConfigError: the name cannot be a section name, or the file cannot be written.
    """
    check_section_name(name)
    change_sections(files.config.path, {profile_heading(files.config, name): values})
    if any(key in files.credentials.sections.get(name, {}) for key in values):
        change_sections(files.credentials.path, {name: dict.fromkeys(values)})


def process_line(name: str) -> str:
    """Return the ``credential_process`` that gives other SDKs the session token of a profile."""
    flag = "--profile " if name in COMMANDS or name.startswith("-") else ""
    return f"aws-runas -s -O json {flag}{shlex.quote(name)}"


def remove_keyring_lines(files: ConfigFiles, name: str) -> None:
    """Remove ``keyring`` and ``keyring_key_id`` of a profile from both files.

    A `process_line` is removed too: without keys, it would make aws-runas run itself in a cycle.

    Raises:
        ConfigError: a file cannot be written.
    """
    for parsed, heading in _places(files, name):
        section = parsed.sections.get(heading, {})
        lines = [key for key in KEYRING_LINES if key in section]
        if _text(section, "credential_process") == process_line(name):
            lines.append("credential_process")
        if lines:
            change_sections(parsed.path, {heading: dict.fromkeys(lines)})


def adopt_key_id(files: ConfigFiles, keyring: str, key_id: str) -> None:
    """Write the key id to every profile that uses a keyring item.

    Args:
        files: as read.
        keyring: name of the item.
        key_id: the new key id.

    Raises:
        ConfigError: a file cannot be written.
    """
    names = profiles_of(files, keyring)
    for parsed, key in ((files.config, "config"), (files.credentials, "credentials")):
        headings = [profile_heading(parsed, name) if key == "config" else name for name in names]
        changed = [heading for heading in headings if "keyring_key_id" in parsed.sections.get(heading, {})]
        if changed:
            change_sections(parsed.path, {heading: {"keyring_key_id": key_id} for heading in changed})


def profiles_of(files: ConfigFiles, keyring: str) -> list[str]:
    """Return the profiles whose keys are in the keyring item of this name."""
    return [name for name, section in files.profiles.items() if section.text("keyring") == keyring]


def with_keys(files: ConfigFiles, name: str, pair: KeyPair) -> ConfigFiles:
    """Return the files as if a profile had only these keys, to test the keys. No file is changed.

    Args:
        files: as read.
        name: of the profile, which need not exist.
        pair: the keys to test.
    """
    section = files.profiles.get(name) or ProfileSection(name, {}, {})
    sources = {*KEY_NAMES, *KEYRING_LINES, "role_arn", "source_profile", "credential_source", "credential_process"}
    sources |= {"web_identity_token_file", "sso_session", "sso_start_url", "login_session"}
    sources |= {"saml_auth_url", "web_identity_auth_url"}
    values = {key: value for key, value in section.values.items() if key not in sources}
    values |= dict(zip(LINES, (pair.access_key_id, pair.secret_access_key), strict=True))
    trial = ProfileSection(name, values, {**section.origins, LINES[0]: "the new keys"}, keys_shared=True)
    return replace(files, profiles={**files.profiles, name: trial})


def with_key_id(files: ConfigFiles, old: str, new: str) -> ConfigFiles:
    """Return the files with one key id replaced by another in every profile, for the names of cache entries.

    Args:
        files: as read.
        old, new: key ids.
    """
    profiles = {}
    for name, section in files.profiles.items():
        ids = {key: new for key in (LINES[0], KEYRING_LINES[1]) if section.text(key) == old}
        profiles[name] = replace(section, values={**section.values, **ids}) if ids else section
    return replace(files, profiles=profiles)


def _places(files: ConfigFiles, name: str) -> tuple[tuple[ParsedFile, str], ...]:
    return (files.config, profile_heading(files.config, name)), (files.credentials, name)


def _text(section: Mapping[str, object], key: str) -> str:
    value = section.get(key)
    return value.strip() if isinstance(value, str) else ""
