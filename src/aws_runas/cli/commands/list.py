"""``list roles``, ``list mfa``, ``-l`` and ``-m``: what the user may assume, and their MFA devices."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import add_profile, as_json, profile_of, wants_json
from aws_runas.errors import UsageError

SUMMARY = "List the roles that you may assume, or your MFA devices"
USAGE = "list [<flags>] roles|mfa [<profile>]"
WORDS = ("roles", "mfa")


@dataclass(frozen=True, slots=True)
class Options:
    """What to list for whom.

    Args:
        what: "roles" or "mfa".
        json: for programs.
    """

    what: str
    flags: GlobalFlags
    profile: str | None
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positionals."""
    parser.add_argument("what", nargs="?", metavar="<roles|mfa>", help="what to list")
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Take what and whose.

    Raises:
        UsageError: it is not said what to list.
    """
    if namespace.what not in WORDS:
        given = f"{namespace.what!r} cannot be listed" if namespace.what else "nothing was named to list"
        raise UsageError(given, code="usage", hint="aws-runas list roles, or aws-runas list mfa")
    return Options(
        namespace.what,
        flags,
        profile_of(namespace, alone=not (flags.list_roles or flags.list_mfa)),
        wants_json(flags, env),
    )


def run(options: Options, env: Environment) -> Result:
    """Ask IAM with the user's own keys."""
    from aws_runas.cli.access import open_access_for

    access = open_access_for(options.flags, options.profile, env)
    if options.what == "mfa":
        from aws_runas.identity.mfa import mfa_devices

        devices = mfa_devices(access)
        if options.json:
            return Result(stdout=as_json({"mfa_devices": devices}))
        return Result(stdout=_lines(devices), stderr="" if devices else "aws-runas: this user has no MFA device\n")

    from aws_runas.identity.roles import own_roles

    _, found = own_roles(access)
    notes = [
        f"aws-runas: not listed, since it is a pattern: {pattern.resource} (in {', '.join(pattern.policies)})\n"
        for pattern in found.patterns
    ]
    if not found.roles and not found.patterns:
        notes.append("aws-runas: no policy lets this user assume a role\n")
    text = as_json({"roles": list(found.roles)}) if options.json else _lines(found.roles)
    return Result(stdout=text, stderr="".join(notes))


def _lines(values: tuple[str, ...] | list[str]) -> str:
    return "".join(f"{value}\n" for value in values)
