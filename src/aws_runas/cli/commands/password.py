"""``password``: change the console password of the IAM user behind a profile."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set
from aws_runas.cli.questions import add_profile, profile_of
from aws_runas.errors import CredentialsError

SUMMARY = "Change the console password of the profile's IAM user, typed on the terminal"
USAGE = "password [<profile>]"


@dataclass(frozen=True, slots=True)
class Options:
    """Whose password."""

    flags: GlobalFlags
    profile: str | None
    word: str = ""  # the command word as typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positional; a password is never one, since others could read it in the list of processes."""
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:  # noqa: ARG001
    """Take the profile."""
    return Options(flags, profile_of(namespace, flags), namespace.command_word)


def run(options: Options, env: Environment) -> Result:
    """Ask for the old password once and for the new one twice, and change it.

    Raises:
        CredentialsError: no terminal, the two differ, or IAM refused.
    """
    from aws_runas.aws.caller import caller_identity
    from aws_runas.aws.iam import Iam
    from aws_runas.cli.access import open_access_for
    from aws_runas.cli.terminal.prompt import ask_secret
    from aws_runas.identity.roles import caller_of

    access = open_access_for(options.flags, options.profile, env)
    caller = caller_of(caller_identity(access, user=True).arn)
    if caller.holder.kind != "user":
        raise CredentialsError(
            f"{caller.arn} is a role, and roles have no password",
            code="caller-not-a-user",
            hint="use a profile with the access keys of an IAM user",
        )
    if options.word in ("pwd", "passwd") and is_profile_set(env.environ) and not options.flags.quiet:
        env.stderr.write(f"aws-runas: note: to run the program {options.word}: aws-runas -- {options.word}\n")
        env.stderr.flush()
    old = ask_secret(f"Current password of {caller.holder.name}: ")
    new = ask_secret("New password: ")
    if not new or ask_secret("New password again: ") != new:
        raise CredentialsError("the new passwords differ; nothing was changed", code="password-mismatch")
    Iam(access).change_password(old, new)
    return Result(stderr=f"aws-runas: the password of {caller.holder.name} is changed\n")
