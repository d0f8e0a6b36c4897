"""``sso list`` and ``sso profiles``: the accounts and roles of Identity Center, and profiles for them."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import PROFILE_HELP, as_json
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, UsageError
from aws_runas.redact import printable

if TYPE_CHECKING:
    from aws_runas.config.files import ConfigFiles
    from aws_runas.config.sso import SsoSession
    from aws_runas.credentials.sso_profiles import Update
    from aws_runas.identity.sso_assignments import Assignment

SUMMARY = "List the accounts and roles of IAM Identity Center, or generate profiles for them"
USAGE = "sso list|profiles [<profile>]"
ACTIONS = ("list", "profiles")
WORDS = ACTIONS
FORMATS = ("text", "json", "csv")
EXAMPLES = (
    ("aws-runas sso list --sso-session corp", "List every account and role that you may use"),
    ("aws-runas sso profiles --sso-session corp --write --prune", "Keep a profile for each of them in the config file"),
)


@dataclass(frozen=True, slots=True)
class SsoOptions:
    """Options of `sso`.

    Args:
        action: one of ACTIONS.
        output: one of FORMATS.
        write, prune, strict, name, regions: flags of ``sso profiles``.
        account, role: patterns with ``*`` and ``?``; that of the account matches ids and names.
    """

    action: str
    flags: GlobalFlags
    profile: str | None
    sso_session: str | None = None
    output: str = "text"
    write: bool = False
    prune: bool = False
    strict: bool = False
    name: str | None = None
    regions: tuple[str, ...] = ()
    account: str = "*"
    role: str = "*"


class _Regions(argparse.Action):
    """Collect every region; the last one is also the value of the global flag."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        _option: str | None = None,
    ) -> None:
        region = _region(str(values))
        namespace.region = region
        namespace.sso_regions = [*getattr(namespace, "sso_regions", []), region]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and positionals."""
    parser.add_argument("--sso-session", metavar="NAME", help="Use this sso-session of the config file")
    parser.add_argument(
        "-O", "--output", metavar="FORMAT", dest="sso_output", help="Format of list: text, json or csv (default text)"
    )
    parser.add_argument(
        "--write", action="store_true", help="Write the profiles to the config file instead of printing them"
    )
    parser.add_argument("--prune", action="store_true", help="Remove generated profiles whose role you no longer have")
    parser.add_argument("--strict", action="store_true", help="Write nothing if a name belongs to another profile")
    parser.add_argument(
        "--name",
        metavar="TEMPLATE",
        help="Template for profile names, with {account}, {account_id}, {role}, {region} (default {account}-{role})",
    )
    parser.add_argument(
        "--region",
        metavar="REGION",
        action=_Regions,
        help="Region of the profiles (repeatable: a profile for each); overrides environment and profile",
    )
    parser.add_argument("--account", metavar="PATTERN", default="*", help="Only accounts with this id or name; * and ?")
    parser.add_argument("--role", metavar="PATTERN", default="*", help="Only roles with this name; * and ?")
    parser.add_argument("action", nargs="?", metavar="list|profiles", help="What to do")
    parser.add_argument("words", nargs="*", metavar="[<profile>]", help=PROFILE_HELP)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> SsoOptions:
    """Check the flags.

    Raises:
        UsageError: the action is missing, or a flag does not work with it.
    """
    if namespace.action not in ACTIONS:
        given = f", not {namespace.action!r}" if namespace.action else ""
        raise UsageError(f"sso takes list or profiles{given}", code="sso-action-unknown")
    words = [word for word in namespace.words if word != "--"]
    if len(words) > 1:
        hint = "flags go before the profile" if words[1].startswith("-") else "leave it out"
        raise UsageError(f"unexpected argument {words[1]!r}", code="argument-unexpected", hint=hint)
    options = SsoOptions(
        namespace.action,
        flags,
        words[0] if words else flags.profile,
        namespace.sso_session,
        _format(namespace.sso_output, env),
        namespace.write,
        namespace.prune,
        namespace.strict,
        _template(namespace.name),
        tuple(getattr(namespace, "sso_regions", ())),
        namespace.account,
        namespace.role,
    )
    _check(options, namespace.sso_output)
    return options


def run(options: SsoOptions, env: Environment) -> Result:
    """Ask the portal; sign in first if that is needed and possible."""
    from aws_runas.cli.sso_session import at_work, find_session
    from aws_runas.identity.sso_assignments import list_assignments

    session = find_session(options.flags, options.profile, options.sso_session, env)
    for flag, pattern in (("--account", options.account), ("--role", options.role)):
        if not pattern:
            raise UsageError(f"{flag} '' matches nothing", code="usage", hint="write a pattern such as '*prod*'")
    if session is None:
        raise ConfigError(
            f"profile {options.profile or 'default'} does not use IAM Identity Center",
            code="sso-session-not-found",
            hint="name an sso-session with --sso-session",
        )
    if options.action == "profiles" and not session.name:
        raise ConfigError(
            f"{session.label} is configured in a profile, and generated profiles need an sso-session",
            code="sso-session-not-found",
            hint="add [sso-session NAME] with sso_start_url and sso_region",
        )
    work = at_work(session, options.flags, env, profile=options.profile or "")
    token = work.tokens().token()
    assigned = list_assignments(work.client("sso"), token.access_token)
    chosen = [each for each in assigned if _is_chosen(each, options)]
    if options.action == "list":
        note = "" if chosen or not assigned else f"aws-runas: none of your {len(assigned)} roles matches\n"
        return Result(stdout=_listing(chosen, _profiles(env.config_files(), session), options.output), stderr=note)
    return _generate(options, session, assigned, chosen, env=env)


def _is_chosen(assignment: Assignment, options: SsoOptions) -> bool:
    names = (assignment.account_id, assignment.account_name)
    return any(fnmatchcase(name, options.account) for name in names) and fnmatchcase(assignment.role_name, options.role)


def _profiles(files: ConfigFiles, session: SsoSession) -> dict[tuple[str, str], str]:
    """Return the first profile for each account and role of a session."""
    found: dict[tuple[str, str], str] = {}
    for name, section in files.profiles.items():
        key = section.text("sso_session") or section.text("sso_start_url")
        if key == session.token_key:
            found.setdefault((section.text("sso_account_id") or "", section.text("sso_role_name") or ""), name)
    return found


def _listing(assignments: Sequence[Assignment], profiles: dict[tuple[str, str], str], output: str) -> str:
    rows = [
        (each.account_id, each.account_name, each.role_name, profiles.get((each.account_id, each.role_name), ""))
        for each in assignments
    ]
    if output == "json":
        names = ("AccountId", "AccountName", "RoleName", "Profile")
        return as_json([dict(zip(names, (*row[:3], row[3] or None), strict=True)) for row in rows])
    if output == "csv":
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows([("account", "name", "role", "profile"), *rows])
        return stream.getvalue()
    table = [tuple(map(printable, row)) for row in (("account", "name", "role", "profile"), *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in table]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _generate(
    options: SsoOptions,
    session: SsoSession,
    assigned: Sequence[Assignment],
    chosen: Sequence[Assignment],
    *,
    env: Environment,
) -> Result:
    from aws_runas.config.files import config_path, load_files
    from aws_runas.credentials import sso_profiles

    def roles(assignments: Sequence[Assignment]) -> list[sso_profiles.AssignedRole]:
        return [sso_profiles.AssignedRole(each.account_name, each.account_id, each.role_name) for each in assignments]

    # names are derived from all assignments, so that a filter does not change them
    wanted = {(each.account_id, each.role_name) for each in chosen}
    profiles = [
        profile
        for profile in sso_profiles.generate(roles(assigned), session.name, options.regions, options.name)
        if (profile.values["sso_account_id"], profile.values["sso_role_name"]) in wanted
    ]
    if not options.write:
        return Result(stdout="\n".join(profile.text() for profile in profiles))
    path = config_path(env.environ, env.home)
    updates: list[Update] = []

    def change(text: str) -> str:
        """Read the file again: it may have changed since this run began, for instance during a sign-in."""
        files = load_files(env.environ, env.home)
        update = sso_profiles.update(
            text, files, profiles, session.name, assigned=roles(assigned) if options.prune else None
        )
        updates.append(update)
        return text if update.clashes and options.strict else update.content

    sso_profiles.edit(path, change)
    update = updates[0]
    notes = "".join(
        f"aws-runas: profile {name} is not generated: another profile has this name\n" for name in update.clashes
    )
    if update.clashes and options.strict:
        raise ConfigError(
            f"nothing is written: {len(update.clashes)} generated profiles have names of other profiles",
            code="profile-name-taken",
            hint="choose other names with --name, or leave out --strict",
            details=update.clashes,
        )
    return Result(stderr=notes + _summary(update, str(path)))


def _summary(update: Update, path: str) -> str:
    counts = [
        f"{len(names)} {word}"
        for names, word in ((update.added, "added"), (update.changed, "changed"), (update.removed, "removed"))
        if names
    ]
    return f"aws-runas: {path}: {', '.join(counts) or 'nothing to change'}\n"


def _check(options: SsoOptions, output: str | None) -> None:
    own = {
        "--write": options.write,
        "--prune": options.prune,
        "--strict": options.strict,
        "--name": options.name,
        "--region": options.regions,
    }
    used = [flag for flag, value in own.items() if value]
    if options.action == "list" and used:
        raise UsageError(f"{used[0]} works only with sso profiles", code="flag-unsuitable")
    if options.action == "profiles" and output:
        raise UsageError("-O works only with sso list; sso profiles prints INI", code="flag-unsuitable")
    if (options.prune or options.strict) and not options.write:
        raise UsageError(f"{'--prune' if options.prune else '--strict'} needs --write", code="usage")
    if options.profile and options.sso_session:
        raise UsageError(f"--sso-session and profile {options.profile} cannot be combined", code="usage")


def _format(text: str | None, env: Environment) -> str:
    if text is None:
        return "json" if env.environ.get("RUNAS_OUTPUT_FORMAT") == "json" else "text"
    if text not in FORMATS:
        raise UsageError(f"-O {text!r}: sso list prints {', '.join(FORMATS)}", code="output-format-unknown")
    return text


def _template(text: str | None) -> str | None:
    from aws_runas.credentials.sso_profiles import check_template

    try:
        return None if text is None else check_template(text)
    except ValueError as error:
        raise UsageError(f"--name {error}", code="usage") from None


def _region(text: str) -> str:
    if text and text.isascii() and all(letter.isalnum() or letter == "-" for letter in text) and len(text) < 64:
        return text
    raise UsageError(f"--region {text!r} is not the name of a region, such as eu-west-1", code="usage")
