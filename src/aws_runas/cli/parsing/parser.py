"""The command line: which command it names, and that command's parser. No other parser is built."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol, cast

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import FLAGS, Flag, GlobalFlags
from aws_runas.cli.parsing.scanner import Known, Scanned, scan
from aws_runas.config.durations import ROLE_RANGE, SESSION_TOKEN_RANGE, check_range, parse_duration
from aws_runas.errors import UsageError
from aws_runas.fast.names import COMMANDS, SSM, SSM_COMMANDS

# Flags that ask a question: they answer it whatever the command was. Flag -> module and the words it is given.
QUESTIONS = {
    "list_roles": ("list", ("roles",)),
    "list_mfa": ("list", ("mfa",)),
    "make_conf": ("make_conf", ()),
    "whoami": ("whoami", ()),
    "diagnose": ("diagnose", ()),
    "update": ("update", ()),
    "ec2": ("serve", ("ec2",)),
    "ecs": ("serve", ("ecs",)),
}

PACKAGES = {"forward": "forward.command"}  # commands with a package of their own
HELP_FLAGS = {"help": "short", "help-long": "long", "help-man": "man", "version": "version"}


__all__ = ["COMMANDS", "Command", "Parsed", "Parser", "build_parser", "load", "parse", "port", "questions"]


class Command(Protocol):
    """A module of cli/commands. It may also have USAGE (the usage line after the flags) and WORDS (``ec2``, ``ecs``:
    first positionals that do not end the flags)."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own flags and positionals; the global flags are there already and may be replaced."""

    def read(self, namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> object:
        """Turn what was parsed into the command's options.

        Raises:
            UsageError: it makes no sense.
        """

    def run(self, options: object, env: Environment) -> Result:
        """Do it."""


class Parser(argparse.ArgumentParser):
    """argparse that raises instead of printing."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would have printed."""
        raise UsageError(message.removeprefix("argument "), code="usage")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command line, understood.

    Args:
        command: module name of the command; "" in a request for help that named none.
        namespace: its values, global ones among them.
        flags: the global flags.
        positionals: the words after the flags.
        help: "", or "short", "long", "man", "version" when that was asked for instead.
    """

    command: str
    namespace: argparse.Namespace
    flags: GlobalFlags
    positionals: tuple[str, ...] = ()
    help: str = ""


def parse(words: Sequence[str]) -> Parsed:
    """Understand a command line.

    Args:
        words: without the program's name.

    Raises:
        UsageError: it cannot be understood; nothing else has happened.
    """
    front = scan(words, _known_globals())
    command, rest, ended = _command(front)
    module = load(command)
    parser = build_parser(command, module)
    back = Scanned([], rest, True) if ended else scan(rest, known_flags(parser), ignored=getattr(module, "WORDS", ()))
    flags = front.flags + back.flags
    for word in flags:
        asked = HELP_FLAGS.get(word.removeprefix("--"))
        if asked:
            return Parsed("" if ended else command, argparse.Namespace(), GlobalFlags(), help=asked)
    namespace = parser.parse_args([*flags, "--", *back.rest])
    return Parsed(command, namespace, global_flags(namespace), tuple(back.rest))


def questions(parsed: Parsed, words: Sequence[str]) -> list[Parsed]:
    """Turn the flags that ask a question (``-l``, ``-w`` ...) into the commands that answer them.

    Args:
        parsed: the command line.
        words: its positionals.
    """
    asked = []
    for field, (command, first) in QUESTIONS.items():
        if not getattr(parsed.flags, field):
            continue
        parser = build_parser(command, load(command))
        namespace = argparse.Namespace(**vars(parsed.namespace))
        for action in parser._get_positional_actions():
            vars(namespace).pop(action.dest, None)
        asked.append(Parsed(command, parser.parse_args(["--", *first, *words], namespace), parsed.flags))
    return asked


def load(command: str) -> Command:
    """Import the module of a command, and nothing of the others."""
    return cast(Command, importlib.import_module(f"aws_runas.cli.commands.{PACKAGES.get(command, command)}"))


def build_parser(command: str, module: Command) -> Parser:
    """Make the parser of one command: the global flags and its own.

    Args:
        command: its name.
        module: from load.
    """
    parser = Parser(
        prog=f"aws-runas {command}",
        description=module.SUMMARY,
        add_help=False,
        allow_abbrev=False,
        conflict_handler="resolve",
    )
    for flag in FLAGS:
        _add(parser, flag)
    module.add_arguments(parser)
    return parser


def known_flags(parser: argparse.ArgumentParser) -> dict[str, Known]:
    """Every spelling of a parser's flags, for the scanner."""
    known = {}
    for action in parser._actions:
        spelling = max(action.option_strings, key=len, default="")
        for name in action.option_strings:
            known[name] = Known(spelling, action.nargs != 0)
    return known


def global_flags(namespace: argparse.Namespace) -> GlobalFlags:
    """Pick the global flags out of what was parsed."""
    values = {flag.field: getattr(namespace, flag.field, None) for flag in FLAGS if flag.field}
    values |= {flag.field: tuple(values[flag.field] or ()) for flag in FLAGS if flag.kind == "many"}
    return GlobalFlags(**(values | {"verbose": values["verbose"] or 0}))


def port(text: str) -> int:
    """Read a port number, 1 to 65535; for argparse's ``type``.

    Raises:
        argparse.ArgumentTypeError: it is not one.
    """
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port, 1 to 65535")


def _command(front: Scanned) -> tuple[str, list[str], bool]:
    """Take the command word off the positionals: module, what follows, whether the flags have ended."""
    if front.ended or not front.rest or front.rest[0] not in (*COMMANDS, SSM):
        return "exec", front.rest, True
    word, *rest = front.rest
    if word != SSM:
        return COMMANDS[word], rest, False
    inner = scan(rest, _known_globals())
    if inner.ended or not inner.rest or inner.rest[0] not in SSM_COMMANDS:
        given = f", not {inner.rest[0]!r}" if inner.rest else ""
        if not inner.rest and any(word.removeprefix("--") in HELP_FLAGS for word in inner.flags):
            return "shell", inner.flags, False
        raise UsageError(f"ssm takes shell, forward or ssh{given}", code="ssm-command-unknown")
    return COMMANDS[inner.rest[0]], [*inner.flags, *inner.rest[1:]], False


def _known_globals() -> dict[str, Known]:
    known = {}
    for flag in FLAGS:
        known[f"--{flag.long}"] = Known(f"--{flag.long}", flag.takes_value)
        if flag.short:
            known[f"-{flag.short}"] = known[f"--{flag.long}"]
    return known


def _add(parser: argparse.ArgumentParser, flag: Flag) -> None:
    names = [f"-{flag.short}"] * bool(flag.short) + [f"--{flag.long}"]
    dest = flag.field or flag.long.replace("-", "_")
    if flag.kind == "switch":
        parser.add_argument(*names, dest=dest, action="store_true", help=flag.help)
    elif flag.kind == "count":
        parser.add_argument(*names, dest=dest, action="count", help=flag.help)
    else:
        action = "append" if flag.kind == "many" else "store"
        kind = _TYPES.get(flag.kind, str)
        parser.add_argument(*names, dest=dest, action=action, type=kind, metavar=flag.metavar, help=flag.help)


def _duration(limits: tuple[int, int], what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            seconds = parse_duration(text)
            check_range(seconds, limits, what)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return seconds

    return read


def _format(text: str) -> str:
    from aws_runas.credentials.printing import check_format

    return check_format(text)


_TYPES: dict[str, Callable[[str], object]] = {
    "session-duration": _duration(SESSION_TOKEN_RANGE, "a session token lifetime"),
    "role-duration": _duration(ROLE_RANGE, "a role credential lifetime"),
    "format": _format,
    "port": port,
}
