"""The verb ``help``: the help of the program or of one command."""

from __future__ import annotations

import argparse
import difflib

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.errors import UsageError
from aws_runas.fast.names import COMMANDS

SUMMARY = "Show the help of the program, or of one command"
USAGE = "help [<command>]"
ACCEPTS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positional."""
    parser.add_argument("command", nargs="?", metavar="[<command>]", help="Command, such as shell")


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> str:  # noqa: ARG001
    """Return the module name of the command, "" for the whole program.

    Raises:
        UsageError: there is no such command.
    """
    word = namespace.command
    if word is None or word in COMMANDS:
        return COMMANDS[word] if word else ""
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else "aws-runas help lists the commands"
    raise UsageError(f"there is no command {word!r}", code="command-unknown", hint=hint)


def run(options: str, env: Environment) -> Result:
    """Return the help."""
    from aws_runas.cli.parsing.help import page, terminal_width

    return Result(stdout=page("short", options, terminal_width(env.stdout)))
