"""Help in the layout of the original: usage, flags, arguments, and the commands where there are several."""

from __future__ import annotations

import argparse
import importlib.util

from aws_runas import __version__
from aws_runas.cli.parsing.parser import COMMANDS, Command, build_parser, load

PROGRAM = "aws-runas"
SUMMARY = "Run a program with the credentials of an AWS profile or role, or open an SSM session"
LEFT_COLUMN = 23  # characters, as in the original; what is longer gets a line of its own
HIDDEN = ("--help-long", "--help-man")  # named in the line of --help


def page(kind: str, command: str) -> str:
    """Compose what a help flag asks for.

    Args:
        kind: "short", "long" or "version".
        command: module name, "" for the whole program.
    """
    if kind == "version":
        return f"{PROGRAM} {__version__}\n"
    if kind == "short" and command:
        return command_help(command)
    return program_help(everything=kind == "long")


def command_help(name: str) -> str:
    """The help of one command."""
    module = load(name)
    parser = build_parser(name, module)
    parts = [
        f"usage: {PROGRAM} [<flags>] {usage(name, module, parser)}",
        _first_upper(module.SUMMARY),
        "Flags:\n" + "\n".join(_row(*flag) for flag in flags(parser)),
    ]
    rows = arguments(parser)
    if rows:
        width = max(len(left) for left, _ in rows)
        parts.append("Args:\n" + "\n".join(f"  {left:{width}}  {right}".rstrip() for left, right in rows))
    aliases = [alias for alias, module_name in COMMANDS.items() if module_name == name and alias != name]
    if aliases:
        parts.append("Also spelled: " + ", ".join(aliases))
    return "\n\n".join(parts) + "\n"


def program_help(*, everything: bool) -> str:
    """The help of the program: its flags and commands.

    Args:
        everything: with the flags of each command.
    """
    module = load("exec")
    parser = build_parser("exec", module)
    parts = [
        f"usage: {PROGRAM} [<flags>] [<profile>] [<command> [<args>...]]\n"
        f"       {PROGRAM} [<flags>] <{PROGRAM} command> [<flags>] [<args>...]",
        SUMMARY,
        "Flags:\n" + "\n".join(_row(*flag) for flag in flags(parser)),
        "Args:\n" + "\n".join(f"  {left:23}  {right}".rstrip() for left, right in arguments(parser)),
        "Commands:\n" + "\n".join(_command_rows(everything)),
        "A profile named like a command: aws-runas exec NAME, or aws-runas -- NAME.",
    ]
    return "\n\n".join(parts) + "\n"


def commands() -> list[tuple[str, Command, argparse.ArgumentParser]]:
    """Every command that is there: name, module, parser."""
    found: list[tuple[str, Command, argparse.ArgumentParser]] = []
    for name in dict.fromkeys(COMMANDS.values()):
        if importlib.util.find_spec(f"aws_runas.cli.commands.{name}"):
            module = load(name)
            found.append((name, module, build_parser(name, module)))
    return found


def usage(name: str, module: Command, parser: argparse.ArgumentParser) -> str:
    """The usage line of a command, after the program and the global flags."""
    written: str | None = getattr(module, "USAGE", None)
    if written:
        return written
    return " ".join([name, *(left for left, _ in arguments(parser))])


def flags(parser: argparse.ArgumentParser, *, own: bool = False) -> list[tuple[str, str]]:
    """The flags of a parser as they are written: spelling, one line of help.

    Args:
        parser: of a command.
        own: leave the global ones out.
    """
    rows = []
    common = set(_global_help()) if own else set()
    for action in parser._actions:
        if not action.option_strings or action.option_strings[-1] in HIDDEN or action.help == argparse.SUPPRESS:
            continue
        if own and action.help in common:
            continue
        rows.append((spelling(action), action.help or ""))
    return rows


def spelling(action: argparse.Action) -> str:
    """Write a flag as ``-d, --duration=DURATION``."""
    letters = [name for name in action.option_strings if not name.startswith("--")]
    words = [name for name in action.option_strings if name.startswith("--")]
    text = ", ".join(letters + words)
    if action.nargs != 0:
        metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper().replace("_", "-")
        text += f"={metavar}" if words else f" {metavar}"
    return text if letters else "    " + text


def arguments(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """The positionals as they are written: ``[<profile>]`` and one line of help."""
    rows = []
    for action in parser._get_positional_actions():
        name = action.metavar if isinstance(action.metavar, str) else action.dest
        if not name.startswith(("[", "<")):
            name = f"<{name}>" if action.nargs is None else f"[<{name}>]" if action.nargs == "?" else f"[<{name}>...]"
        rows.append((name, action.help or ""))
    return rows


def _command_rows(everything: bool) -> list[str]:
    rows = []
    for name, module, parser in commands():
        aliases = [alias for alias, module_name in COMMANDS.items() if module_name == name and alias != name]
        also = f" (also: {', '.join(aliases)})" if aliases else ""
        rows.append(f"  {usage(name, module, parser)}{also}\n    {_first_upper(module.SUMMARY)}")
        if everything:
            rows += ["\n".join("  " + line for line in _row(*flag).split("\n")) for flag in flags(parser, own=True)]
            rows.append("")
    return rows


def _row(left: str, right: str) -> str:
    if len(left) > LEFT_COLUMN:
        return f"  {left}  \n{'':{LEFT_COLUMN + 4}}{right}"
    return f"  {left:{LEFT_COLUMN}}  {right}"


def _global_help() -> list[str]:
    from aws_runas.cli.parsing.flags import FLAGS

    return [flag.help for flag in FLAGS]


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
