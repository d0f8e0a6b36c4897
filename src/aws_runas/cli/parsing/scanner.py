"""Finds the flags of a command line. They end at the first positional, or at ``--``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from aws_runas.errors import UsageError

# Flags that do not exist, unlike --list-roles and --list-mfa; and the command to use instead.
LIST_FLAGS = {"--list-profiles": "list profiles", "--list-instances": "list instances"}


class Known(NamedTuple):
    """A flag as the scanner sees it: its spelling for argparse, and True if an argument follows.

    Args:
        optional: it may have an argument, as ``--flag=value`` only.
    """

    spelling: str
    takes_value: bool
    optional: bool = False


Find = Callable[[str, str | None], Known | None]


class Scanned(NamedTuple):
    """A command line, split where its flags end.

    Args:
        flags: one word for each flag, ``--long`` or ``--long=value``.
        rest: the first positional and everything after it.
        ended: True if ``--`` ended the flags, so that the rest names no command.
    """

    flags: list[str]
    rest: list[str]
    ended: bool


def scan(
    words: Sequence[str],
    known: Mapping[str, Known],
    *,
    find: Find = lambda _name, _following: None,
    ignored: Collection[str] = (),
    anywhere: bool = False,
) -> Scanned:
    """Separate the flags from the positionals after them.

    Args:
        words: the command line, without the program's name.
        known: every flag by each of its spellings, dashes included.
        find: maps an unknown flag and the word after it to the flag of the command that declares it.
        ignored: positionals that do not end the flags; each at most once, in front of the others.
        anywhere: no positional ends the flags, since the command runs no program.

    Raises:
        UsageError: an unknown flag, a missing argument, or an argument that a switch does not take.
    """
    flags: list[str] = []
    passed: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--":
            return Scanned(flags, [*passed, *words[index:]], True)
        if not word.startswith("-") or word == "-":
            if anywhere or (word in ignored and not passed):
                passed.append(word)
                continue
            return Scanned(flags, [*passed, *words[index - 1 :]], False)
        following = words[index] if index < len(words) else None
        found, used = (_long if word.startswith("--") else _letters)(word, following, known, find)
        flags += found
        index += used
    return Scanned(flags, passed, False)


def _long(word: str, following: str | None, known: Mapping[str, Known], find: Find) -> tuple[list[str], int]:
    name, equals, value = word.partition("=")
    flag = known.get(name) or find(name, following) or _unknown(name, known)
    if not flag.takes_value:
        if equals and flag.optional:
            return [f"{flag.spelling}={value}"], 0
        if equals:
            raise UsageError(f"{name} takes no argument, but {value!r} was given", code="flag-takes-no-argument")
        return [flag.spelling], 0
    if equals:
        return [f"{flag.spelling}={value}"], 0
    return [_with(flag, name, following)], 1


def _letters(word: str, following: str | None, known: Mapping[str, Known], find: Find) -> tuple[list[str], int]:
    """Read ``-Es``, ``-d1h`` or ``-p``: several switches, the last of them with its argument."""
    found: list[str] = []
    for position, letter in enumerate(word[1:], start=2):
        flag = known.get(f"-{letter}") or find(f"-{letter}", following) or _unknown(f"-{letter}", known, of=word)
        if not flag.takes_value:
            found.append(flag.spelling)
            continue
        attached = word[position:]
        if attached:
            return [*found, f"{flag.spelling}={attached.removeprefix('=')}"], 0
        return [*found, _with(flag, f"-{letter}", following)], 1
    return found, 0


def _with(flag: Known, name: str, value: str | None) -> str:
    if value is None:
        raise UsageError(f"{name} needs an argument", code="flag-argument-missing")
    return f"{flag.spelling}={value}"


def _unknown(name: str, known: Mapping[str, Known], *, of: str = "") -> Known:
    if name in LIST_FLAGS:
        raise UsageError(f"unknown flag {name}", code="flag-unknown", hint=f"use: aws-runas {LIST_FLAGS[name]}")
    import difflib

    near = difflib.get_close_matches(name, [each for each in known if each.startswith("--")], n=1)
    where = f" in {of}" if of and of != name else ""
    hint = f"did you mean {near[0]}?" if near else "aws-runas --help lists the flags"
    raise UsageError(f"unknown flag {name}{where}", code="flag-unknown", hint=hint)
