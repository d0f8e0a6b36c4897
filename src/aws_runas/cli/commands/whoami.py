"""``whoami`` and ``-w``: who the credentials are, as STS says."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from aws_runas.cli.environment import Environment
from aws_runas.cli.flags import GlobalFlags
from aws_runas.cli.knowing import add_profile, as_json, profile_of, wants_json
from aws_runas.cli.output import Result

SUMMARY = "Print the identity of the credentials: account, ARN and user id"
USAGE = "whoami [<profile>]"


@dataclass(frozen=True, slots=True)
class Options:
    """Whose identity.

    Args:
        json: for programs.
    """

    flags: GlobalFlags
    profile: str | None
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positional."""
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Take the profile."""
    return Options(flags, profile_of(namespace, alone=not flags.whoami), wants_json(flags, env))


def run(options: Options, env: Environment) -> Result:
    """Ask STS."""
    from aws_runas.aws.caller import caller_identity
    from aws_runas.cli.access import open_access_for

    found = caller_identity(open_access_for(options.flags, options.profile, env))
    if options.json:
        return Result(stdout=as_json({"UserId": found.user_id, "Account": found.account, "Arn": found.arn}))
    return Result(stdout=f"account  {found.account}\narn      {found.arn}\nuser id  {found.user_id}\n")
