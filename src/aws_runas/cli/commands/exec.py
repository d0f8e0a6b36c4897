"""The default command: run a program with credentials, or print them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from aws_runas.cli.environment import Environment
from aws_runas.cli.flags import GlobalFlags
from aws_runas.cli.output import Result
from aws_runas.cli.positionals import split_profile
from aws_runas.errors import UsageError

SUMMARY = "Run a command with the credentials of a profile or role, or print them when there is none"
USAGE = "exec [<profile>] [<command> [<args>...]]"


@dataclass(frozen=True, slots=True)
class Options:
    """What to run as whom.

    Args:
        profile: its name or a role ARN, None where none was named.
        program: the program and its arguments, empty to print credentials.
    """

    flags: GlobalFlags
    profile: str | None
    program: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positionals; there are no flags beyond the global ones."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[<profile>] [<command> [<args>...]]",
        help="profile or role ARN, then the program to run",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Part the profile from the program."""
    profile, program = split_profile(namespace.words, lambda: _names(env), env.environ, None)
    if program and program[0] == "--":
        program = program[1:]
    if program and not program[0]:
        raise UsageError("the command is an empty word", code="command-empty")
    return Options(flags, profile, tuple(program))


def run(options: Options, env: Environment) -> Result:  # noqa: ARG001 - until it is there
    """Run the program, or print credentials."""
    raise UsageError("exec is not available yet", code="not-available-yet")


def _names(env: Environment) -> list[str]:
    from aws_runas.config.resolve import load_files

    return load_files(env.environ, env.home).profile_names()
