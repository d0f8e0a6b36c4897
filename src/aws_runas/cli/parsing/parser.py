"""The command line: the command that it names, and the parser of that command. No other parser is built."""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol, cast

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import CREDENTIAL, FLAGS, OTHER, SIGN_IN, Flag, GlobalFlags
from aws_runas.cli.parsing.scanner import Known, Scanned, scan
from aws_runas.config.durations import ROLE_RANGE, SESSION_TOKEN_RANGE, check_range, parse_duration
from aws_runas.config.overrides import SignInFlags
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError
from aws_runas.fast.names import COMMANDS, SSM, SSM_COMMANDS

# Flags that ask a question, which is answered in place of any command. Flag -> module and its arguments.
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

PACKAGES = {
    "fleet": "fleet.command",
    "forward": "forward.command",
    "keys": "keys.command",
    "tunnels": "tunnels.command",
}  # commands that are packages
RUN_PROGRAMS = ("exec", "fleet", "run", "sandbox")  # flags after their first positional may belong to a program
TARGET_COMMANDS = ("shell", "ssh")  # words after their target are meant as a program
HELP_FLAGS = {"help": "short", "help-long": "long", "help-man": "man", "version": "version"}


__all__ = ["COMMANDS", "Command", "Parsed", "Parser", "build_parser", "load", "parse", "port", "questions"]

# The command that is equivalent to a question or server flag, and that accepts more arguments.
EQUIVALENTS = {
    "list_roles": "list roles [profile]",
    "list_mfa": "list mfa [profile]",
    "whoami": "whoami [profile]",
    "diagnose": "diagnose [profile] [target]",
    "ec2": "serve ec2 [profile]",
    "ecs": "serve ecs [profile]",
}


class Command(Protocol):
    """A module of cli/commands.

    It may also have USAGE (usage line after the global flags), EXAMPLES (command line and what it does), WORDS (first
    positionals that do not end the flags, such as ``ec2``), FLAGS_ANYWHERE (flags may also follow the profile), and
    ACCEPTS (groups and long names of the global flags that work with it; the credential flags by default).
    """

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own flags and positionals; the global flags are already there and may be replaced."""

    def read(self, namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> object:
        """Return the options of the command.

        Args:
            namespace: result of the parser that `add_arguments` prepared.
            flags: the global flags.
            env: variables and streams; the config files are not read yet.

        Raises:
            UsageError: the arguments are invalid.
        """

    def run(self, options: object, env: Environment) -> Result:
        """Run the command."""


class Parser(argparse.ArgumentParser):
    """ArgumentParser that raises errors instead of printing them."""

    def error(self, message: str) -> NoReturn:
        """Raise the error that argparse would print.

        Args:
            message: message from argparse.
        """
        raise UsageError(message.removeprefix("argument "), code="usage")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> object:
        """Accept ``--flag=--`` as it is: argparse would drop the two dashes and leave the flag an empty list."""
        if action.option_strings and arg_strings == ["--"]:
            value = self._get_value(action, "--")
            self._check_value(action, value)
            return value
        return super()._get_values(action, arg_strings)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuse an invalid choice with our own message: that of argparse differs between versions of Python."""
        if action.choices is not None and value not in action.choices:
            known = ", ".join(map(str, action.choices))
            name = "/".join(action.option_strings) or action.metavar or action.dest
            raise UsageError(f"{name} {value!r} is not one of {known}", code="usage")


