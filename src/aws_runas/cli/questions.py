"""What the commands that only tell something have in common: their one positional, and JSON."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one profile.

    Args:
        json: the answer is for programs.
    """

    flags: GlobalFlags
    profile: str | None
    json: bool


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Declare the profile, and swallow what follows: with ``-l`` and its like a program may stand there."""
    parser.add_argument("words", nargs="*", metavar="[<profile>]", help="name of profile, or role ARN")


def profile_of(namespace: argparse.Namespace, *, alone: bool) -> str | None:
    """The profile on the command line; nothing else can stand there, so AWS_PROFILE does not matter.

    Args:
        namespace: of add_profile.
        alone: the command was typed as such, so nothing may follow; after a flag such as ``-l`` a program may.

    Raises:
        UsageError: something follows.
    """
    words = [word for word in namespace.words if word != "--"]
    if alone and len(words) > 1:
        raise UsageError(
            f"unexpected argument {words[1]!r}",
            code="argument-unexpected",
            hint="flags go before the profile" if words[1].startswith("-") else None,
        )
    return words[0] if words else None


def read_question(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment, *, alone: bool) -> Question:
    """Read what these commands have in common; see `profile_of` and `wants_json`."""
    return Question(flags, profile_of(namespace, alone=alone), wants_json(flags, env))


def wants_json(flags: GlobalFlags, env: Environment) -> bool:
    """Whether programs read the answer; the formats of credentials other than json are text here.

    Raises:
        UsageError: there is no such format.
    """
    named = flags.output or env.environ.get("RUNAS_OUTPUT_FORMAT")
    if not named:
        return False
    from aws_runas.credentials.printing import check_format

    return check_format(named) == "json"


def as_json(value: object) -> str:
    """Write a value for programs: indented, keys in their order, one document and a line end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
