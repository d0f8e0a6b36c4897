"""Choosing a profile on the terminal, for ``--pick`` and the key ``pick``: the most used ones first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set
from aws_runas.cli.profile_uses import ProfileUses
from aws_runas.config.files import ProfileSection
from aws_runas.config.lookup import asks_for_picker
from aws_runas.errors import ConfigError, UsageError

_ROLE = re.compile(r"arn:[^:]+:iam::([0-9]{12}):role/(?:.*/)?([^/]+)")
_COLOR = re.compile(r"#?([0-9a-fA-F]{6})")
# A [default] with nothing but these has no credentials of its own: it is no choice.
_GENERAL_KEYS = frozenset(("pick", "region", "output", "cli_pager", "retry_mode", "max_attempts", "ca_bundle"))


@dataclass(frozen=True, slots=True)
class Choice:
    """A profile as the picker shows it.

    Args:
        name: of the profile.
        account: its number, "" if the files do not tell.
        role: name of the role, "" if the profile has none.
        region: "" if no place names one.
        color: six hex digits: the profile's own, else that of its account; "" without either.
    """

    name: str
    account: str = ""
    role: str = ""
    region: str = ""
    color: str = ""


def is_wanted(flags: GlobalFlags, profile: str | None, env: Environment) -> bool:
    """Return True if the user is to choose the profile.

    Args:
        flags: ``--pick``.
        profile: as the command line names it.
        env: its files have the key ``pick``, which counts only where nothing names a profile and somebody is there.

    Raises:
        ConfigError: the key has another value than yes and no.
        UsageError: a profile is named beside ``--pick``.
    """
    if flags.pick and (profile is not None or flags.profile is not None):
        raise UsageError(
            "--pick and --profile do not go together", code="flag-unsuitable", hint="leave one of them out"
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
        Its name; None if there is nothing to choose from, or the key ``pick`` asks and there is no terminal.

    Raises:
        UsageError: ``--pick`` was given and there is no terminal.
        ConfigError: the user chose none.
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
    """Read what the files tell of a profile, without resolving it.

    Args:
        section: of the profile.
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
    from aws_runas.config.files import config_path
    from aws_runas.credentials.cache import cache_directory

    return ProfileUses(cache_directory(env.environ, config_path(env.environ, env.home), env.home))
