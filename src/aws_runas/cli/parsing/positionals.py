"""Separation of the profile from the other positionals. The rule about AWS_PROFILE is only here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence

from aws_runas.config.arn import looks_like_arn
from aws_runas.errors import UsageError

PROFILE_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")  # the first one that is set is used
Names = Collection[str] | Callable[[], Collection[str]]


def split_profile(
    words: Sequence[str], names: Names, environ: Mapping[str, str], most: int | None, *, named: str | None = None
) -> tuple[str | None, list[str]]:
    """Separate the profile from the words after it.

    With AWS_PROFILE (or AWS_DEFAULT_PROFILE) set, the profile is left out, unless the first word is an ARN, or there is
    one word more than the command takes. Otherwise, the first word is the profile, unless it is plainly a target.

    Args:
        words: the positionals.
        names: the known profiles, or a function that finds them; it is called only if the decision needs it.
        environ: the variables.
        most: maximum number of words after the profile; None for any number, as for a program.
        named: value of --profile; if given, no word is the profile.

    Returns:
        The profile, None if none was given, and the other words.

    Raises:
        UsageError: there are too many words, or the name of the profile is empty.
    """
    rest = list(words)
    if named == "":
        raise UsageError("--profile is empty", code="profile-empty", hint="leave the flag out for default")
    if named is not None:
        _refuse_surplus(rest, most)
        return named, rest
    if not rest:
        return None, []
    first = rest[0]
    if is_profile_set(environ):
        is_named = looks_like_arn(first) or (
            len(rest) > 1 and rest[1] == "--" and first in _known(names) if most is None else len(rest) > most
        )
    else:
        is_named = not (most and len(rest) <= most and _is_plainly_a_target(first) and first not in _known(names))
    profile = rest.pop(0) if is_named else None
    if profile == "":  # for example an unset "$NAME" of a script: it does not mean the default profile
        raise UsageError("the profile's name is empty", code="profile-empty", hint="leave the word out for default")
    _refuse_surplus(rest, most)
    return profile, rest


def refuse_program(
    command: str, words: Sequence[str], names: Names, environ: Mapping[str, str], *, named: str | None
) -> None:
    """Refuse words after the target of a command that runs no program.

    Args:
        command: its word.
        words: the positionals.
        names: the known profiles, or a function that finds them.
        environ: the variables.
        named: value of --profile.

    Raises:
        UsageError: there are such words; the hint shows the command that runs them.
    """
    is_target = bool(words) and is_profile_set(environ) and _is_plainly_a_target(words[0])
    most = 1 if named is not None or (is_target and len(words) > 1 and words[0] not in _known(names)) else 2
    if len(words) > most:
        where = words[most - 1]
        if command == "ssh":  # [user@]target[:port]
            where = where.rpartition("@")[2]
            where = where.rpartition(":")[0] if where.rpartition(":")[2].isdigit() else where
        raise UsageError(
            f"{command} runs no program, but {words[most]!r} follows the target",
            code="argument-unexpected",
            hint=f"use: aws-runas run {shlex.join([*words[: most - 1], where or 'target', *words[most:]])}",
        )


def _refuse_surplus(rest: Sequence[str], most: int | None) -> None:
    if most is not None and len(rest) > most:
        surplus = rest[most]
        hint = "flags go before the profile" if surplus.startswith("-") else "leave it out"
        raise UsageError(f"unexpected argument {surplus!r}", code="argument-unexpected", hint=hint)


def is_profile_set(environ: Mapping[str, str]) -> bool:
    """Return True if a variable names the profile.

    Args:
        environ: the variables.
    """
    return any(environ.get(name, "").strip() for name in PROFILE_VARIABLES)


def _known(names: Names) -> Collection[str]:
    return names() if callable(names) else names


def _is_plainly_a_target(word: str) -> bool:
    """Return True for ``i-0123abcd``, ``mi-...``, an IPv4 address, a port, or a word with a port, tag value or user."""
    prefix, dash, digits = word.partition("-")
    if dash and prefix in ("i", "mi") and len(digits) >= 8 and all(digit in "0123456789abcdef" for digit in digits):
        return True
    if word and all(part.isascii() and part.isdigit() for part in word.split(".")):
        return True
    return not looks_like_arn(word) and (":" in word or "@" in word)
