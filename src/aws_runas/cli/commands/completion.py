"""``completion``: print a script with which a shell completes aws-runas command lines."""

from __future__ import annotations

import argparse
import importlib

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

SUMMARY = "Write a completion script for a shell to stdout"
USAGE = "completion bash|zsh|fish|powershell"
EXAMPLES = (("source <(aws-runas completion bash)", "Complete commands, flags and profiles in bash"),)
ACCEPTS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `completion`.

    Args:
        shell: shell of the script; None to print names, one per line, as the scripts request them.
        tunnels: print names of tunnels instead of profiles.
    """

    shell: str | None
    tunnels: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positional, and the flag that the scripts use."""
    parser.add_argument("--profiles", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tunnels", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", metavar="bash|zsh|fish|powershell", help="Shell to write the script for")


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:  # noqa: ARG001
    """Check the name of the shell.

    Raises:
        UsageError: no shell or more than one is named, or it is not supported.
    """
    from aws_runas.cli.completion.table import SHELLS

    words = [word for word in namespace.words if word != "--"]
    if namespace.profiles or namespace.tunnels:
        return Options(None, namespace.tunnels)
    if len(words) != 1 or words[0] not in SHELLS:
        unknown = next((word for word in words if word not in SHELLS), None)
        if unknown is None and words:
            raise UsageError(
                "one shell only", code="completion-shell-unknown", hint=f"use: aws-runas completion {words[0]}"
            )
        given = f"there is no completion script for {unknown!r}" if words else "no shell given"
        raise UsageError(given, code="completion-shell-unknown", hint=f"the shell is one of {', '.join(SHELLS)}")
    return Options(words[0])


def run(options: Options, env: Environment) -> Result:
    """Write the script."""
    if options.tunnels:
        from aws_runas.config.tunnels import read_tunnels, tunnels_path

        return Result(stdout="".join(f"{name}\n" for name in read_tunnels(tunnels_path(env.environ, env.home))))
    if options.shell is None:
        from aws_runas.fast.profile_names import profile_names

        return Result(stdout="".join(f"{name}\n" for name in profile_names(env.environ)))
    from aws_runas.cli.completion.table import table

    writer = importlib.import_module(f"aws_runas.cli.completion.{options.shell}")
    text: str = writer.script(table())
    return Result(stdout=text)
