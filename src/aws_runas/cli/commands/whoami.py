"""``whoami`` and ``-w``: show the identity of the credentials, as reported by STS."""

from __future__ import annotations

import argparse

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import Question, add_profile, as_json, read_question

SUMMARY = "Print the identity of the credentials: account, ARN and user id"
EXAMPLES = (
    ("aws-runas whoami my-profile", "Identity of the role"),
    ("aws-runas whoami -s my-profile", "Identity of its user"),
)
USAGE = "whoami [<profile>]"
ACCEPTS = ("credential", "output")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positional."""
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Question:
    """Read the profile and the output format."""
    return read_question(namespace, flags, env)


def run(options: Question, env: Environment) -> Result:
    """Call STS and show the identity."""
    from aws_runas.aws.sts import caller_identity
    from aws_runas.cli.access import open_access_for

    found = caller_identity(open_access_for(options.flags, options.profile, env))
    if options.json:
        return Result(stdout=as_json({"UserId": found.user_id, "Account": found.account, "Arn": found.arn}))
    return Result(stdout=f"account  {found.account}\narn      {found.arn}\nuser id  {found.user_id}\n")
