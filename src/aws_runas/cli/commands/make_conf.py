"""``-c``: write a configuration for the browser extension AWS Extend Switch Roles, with every role found."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import Question, add_profile, as_json, read_question
from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

SUMMARY = "Write a configuration of the browser extension AWS Extend Switch Roles for every role you may assume"
ACCEPTS = ("credential", "output")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positional."""
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Question:
    """Read the profile and the output format."""
    return read_question(namespace, flags, env)


def run(options: Question, env: Environment) -> Result:
    """Find the roles, and write them."""
    from aws_runas.cli.access import open_access_for
    from aws_runas.identity.roles import own_roles
    from aws_runas.identity.switch_roles import known_roles, render, switch_roles

    access = open_access_for(options.flags, options.profile, env)
    caller, judged = own_roles(access)
    profile = access.profile
    found = switch_roles(
        judged.roles,
        known_roles(profile.sections),
        base=profile.source_profile or caller.account,
        base_account=caller.account,
        region=profile.region.value if profile.region else None,
        base_alias=_alias(access) if judged.roles else None,
    )
    notes = [
        f"aws-runas: left out, since it is a pattern: {pattern.resource} (in {', '.join(pattern.policies)})\n"
        for pattern in judged.patterns
    ]
    notes += [
        f"aws-runas: left out, since the extension cannot read =, ; or # in it: {arn}\n" for arn in found.left_out
    ]
    if not found.entries:
        notes.append("aws-runas: there is no role to write\n")
    return Result(stdout=as_json(asdict(found)) if options.json else render(found), stderr="".join(notes))


def _alias(access: Access) -> str | None:
    """Return the account alias if this user may read it. The alias is optional."""
    from aws_runas.aws.iam import Iam

    try:
        return Iam(access).account_alias()
    except AwsRunasError:
        return None
