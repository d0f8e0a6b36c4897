"""Profiles for the roles of Identity Center: names, text, and place in the config file.

Only sections with our marker key are changed or removed. Every other byte of the file is unchanged.
"""

from __future__ import annotations

import errno
import io
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from aws_runas import files
from aws_runas.config.files import ConfigFiles
from aws_runas.credentials.shared_file import locked, read_text, split_lines, with_section
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError

MARK = "runas_generated"  # key of a generated section; its value is the sso-session
PLACEHOLDERS = ("{account}", "{account_id}", "{role}", "{region}")
TEMPLATE = "{account}-{role}"
REGION_TEMPLATE = "{account}-{role}-{region}"
PLAIN = frozenset("-_.@+=,:/")  # characters allowed in a section name besides letters and digits


@dataclass(frozen=True, slots=True)
class AssignedRole:
    """A role for which a profile is generated."""

    account_name: str
    account_id: str
    role_name: str


@dataclass(frozen=True, slots=True)
class GeneratedProfile:
    """A profile and its keys."""

    name: str
    values: Mapping[str, str]

    @property
    def heading(self) -> str:
        """Return the section's heading, without brackets."""
        return f"profile {self.name}"

    def text(self) -> str:
        """Return the section as INI."""
        return f"[{self.heading}]\n" + "".join(f"{key} = {value}\n" for key, value in self.values.items())


@dataclass(frozen=True, slots=True)
class Update:
    """Result of an actual or planned update of the config file.

    Args:
        content: the new text of the file.
        added, changed, removed: names of profiles.
        clashes: names of existing sections that were not generated; they are skipped.
    """

    content: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    clashes: tuple[str, ...]


def check_template(template: str) -> str:
    """Return a template for names if it has only known placeholders.

    Raises:
        ValueError: the template has unknown placeholders; the message can be shown.
    """
    rest = template
    for placeholder in PLACEHOLDERS:
        rest = rest.replace(placeholder, "")
    if "{" in rest or "}" in rest or not template.strip():
        raise ValueError(f"{template!r} may have {', '.join(PLACEHOLDERS)} and no other braces")
    return template


def generate(
    roles: Sequence[AssignedRole], session: str, regions: Sequence[str], template: str | None = None
) -> list[GeneratedProfile]:
    """Generate the profiles of roles, in the order of the roles.

    Args:
        session: name of the sso-session.
        regions: one profile for each region; if empty, profiles without a region.
        template: for the names; None for the default.
    """
    pattern = template or (REGION_TEMPLATE if len(regions) > 1 else TEMPLATE)
    account_names = _account_names(roles)
    found: dict[str, GeneratedProfile] = {}
    for role in roles:
        for region in regions or ("",):
            name = pattern.replace("{account}", account_names[role.account_id])
            name = name.replace("{account_id}", role.account_id).replace("{role}", role.role_name)
            name = section_name(name.replace("{region}", region)) or role.account_id
            if name in found:
                name = f"{name}-{role.account_id}" if f"{name}-{role.account_id}" not in found else ""
            if name:
                found[name] = GeneratedProfile(name, _values(role, session, region))
    return list(found.values())


def section_name(text: str) -> str:
    """Replace characters that are invalid in a section name or special in a shell with ``-``."""
    return "".join(letter if letter.isalnum() or letter in PLAIN else "-" for letter in text).lstrip("-")


def update(
    text: str,
    config: ConfigFiles,
    profiles: Iterable[GeneratedProfile],
    session: str,
    *,
    assigned: Iterable[AssignedRole] | None = None,
) -> Update:
    """Merge generated profiles into the text of a config file.

    Args:
        text: of the config file.
        config: the same file, parsed, with the credentials file.
        session: name of the sso-session.
        assigned: every assigned role; sections of all others are removed. None to remove nothing.
    """
    own = {name: section for name, section in config.profiles.items() if section.text(MARK) == session}
    added, changed, clashes = [], [], []
    for profile in profiles:
        existing = config.profiles.get(profile.name)
        if existing is None:
            text = with_section(text, profile.heading, dict(profile.values))
            added.append(profile.name)
        elif profile.name not in own or profile.name in config.credentials.sections:
            clashes.append(profile.name)
        elif any(existing.text(key) != value for key, value in profile.values.items()):
            text = with_section(text, _heading(config, profile), dict(profile.values))
            changed.append(profile.name)
    removed = []
    if assigned is not None:
        known = {(role.account_id, role.role_name) for role in assigned}
        for name, section in own.items():
            if (section.text("sso_account_id"), section.text("sso_role_name")) not in known:
                text = _without(text, name)
                removed.append(name)
    return Update(text, tuple(added), tuple(changed), tuple(removed), tuple(clashes))


def edit(path: Path, change: Callable[[str], str]) -> None:
    """Change the config file, one process at a time, and keep the old content in a file with the suffix ``.bak``.

    Args:
        path: the file; created if missing.
        change: returns the new text for the current one, "" if there is no file. Called with the lock held, so the
            file has the given text, unless a program that does not use the lock changes it.

    Raises:
        ConfigError: the file cannot be written, or another program has changed it in the meantime.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "not a plain file")
        with locked(path):
            before = read_text(path)
            content = change(before)
            if content != before:
                _replace(path, before, content)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}",
            code="config-file-unwritable",
            hint=files.write_hint(error, "make it writable for you, or name another in AWS_CONFIG_FILE"),
        ) from None


def _replace(path: Path, before: str, content: str) -> None:
    if path.exists():
        copy = path.with_name(f"{path.name}.bak")
        copy.unlink(missing_ok=True)  # the mode of an old copy could give others more access than the file's
        files.write_atomic(copy, before.encode())
    if read_text(path) != before:
        raise OSError(errno.EBUSY, "another program has changed it meanwhile")
    files.write_atomic(path, content.encode())


def _account_names(roles: Sequence[AssignedRole]) -> dict[str, str]:
    """Return a name for each account id; if accounts have the same name, their id is appended."""
    names = {role.account_id: section_name(role.account_name) or role.account_id for role in roles}
    count = Counter(names.values())
    return {account: name if count[name] == 1 else f"{name}-{account}" for account, name in names.items()}


def _values(role: AssignedRole, session: str, region: str) -> dict[str, str]:
    values = {"sso_session": session, "sso_account_id": role.account_id, "sso_role_name": role.role_name}
    return values | ({"region": region} if region else {}) | {MARK: session}


def _heading(config: ConfigFiles, profile: GeneratedProfile) -> str:
    """Return the heading of a section as written in the file, where its words may be quoted."""
    return next(
        (heading for heading in config.config.sections if _words(heading) == ["profile", profile.name]), profile.heading
    )


def _without(text: str, name: str) -> str:
    """Remove a section from its heading to its last key. Comments after it stay, as they may belong to the next one."""
    lines = list(io.StringIO(text, newline=""))
    parts = list(split_lines(lines))
    start = next(
        (index for index, part in enumerate(parts) if part[0] == "heading" and _words(part[1]) == ["profile", name]),
        None,
    )
    if start is None:
        return text
    end = next((index for index in range(start + 1, len(parts)) if parts[index][0] == "heading"), len(parts))
    last = max((index for index in range(start, end) if parts[index][0] == "key"), default=start)
    if start and not lines[start - 1].strip():
        start -= 1  # the blank line that was added with the section
    elif last + 1 < len(lines) and not lines[last + 1].strip():
        last += 1
    return "".join(lines[:start] + lines[last + 1 :])


def _words(heading: str) -> list[str]:
    try:
        return shlex.split(heading)
    except ValueError:
        return []
