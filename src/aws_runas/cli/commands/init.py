"""``aws-runas init``: print a shell function that sets the credentials of a profile in the shell."""

from __future__ import annotations

import argparse

from aws_runas.cli import shell_function
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

SUMMARY = "Print a shell function that sets the credentials of a profile in the current shell"
USAGE = "init [--name <name>] bash|zsh|fish|powershell"
EXAMPLES = (
    ('eval "$(aws-runas init bash)"', "Load the function runas; put this line into ~/.bashrc"),
    ("aws-runas init fish | source", "The same for fish, in ~/.config/fish/config.fish"),
)
ACCEPTS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """The function to print.

    Args:
        shell: one of `shell_function.FORMATS`.
        name: name of the function.
    """

    shell: str
    name: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own flag and its positional."""
    parser.add_argument(
        "--name",
        metavar="NAME",
        default=shell_function.DEFAULT_NAME,
        help=f"Name of the function (default {shell_function.DEFAULT_NAME})",
    )
    parser.add_argument("words", nargs="*", metavar="bash|zsh|fish|powershell", help="Shell to write the function for")


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:  # noqa: ARG001
    """Check the shell and the name.

    Raises:
        UsageError: the shell is not supported, or the name is not valid for a function.
    """
    words = namespace.words
    known = ", ".join(shell_function.FORMATS)
    if not words:
        raise UsageError("no shell given", code="init-shell-unknown", hint=f"the shell is one of {known}")
    if words[0] not in shell_function.FORMATS:
        raise UsageError(
            f"there is no function for the shell {words[0]!r}",
            code="init-shell-unknown",
            hint=f"the shell is one of {known}",
        )
    if len(words) > 1:
        raise UsageError(
            f"unexpected argument {words[1]!r}", code="argument-unexpected", hint=f"use: aws-runas init {words[0]}"
        )
    shell_function.check_name(namespace.name)
    return Options(words[0], namespace.name)


def run(options: Options, env: Environment) -> Result:  # noqa: ARG001
    """Print the function."""
    return Result(stdout=shell_function.text(options.shell, options.name))
