"""Aliases and functions of the user's interactive shell, for a word that is not the name of a program."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

# The alias receives the arguments as positional parameters of the shell: they are neither quoted nor parsed again.
_NOT_FOUND = "echo \"aws-runas: program '{name}' was not found in PATH, nor as an alias or function of {shell}\" >&2"
_POSIX = 'if type {name} >/dev/null 2>&1; then {name} "$@"; else ' + _NOT_FOUND + "; (exit 127); fi"
_FISH = "if type -q {name}; {name} $argv; else; " + _NOT_FOUND + "; exit 127; end"
SHELLS = {"bash": _POSIX, "zsh": _POSIX, "ksh": _POSIX, "mksh": _POSIX, "dash": _POSIX, "sh": _POSIX, "fish": _FISH}

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+:@%,")
RESERVED = frozenset(("if", "then", "else", "elif", "fi", "case", "esac", "for", "while", "until", "do", "done", "in"))
RESERVED |= {"function", "select", "time", "coproc", "begin", "end", "switch"}


def command(words: Sequence[str], variables: Mapping[str, str]) -> list[str] | None:
    """Return a command that calls an alias or a function.

    Args:
        words: name of the alias or function, and its arguments.
        variables: contain SHELL.

    Returns:
        A command that runs the alias or function, or reports that it does not exist and exits with 127; None if no
        shell can be used.
    """
    name = words[0]
    shell = variables.get("SHELL", "")
    script_of_shell = SHELLS.get(os.path.basename(shell))
    if script_of_shell is None or not os.access(shell, os.X_OK):
        return None
    if not name or name.startswith("-") or name in RESERVED or not PLAIN.issuperset(name):
        return None  # a shell does not expand an alias that is quoted
    separator = ["--"] if script_of_shell is _FISH else [shell]
    script = script_of_shell.format(name=name, shell=os.path.basename(shell))
    if script_of_shell is _POSIX and not _has_terminal():
        # shells print a warning that they cannot control a terminal, although none is needed
        script = f"exec 2>&9 9>&-; {script}"
        return ["/bin/sh", "-c", 'exec "$@" 9>&2 2>/dev/null', "sh", shell, "-ic", script, *separator, *words[1:]]
    return [shell, "-ic", script, *separator, *words[1:]]


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
