"""Common part of the commands that only report something: their single positional, and JSON."""

from __future__ import annotations

import argparse
import json

from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import split_profile
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

PROFILE_HELP = "Profile name or role ARN"


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one profile.

    Args:
        json: write JSON, for programs.
    """

    flags: GlobalFlags
    profile: str | None
    json: bool


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Declare the positional for the profile. `profile_of` refuses more than one word.

    Args:
        parser: parser of a command.
    """
    parser.add_argument("words", nargs="*", metavar="[<profile>]", help=PROFILE_HELP)


def profile_of(namespace: argparse.Namespace, flags: GlobalFlags) -> str | None:
    """Return the profile on the command line. No other word can be there, so AWS_PROFILE does not matter.

    Args:
        namespace: parsed arguments, see `add_profile`.
        flags: --profile replaces the word.

    Raises:
        UsageError: there is more than one word.
    """
    words = [word for word in namespace.words if word != "--"]
    return split_profile(words, (), {}, 0, named=flags.profile)[0]


def read_question(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Question:
    """Read the options that these commands have in common; see `profile_of` and `wants_json`.

    Args:
        namespace: parsed arguments.
        flags: the global flags.
        env: the outside world.
    """
    return Question(flags, profile_of(namespace, flags), wants_json(flags, env))


def wants_json(flags: GlobalFlags, env: Environment) -> bool:
    """Return True if the answer should be JSON. In RUNAS_OUTPUT_FORMAT, the other formats mean text.

    Args:
        flags: -O.
        env: RUNAS_OUTPUT_FORMAT.

    Raises:
        UsageError: there is no such format, or -O names one that applies only to credentials.
    """
    named = flags.output or env.environ.get("RUNAS_OUTPUT_FORMAT")
    if not named:
        return False
    from aws_runas.credentials.printing import check_format

    if flags.output not in (None, "json"):
        message = f"-O {flags.output} is a format for credentials; this command prints text, or JSON with -O json"
        raise UsageError(message, code="flag-unsuitable")
    return check_format(named) == "json"


def as_json(value: object) -> str:
    """Write a value as JSON: indented, keys in their order, with a line end.

    Args:
        value: value to write.
    """
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
