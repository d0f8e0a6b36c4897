"""The completions at each position, from the same parsers as the help."""

from __future__ import annotations

import argparse
import re

from aws_runas.cli.parsing.help import commands
from aws_runas.cli.parsing.parser import build_parser, load
from aws_runas.console.services import WORDS
from aws_runas.dataclass import dataclass
from aws_runas.fast.names import COMMANDS, SSM, SSM_COMMANDS

SHELLS = ("bash", "zsh", "fish", "powershell")

COMMAND_NAMES = tuple(dict.fromkeys(COMMANDS.values()))

# Kind of each position of a command: "profile", "tunnel" (a named tunnel), "either" of them, "program" (and everything
# after it), "nothing" if the values are not known without the network, or the words themselves.
POSITIONS: dict[str, tuple[str | tuple[str, ...], ...]] = {
    "exec": ("profile", "program"),
    "shell": ("profile", "nothing"),
    "forward": ("either", "tunnel"),
    "ssh": ("profile", "nothing"),
    "serve": (("ec2", "ecs"), "profile"),
    "list": (("roles", "mfa", "profiles", "instances"), "profile"),
    "whoami": ("profile",),
    "diagnose": ("profile", "nothing"),
    "password": ("profile",),
    "keys": (("add", "import", "list", "remove", "rotate"), "profile"),
    "completion": (SHELLS,),
    "sandbox": ("program",),
    "run": ("profile", "nothing"),
    "cp": ("profile", "nothing"),
    "console": ("profile", WORDS),
    "sessions": (("list", "show", "end"), "profile", "nothing"),
    "init": (SHELLS,),
    "login": ("profile",),
    "logout": ("profile",),
    "sso": (("list", "profiles"), "profile"),
    "help": (COMMAND_NAMES,),
    "version": (),
    "token": (("rds", "eks"), "profile", "nothing"),
    "ecr": (("login",), "profile", "nothing"),
    "tunnels": (("up", "down", "status", "login", "install", "uninstall"), "tunnel"),
    "fleet": (("run", "status", "output", "cancel", "list"), "profile", "nothing"),
}
VALUES = {
    "--output": ("env", "json", "fish", "powershell", "dotenv"),
    "--document": (
        "AWS-StartInteractiveCommand",
        "AWS-StartNonInteractiveCommand",
        "AWS-StartPortForwardingSession",
        "AWS-StartPortForwardingSessionToRemoteHost",
        "AWS-StartSSHSession",
        "SSM-SessionManagerRunShell",
    ),
    "--client": ("docker", "podman", "finch", "nerdctl", "buildah", "skopeo", "helm"),
    "--provider": ("browser", "azuread", "form", "keycloak", "process"),
    "--mfa-type": ("auto", "code", "push", "none"),
    "--sessions": ("auto", "1", "2", "4", "8"),
    "--from": ("file", "env", "aws-vault"),
    "--on": ("all",),
    "--full": ("auto", "none"),
    "--agent-manners": ("official", "kind"),
    "--agent-pace": ("official", "none"),
    "--signature": ("optional", "required", "refused"),
    "--publication": ("json", "wrong-digest", "text", "empty"),
}
_ALTERNATIVES = re.compile(r"[\w%-]+(?:\|[\w%-]+)+")  # a metavar such as auto|port|shell


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    Args:
        spellings: ``-d``, ``--duration``.
        takes_value: True if an argument follows.
        help: one line.
        values: possible arguments; empty if they are not known.
    """

    spellings: tuple[str, ...]
    takes_value: bool
    help: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Args:
        names: its name, then its aliases.
        summary: one line.
        flags: its own and the global ones.
        positions: see POSITIONS; "program" covers all following words, other kinds are not repeated.
    """

    names: tuple[str, ...]
    summary: str
    flags: tuple[Flag, ...]
    positions: tuple[str | tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """All flags and commands.

    Args:
        flags: flags before any command.
        commands: in the order of the help.
    """

    flags: tuple[Flag, ...]
    commands: tuple[Command, ...]
    ssm: str = SSM
    ssm_commands: tuple[str, ...] = SSM_COMMANDS


def table() -> Table:
    """Build the table from the parsers."""
    found = []
    for name, module, parser in commands():
        names = (name, *(alias for alias, target in COMMANDS.items() if target == name and alias != name))
        found.append(Command(names, module.SUMMARY, _flags(parser), POSITIONS.get(name, ())))
    return Table(_flags(build_parser("exec", load("exec"))), tuple(found))


def _flags(parser: argparse.ArgumentParser) -> tuple[Flag, ...]:
    flags = []
    for action in parser._actions:
        if not action.option_strings or action.help == argparse.SUPPRESS:
            continue
        takes_value = action.nargs not in (0, "?")
        flags.append(Flag(tuple(action.option_strings), takes_value, _one_line(action.help), _values(action)))
    return tuple(flags)


def _values(action: argparse.Action) -> tuple[str, ...]:
    """Return the possible arguments of a flag: by its name, the choices of its parser, or the words of its metavar."""
    for name in action.option_strings:
        if name in VALUES:
            return VALUES[name]
    if action.choices is not None:
        return tuple(map(str, action.choices))
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    words = metavar.split("|") if _ALTERNATIVES.fullmatch(metavar) else []
    return tuple(word for word in words if word.islower())


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).rstrip(".")
