"""The verb ``list``, and -l and -m: roles, MFA devices, profiles and instances."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import add_profile, as_json, profile_of, wants_json
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

SUMMARY = "List the roles that the user may assume, MFA devices, profiles or instances"
USAGE = "list roles|mfa|profiles|instances [<profile>]"
WORDS = ("roles", "mfa", "profiles", "instances")
ACCEPTS = ("credential", "output")
EXAMPLES = (
    ("aws-runas list roles my-profile", "Roles that the user of the profile may assume"),
    ("aws-runas list instances my-profile", "Running instances that accept a session"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `list`.

    Args:
        what: one of WORDS.
        json: write JSON, for programs.
    """

    what: str
    flags: GlobalFlags
    profile: str | None
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positionals."""
    parser.add_argument("what", nargs="?", metavar="<roles|mfa|profiles|instances>", help="What to list")
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Return what to list and for which profile.

    Raises:
        UsageError: the command line does not say what to list.
    """
    if namespace.what not in WORDS:
        given = f"{namespace.what!r} cannot be listed" if namespace.what else "list needs something to list"
        raise UsageError(given, code="usage", hint="use: aws-runas list roles|mfa|profiles|instances [profile]")
    return Options(namespace.what, flags, profile_of(namespace, flags), wants_json(flags, env))


def run(options: Options, env: Environment) -> Result:
    """Return the list. Roles and devices come from IAM, with the keys of the user; SAML roles from the provider."""
    if options.what == "profiles":
        names = sorted(env.profile_names())
        for mistake in env.config_files().ignored().values():
            env.warn(mistake)
        if not names and not options.json:  # the first command of a new user must print something
            files = env.config_files()
            env.warn(
                f"{files.config.path} and {files.credentials.path} have no profiles; to try without: aws-runas sandbox"
            )
        return Result(stdout=as_json({"profiles": names}) if options.json else _lines(names))
    from aws_runas.cli.access import open_access_for

    access = open_access_for(options.flags, options.profile, env)
    if options.what == "instances":
        return _instances(access, as_document=options.json)
    if options.what == "mfa":
        from aws_runas.identity.roles import mfa_devices

        devices = mfa_devices(access)
        if options.json:
            return Result(stdout=as_json({"mfa_devices": devices}))
        return Result(stdout=_lines(devices), stderr="" if devices else "aws-runas: this user has no MFA device\n")
    return _roles(access, as_document=options.json)


def _roles(access: Access, *, as_document: bool) -> Result:
    if access.offered_roles is not None:
        roles = access.offered_roles()
        note = "" if roles else "aws-runas: the identity provider offers no AWS role\n"
        return Result(stdout=as_json({"roles": list(roles)}) if as_document else _lines(roles), stderr=note)
    from aws_runas.identity.roles import own_roles

    _, found = own_roles(access)
    notes = [
        f"aws-runas: not listed, since it is a pattern: {pattern.resource} (in {', '.join(pattern.policies)})\n"
        for pattern in found.patterns
    ]
    if not found.roles and not found.patterns:
        notes.append("aws-runas: no policy lets this user assume a role\n")
    text = as_json({"roles": list(found.roles)}) if as_document else _lines(found.roles)
    return Result(stdout=text, stderr="".join(notes))


def _instances(access: Access, *, as_document: bool) -> Result:
    from aws_runas.targets.online import listing, online_instances

    found = online_instances(access)
    if as_document:
        return Result(stdout=as_json({"instances": [asdict(instance) for instance in found]}))
    note = "" if found else f"aws-runas: Systems Manager knows no running instance in {access.region()}\n"
    return Result(stdout=_lines(listing(found)), stderr=note)


def _lines(values: tuple[str, ...] | list[str]) -> str:
    return "".join(f"{value}\n" for value in values)