@functools.cache
def _formatter(prog: str) -> argparse.HelpFormatter:
    """Return the formatter with which argparse checks each metavar; without a width it would ask the terminal."""
    return argparse.HelpFormatter(prog, width=80)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed command line.

    Args:
        command: module name of the command; "" in a request for help that named none.
        namespace: its values, including those of global flags.
        flags: the global flags.
        positionals: the words after the flags.
        help: "", or "short", "long", "man", "version" if that was asked for instead.
        word: the command word as typed, "" if there was none.
    """

    command: str
    namespace: argparse.Namespace
    flags: GlobalFlags
    positionals: tuple[str, ...] = ()
    help: str = ""
    word: str = ""


def parse(words: Sequence[str]) -> Parsed:
    """Parse a command line.

    Args:
        words: without the program's name.

    Raises:
        UsageError: the command line is invalid; nothing has run.
    """
    front = scan(words, _known_globals(), find=_find_flag)
    command, rest, ended = _command(front)
    word = "" if ended and command == "exec" else front.rest[0]
    module = load(command)
    parser = build_parser(command, module)
    back = (
        Scanned([], rest, True)
        if ended
        else scan(
            rest,
            _known_globals() | known_flags(parser),
            find=_find_flag,
            ignored=getattr(module, "WORDS", ()),
            anywhere=getattr(module, "FLAGS_ANYWHERE", False),
        )
    )
    if back.ended and not ended and getattr(module, "KEEPS_END", False):
        # The command follows "--"; a word that the scanner skipped comes before it.
        at = len(back.rest) - (len(rest) - rest.index("--") - 1)
        back = back._replace(rest=[*back.rest[:at], "--", *back.rest[at:]])
    if not back.ended and command not in RUN_PROGRAMS:
        _refuse_late_flags(back.rest, command)
    flags = front.flags + back.flags
    for flag in flags:
        asked = HELP_FLAGS.get(flag.removeprefix("--"))
        if asked:
            return Parsed("" if ended else command, argparse.Namespace(), GlobalFlags(), help=asked, word=word)
    _check_suitable(front.flags, back.flags, command, known_flags(parser))
    namespace = parser.parse_args([*flags, *(["--", *back.rest] if back.rest else [])])
    namespace.command_word = word
    found = global_flags(namespace)
    if found.ec2 and found.ecs:
        raise UsageError("--ec2 and --ecs cannot be combined", code="flag-unsuitable", hint="start one server for each")
    _check_questions(found)
    if command == "exec" and found.port is not None and not (found.ec2 or found.ecs):
        raise _unsuitable("port", "exec")
    return Parsed(command, namespace, found, tuple(back.rest), word=word)


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


def commands() -> list[tuple[str, Command, Parser]]:
    """Return every command: name, module, parser."""
    found: list[tuple[str, Command, Parser]] = []
    for name in dict.fromkeys(COMMANDS.values()):
        if importlib.util.find_spec(f"aws_runas.cli.commands.{name}"):
            module = load(name)
            found.append((name, module, build_parser(name, module)))
    return found


def load(command: str) -> Command:
    """Import the module of one command.

    Args:
        command: its module name.
    """
    return cast(Command, importlib.import_module(f"aws_runas.cli.commands.{PACKAGES.get(command, command)}"))


def build_parser(command: str, module: Command) -> Parser:
    """Make the parser of one command: its own flags and the global flags that work with it.

    Args:
        command: its name.
        module: result of `load`.
    """
    parser = Parser(
        prog=f"aws-runas {command}",
        description=module.SUMMARY,
        add_help=False,
        allow_abbrev=False,
        conflict_handler="resolve",
        formatter_class=_formatter,
    )
    accepted = (*getattr(module, "ACCEPTS", (CREDENTIAL,)), OTHER)
    if CREDENTIAL in accepted:
        accepted += (SIGN_IN,)
    for flag in FLAGS:
        if flag.group in accepted or flag.long in accepted:
            _add(parser, flag)
    module.add_arguments(parser)
    return parser


def known_flags(parser: argparse.ArgumentParser) -> dict[str, Known]:
    """Return every spelling of a parser's flags, for the scanner.

    Args:
        parser: parser of a command.
    """
    known = {}
    for action in parser._actions:
        spelling = max(action.option_strings, key=len, default="")
        for name in action.option_strings:
            known[name] = Known(spelling, action.nargs not in (0, "?"), action.nargs == "?")
    return known


def global_flags(namespace: argparse.Namespace) -> GlobalFlags:
    """Return the global flags of a parsed command line.

    Args:
        namespace: result of argparse.
    """
    fields = {flag.field: flag.kind for flag in FLAGS if flag.field}
    values = {field: getattr(namespace, field) for field in fields if getattr(namespace, field, None) is not None}
    values |= {field: tuple(values[field]) for field, kind in fields.items() if kind == "many" and field in values}
    signin = {name: values.pop(name) for name in SignInFlags.__dataclass_fields__ if name in values}
    return GlobalFlags(**values, signin=SignInFlags(**signin))


def port(text: str) -> int:
    """Read a port number, 1 to 65535; for argparse's ``type``.

    Args:
        text: as typed.

    Raises:
        argparse.ArgumentTypeError: the text is not a port number.
    """
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port, 1 to 65535")


def _command(front: Scanned) -> tuple[str, list[str], bool]:
    """Split off the command word: return the module, the words after it, and True if the flags have ended."""
    if front.ended or not front.rest or front.rest[0] not in (*COMMANDS, SSM):
        return "exec", front.rest, True
    word, *rest = front.rest
    if word != SSM:
        return COMMANDS[word], rest, False
    inner = scan(rest, _known_globals(), find=_find_flag)
    if inner.ended or not inner.rest or inner.rest[0] not in SSM_COMMANDS:
        given = f", not {inner.rest[0]!r}" if inner.rest else ""
        if not inner.rest and any(word.removeprefix("--") in HELP_FLAGS for word in inner.flags):
            return "shell", inner.flags, False
        raise UsageError(f"ssm takes shell, forward or ssh{given}", code="ssm-command-unknown")
    return COMMANDS[inner.rest[0]], [*inner.flags, *inner.rest[1:]], False


def _find_flag(name: str, following: str | None) -> Known | None:
    """Return a flag that some command declares, None if no command does.

    It may come before the command word, or with a command that does not have it.

    Args:
        name: name of the flag.
        following: the word after it. If the flag takes a value in one command and none in another, a command word
            there is not read as a value.
    """
    found = {known for _, _, parser in commands() if (known := known_flags(parser).get(name))}
    return min(found, key=lambda known: (known.takes_value == (following in COMMANDS), known), default=None)


def _refuse_late_flags(rest: Sequence[str], command: str) -> None:
    """Refuse a flag after the first positional, which would be read as the target, the file or the user."""
    if command in TARGET_COMMANDS and len(rest) > 2 and not rest[1].startswith("-") and not rest[2].startswith("-"):
        return  # the command itself reports that it runs no program
    late = next((each for each in rest[1:] if len(each) > 1 and each.startswith("-")), "")
    if late:
        name = late.partition("=")[0]  # a value may be a secret
        raise UsageError(
            f"unexpected argument {name!r}", code="argument-unexpected", hint="flags go before the profile"
        )


def _check_suitable(front: Sequence[str], back: Sequence[str], command: str, known: Mapping[str, Known]) -> None:
    """Refuse a global flag that does not work with the command, or that the command uses for something else."""
    common = _known_globals()
    for position, flag in enumerate((*front, *back)):
        name = flag.partition("=")[0]
        differs = (
            position < len(front)
            and name in known
            and name in common
            and known[name].takes_value != common[name].takes_value
        )
        if name not in known or differs:
            raise _unsuitable(name.removeprefix("--"), command)


def _check_questions(found: GlobalFlags) -> None:
    """Refuse a flag about programs or printed credentials together with one that asks a question or starts a server."""
    names = {flag.field: flag.name for flag in FLAGS}
    question = next((field for field in QUESTIONS if getattr(found, field)), "")
    without = next(
        (field for field in ("env", "expiration", "write_credentials", "unset") if getattr(found, field)), ""
    )
    if question and without:
        raise UsageError(
            f"{names[without]} and {names[question]} cannot be combined",
            code="flag-unsuitable",
            hint="leave one of them out",
        )


def _unsuitable(long: str, command: str) -> UsageError:
    """Return the error for a flag that a command does not support; it lists the commands that do."""
    works = [name for name, _, parser in commands() if _has_flag(parser, long) and name != "exec"]
    flag = next((flag for flag in FLAGS if flag.long == long), None)
    if long == "port":
        works += ["--ec2", "--ecs"]
    elif flag and flag.group not in (CREDENTIAL, SIGN_IN):
        works.insert(0, "exec")
    places = f"{', '.join(works[:-1])} and {works[-1]}" if len(works) > 1 else "".join(works)
    equivalent = EQUIVALENTS.get(flag.field) if flag else None
    return UsageError(
        f"{flag.name if flag else f'--{long}'} does not work with {command}; it works with {places}",
        code="flag-unsuitable",
        hint=f"use: aws-runas {equivalent}" if equivalent else None,
    )


def _has_flag(parser: Parser, long: str) -> bool:
    common, own = _known_globals().get(f"--{long}"), known_flags(parser).get(f"--{long}")
    return own is not None and (common is None or own.takes_value == common.takes_value)


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


def _region(text: str) -> str:
    if text and text.isascii() and all(letter.isalnum() or letter == "-" for letter in text) and len(text) < 64:
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not the name of a region, such as eu-west-1")


def _format(text: str) -> str:
    from aws_runas.credentials.printing import check_format

    return check_format(text)


_TYPES: dict[str, Callable[[str], object]] = {
    "session-duration": _duration(SESSION_TOKEN_RANGE, "a session token lifetime"),
    "role-duration": _duration(ROLE_RANGE, "a role credential lifetime"),
    "region": _region,
    "format": _format,
    "port": port,
}
