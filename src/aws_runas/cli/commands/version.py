"""The verb ``version``."""

from __future__ import annotations

import argparse

from aws_runas import __version__
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.errors import UsageError

SUMMARY = "Show the version"
USAGE = "version"
ACCEPTS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positionals that `read` refuses."""
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> None:  # noqa: ARG001
    """Return no options.

    Raises:
        UsageError: there is an argument.
    """
    if namespace.words:
        raise UsageError(f"unexpected argument {namespace.words[0]!r}", code="argument-unexpected", hint="leave it out")


def run(options: None, env: Environment) -> Result:  # noqa: ARG001
    """Return the version."""
    return Result(stdout=f"aws-runas {__version__}\n")
