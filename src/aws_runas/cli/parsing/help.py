"""Help pages: usage, examples, commands and flags, wrapped to the width of the terminal."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Sequence
from typing import BinaryIO

from aws_runas import __version__
from aws_runas.cli.parsing.flags import CREDENTIAL, FLAGS, GROUPS, OTHER, SIGN_IN
from aws_runas.cli.parsing.parser import COMMANDS, Command, Parser, build_parser, commands, load

PROGRAM = "aws-runas"
SUMMARY = "Run a program with the credentials of an AWS profile or role, or open an SSM session"
EXAMPLES = (
    (f"{PROGRAM} my-profile aws s3 ls", "Run a program with the credentials of a profile"),
    (f'eval "$({PROGRAM} my-profile)"', "Set the credentials in this shell"),
    (f"{PROGRAM} shell my-profile i-0123456789abcdef0", "Open a shell on an instance"),
)
DEFAULT_WIDTH = 80  # columns, if there is no terminal
MIN_WIDTH = 40  # columns; a narrower terminal breaks the lines itself
LEFT_COLUMN = 27  # characters of the flags before their descriptions

__all__ = ["arguments", "commands", "flags", "page", "terminal_width", "usage"]

Row = tuple[str, str]


def terminal_width(stream: BinaryIO) -> int:
    """Return the columns of the terminal that a stream writes to, 80 if it is not a terminal.

    Args:
        stream: stream to which the help is written.
    """
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return DEFAULT_WIDTH
    return max(MIN_WIDTH, columns) if columns else DEFAULT_WIDTH


def page(kind: str, command: str, width: int = DEFAULT_WIDTH) -> str:
    """Compose the text that a help flag requests.

    Args:
        kind: "short", "long" or "version".
        command: module name, "" for the whole program.
        width: width in columns.
    """
    if kind == "version":
        return f"{PROGRAM} {__version__}\n"
    if kind == "long":
        pages = [_command_page(name, module, parser, width, own_only=True) for name, module, parser in commands()]
        return "\n".join([_program_page(width), *pages])
    if command:
        module = load(command)
        return _command_page(command, module, build_parser(command, module), width)
    return _program_page(width)


def _program_page(width: int) -> str:
    rows = [(name, module.SUMMARY + _aliases(name)) for name, module, _ in commands()]
    parser = build_parser("exec", load("exec"))
    parts = [
        _usage(["[flags] [profile] [program [args...]]", "[flags] COMMAND [flags] [args...]"], width),
        _wrap(SUMMARY, width),
        _section("Examples", list(EXAMPLES), width),
        _section("Commands", rows, width),
        *(_section(title, flags(parser, group), width) for group, title in GROUPS.items()),
        _wrap(f"{PROGRAM} COMMAND --help shows the flags of a command. To use a profile named like a command, "
              f"write --profile NAME, {PROGRAM} exec NAME or {PROGRAM} -- NAME.", width),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _command_page(name: str, module: Command, parser: Parser, width: int, *, own_only: bool = False) -> str:
    parts = [_usage([f"[flags] {usage(name, module, parser)}"], width), _wrap(module.SUMMARY, width)]
    examples = getattr(module, "EXAMPLES", ())
    if examples:
        parts.append(_section("Examples", list(examples), width))
    rows = arguments(parser)
    if rows:
        parts.append(_section("Arguments", rows, width))
    own = flags(parser, "")
    if own:
        parts.append(_section("Flags", own, width))
    if not own_only:
        if name == "exec":
            shown = [(title, flags(parser, group)) for group, title in GROUPS.items() if group != OTHER]
        else:
            shown = [(GROUPS[group], flags(parser, group)) for group in (CREDENTIAL, SIGN_IN)]
        rest = [group for group in GROUPS if group not in (CREDENTIAL, SIGN_IN) and name != "exec"]
        others = [row for group in rest for row in flags(parser, group)]
        shown.append((GROUPS[OTHER], others or flags(parser, OTHER)))
        parts += [_section(title, found, width) for title, found in shown if found]
    aliases = _alias_names(name)
    if aliases:
        parts.append(_wrap("Also spelled: " + ", ".join(aliases), width))
    return "\n\n".join(parts) + "\n"


def usage(name: str, module: Command, parser: argparse.ArgumentParser) -> str:
    """Return the usage line of a command, after the program and the global flags.

    Args:
        name: name of the command.
        module: module of the command.
        parser: parser of the command.
    """
    written: str | None = getattr(module, "USAGE", None)
    if written:
        return written
    return " ".join([name, *(left for left, _ in arguments(parser))])


def flags(parser: argparse.ArgumentParser, group: str) -> list[Row]:
    """Return the flags of a parser as rows: the spelling, and one line of help.

    Args:
        parser: parser of a command.
        group: group of global flags, one of GROUPS; "" for the command's own flags.
    """
    groups = {(flag.long, flag.help): flag.group for flag in FLAGS}
    rows = []
    for action in parser._actions:
        if not action.option_strings or action.help == argparse.SUPPRESS:
            continue
        if groups.get((action.option_strings[-1].removeprefix("--"), action.help or ""), "") == group:
            rows.append((spelling(action), action.help or ""))
    return rows


def spelling(action: argparse.Action) -> str:
    """Write a flag as ``-d, --duration=DURATION``.

    Args:
        action: action of the parser.
    """
    letters = [name for name in action.option_strings if not name.startswith("--")]
    names = [name for name in action.option_strings if name.startswith("--")]
    text = ", ".join(letters + names)
    if action.nargs != 0:
        metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper().replace("_", "-")
        value = f"={metavar}" if names else f" {metavar}"
        text += f"[{value}]" if action.nargs == "?" else value
    return text if letters else "    " + text


def arguments(parser: argparse.ArgumentParser) -> list[Row]:
    """Return the positionals of a parser as rows: ``[<profile>]``, and one line of help.

    Args:
        parser: parser of a command.
    """
    rows = []
    for action in parser._get_positional_actions():
        if action.help == argparse.SUPPRESS:
            continue
        name = action.metavar if isinstance(action.metavar, str) else action.dest
        if not name.startswith(("[", "<")):
            name = f"<{name}>" if action.nargs is None else f"[<{name}>]" if action.nargs == "?" else f"[<{name}>...]"
        rows.append((name, action.help or ""))
    return rows


def _alias_names(name: str) -> list[str]:
    return [alias for alias, module_name in COMMANDS.items() if module_name == name and alias != name]


def _aliases(name: str) -> str:
    names = _alias_names(name)
    return f" (also {', '.join(names)})" if names else ""


def _usage(lines: Sequence[str], width: int) -> str:
    wrapped: list[str] = []
    for position, line in enumerate(lines):
        start = ("usage: " if position == 0 else "       ") + PROGRAM + " "
        wrapped += textwrap.wrap(
            line, width, initial_indent=start, subsequent_indent=" " * len(start),
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(wrapped)


def _section(title: str, rows: Sequence[Row], width: int) -> str:
    column = min(LEFT_COLUMN, max(len(left) for left, _ in rows))
    return "\n".join([f"{title}:", *(_row(left, right, column, width) for left, right in rows)])


def _row(left: str, right: str, column: int, width: int) -> str:
    indent = " " * min(column + 4, width // 2)
    lines = textwrap.wrap(right, max(width - len(indent), 10), break_long_words=False, break_on_hyphens=False)
    if len(left) + 4 > len(indent) or not lines:
        return "\n".join([f"  {left}", *(indent + line for line in lines)])
    first = f"  {left}".ljust(len(indent)) + lines[0]
    return "\n".join([first, *(indent + line for line in lines[1:])])


def _wrap(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
