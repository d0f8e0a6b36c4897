"""Picker for profiles on the terminal, for ``--pick`` and the key ``pick``. The most used profiles come first.

The number of uses and the time of the last one are kept for each profile, without its name. The cached path does not
count, so a profile that is used all day counts about once an hour.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from aws_runas import files
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set
from aws_runas.config.files import ProfileSection
from aws_runas.config.lookup import asks_for_picker
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, UsageError

FILE_NAME = "profile-uses"  # in the cache directory
MAX_PROFILES = 1000  # kept; the least recently used one is removed first
MAX_SIZE = 128 * 1024  # bytes
HALF_LIFE = 14 * 24 * 3600.0  # seconds after which a use counts half


@dataclass(frozen=True, slots=True)
class Use:
    """Uses of one profile.

    Args:
        count: number of uses.
        last: time of the last use, seconds since the epoch.
    """

    count: int
    last: int

    def weight(self, now: float) -> float:
        """Return the current weight of the uses.

        Args:
            now: seconds since the epoch.
        """
        return float(self.count * 0.5 ** (max(0.0, now - self.last) / HALF_LIFE))


class ProfileUses:
    """The file of uses.

    Args:
        directory: the cache directory; nothing is written if it is missing or not private.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def order(self, names: Iterable[str], now: float) -> list[str]:
        """Return names with the most used first, then unused ones in the given order.

        Args:
            names: names of profiles.
            now: seconds since the epoch.
        """
        uses = self._read()
        unused = Use(0, 0)
        return sorted(names, key=lambda name: -uses.get(_key(name), unused).weight(now))

    def add(self, name: str, now: float) -> None:
        """Count a use. A failure to write is ignored.

        Args:
            name: name of the profile.
            now: seconds since the epoch.
        """
        uses = self._read()
        key = _key(name)
        uses[key] = Use(uses.get(key, Use(0, 0)).count + 1, int(now))
        kept = sorted(uses.items(), key=lambda item: item[1].last, reverse=True)[:MAX_PROFILES]
        content = "".join(f"{key} {use.count} {use.last}\n" for key, use in kept)
        try:
            with files.open_private_directory(self._directory, create=False) as directory:
                directory.write(FILE_NAME, content.encode())
        except OSError:
            return

    def _read(self) -> dict[str, Use]:
        """Return the uses by key; damaged lines are ignored."""
        found: dict[str, Use] = {}
        try:
            with files.open_private_directory(self._directory, create=False) as directory:
                descriptor = directory.open(FILE_NAME, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
                with os.fdopen(descriptor, "rb") as stream:
                    content = stream.read(MAX_SIZE)
        except OSError:
            return found
        for line in content.decode("ascii", "replace").splitlines():
            key, _, numbers = line.partition(" ")
            count, _, last = numbers.partition(" ")
            if len(key) == len(_key("")) and _is_number(count) and _is_number(last):
                found[key] = Use(int(count), int(last))
        return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _key(name: str) -> str:
    """Return the key of a name in the file, which does not reveal the name."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


_ROLE = re.compile(r"arn:[^:]+:iam::([0-9]{12}):role/(?:.*/)?([^/]+)")
_COLOR = re.compile(r"#?([0-9a-fA-F]{6})")
# A [default] with only these has no credentials, so it is not offered.
_GENERAL_KEYS = frozenset(("pick", "region", "output", "cli_pager", "retry_mode", "max_attempts", "ca_bundle"))


@dataclass(frozen=True, slots=True)
class Choice:
    """A profile as the picker shows it.

    Args:
        name: name of the profile.
        account: its number, "" if the files do not contain it.
        role: name of the role, "" if the profile has none.
        region: "" if none is configured.
        color: six hex digits: the color of the profile, else of its account; "" without either.
    """

    name: str
    account: str = ""
    role: str = ""
    region: str = ""
    color: str = ""


def is_wanted(flags: GlobalFlags, profile: str | None, env: Environment) -> bool:
    """Return True if the user should choose the profile.

    Args:
        flags: ``--pick``.
        profile: profile on the command line, if any.
        env: its files may have the key ``pick``, which applies only if no profile is named and stderr is a terminal.

    Raises:
        ConfigError: the key has a value other than yes and no.
        UsageError: a profile is named together with ``--pick``.
    """
    if flags.pick and (profile is not None or flags.profile is not None):
        raise UsageError(
            "--pick and --profile cannot be combined", code="flag-unsuitable", hint="leave one of them out"
        )
    if flags.pick:
        return True
    if profile is not None or flags.profile is not None or is_profile_set(env.environ):
        return False
    return flags.output is None and env.stderr.isatty() and asks_for_picker(env.config_files())


def pick_profile(flags: GlobalFlags, env: Environment) -> str | None:
    """Let the user choose a profile.

    Args:
        flags: ``--pick``.
        env: files, cache and clock.

    Returns:
        Its name; None if there are no profiles, or only the key ``pick`` requests the picker and there is no terminal.

    Raises:
        UsageError: ``--pick`` was given and there is no terminal.
        ConfigError: the user did not choose a profile.
        Interrupted: Ctrl-C.
    """
    from aws_runas.cli.terminal.picker import row_picker

    sections = env.config_files().profiles
    names = [name for name, section in sections.items() if name != "default" or set(section.values) - _GENERAL_KEYS]
    if len(names) < 2:
        return next(iter(names), None)
    pick = row_picker(env.environ)
    if pick is None:
        if flags.pick:
            raise UsageError(
                "there is no terminal to choose a profile on",
                code="pick-no-terminal",
                hint="name the profile, or run it on a terminal",
            )
        return None
    choices = [choice_of(sections[name], sections) for name in uses(env).order(names, env.now())]
    chosen = pick(rows_of(choices), [choice.color for choice in choices])
    if chosen is None:
        raise ConfigError("no profile was chosen", code="profile-not-picked")
    return choices[chosen].name


def choice_of(section: ProfileSection, sections: Mapping[str, ProfileSection]) -> Choice:
    """Return what the config files say about a profile, without resolving it.

    Args:
        section: section of the profile.
        sections: all profiles by name; the region may come from the source profile or from ``default``.
    """
    from aws_runas.identity.switch_roles import color_of

    role = _ROLE.fullmatch(section.text("role_arn") or "")
    account = role[1] if role else section.text("sso_account_id") or ""
    source = sections.get(section.text("source_profile") or "")
    regions = [each.text("region") for each in (section, source, sections.get("default")) if each is not None]
    color = _COLOR.fullmatch(section.text("color") or "")
    return Choice(
        section.name,
        account,
        role[2] if role else section.text("sso_role_name") or "",
        next((region for region in regions if region), ""),
        color[1].lower() if color else color_of(account) if account else "",
    )


def rows_of(choices: Sequence[Choice]) -> list[str]:
    """Lay out profiles as a table: name, account, role and region; control characters shown as ``?``.

    Args:
        choices: at least one.
    """
    from aws_runas.cli.terminal.picker import displayed

    cells = [[displayed(cell or "-") for cell in (one.name, one.account, one.role, one.region)] for one in choices]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in cells
    ]


def uses(env: Environment) -> ProfileUses:
    """Return the uses of the profiles of this user.

    Args:
        env: its variables and config file name the cache directory.
    """
    return ProfileUses(env.cache_directory())
