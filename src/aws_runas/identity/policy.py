"""Roles that a set of IAM policies allows its holder to assume. Pure: documents in, names out.

It evaluates Effect, Action and NotAction, Resource and NotResource. Conditions cannot be evaluated here, so an Allow
with a condition counts and a Deny with one does not: a role listed in error is refused when it is assumed, but a role
that is not listed cannot be found.
Source: IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import cast

from aws_runas.dataclass import dataclass

Document = Mapping[str, object]

ASSUME_ROLE = "sts:AssumeRole"
_WORD, _LETTER = "\0", "\1"  # in _ANY_ROLE: any text, and any single character, without a colon
_ANY_ROLE = f"arn:{_WORD}:iam::{_LETTER * 12}:role/{_WORD}"
_ROLE = re.compile(r"arn:[^:*?]+:iam::[0-9]{12}:role/[^:*?]+")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A Resource with wildcards, or with a variable that is not known here.

    Args:
        resource: the text in the policy.
        policies: names of the policies that contain it, sorted.
    """

    resource: str
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """Result of evaluating policies.

    Args:
        roles: ARNs, sorted.
        patterns: resources that match roles that cannot be listed here, sorted.
    """

    roles: tuple[str, ...]
    patterns: tuple[Pattern, ...]


def assumable_roles(policies: Iterable[tuple[str, Document]], variables: Mapping[str, str]) -> Judged:
    """Evaluate all policies of one identity together: a Deny in one policy overrides an Allow in any other.

    Args:
        policies: name and document of each.
        variables: values of policy variables, such as ``aws:username``.
    """
    allowed: dict[str, set[str]] = {}
    denials: list[Mapping[str, object]] = []
    for name, document in policies:
        for statement in _statements(document):
            if not _speaks_of_assume_role(statement):
                continue
            if statement.get("Effect") == "Deny":
                if not statement.get("Condition"):
                    denials.append(statement)
            elif statement.get("Effect") == "Allow":
                for resource in _strings(statement.get("Resource")):
                    allowed.setdefault(_filled_in(resource, variables), set()).add(name)
    kept = [one for one in sorted(allowed) if not any(_denied(one, denial, variables) for denial in denials)]
    return Judged(
        roles=tuple(one for one in kept if _ROLE.fullmatch(one) and "${" not in one),
        patterns=tuple(Pattern(one, tuple(sorted(allowed[one]))) for one in kept if _is_pattern_of_roles(one)),
    )


def _statements(document: Document) -> list[Mapping[str, object]]:
    found = document.get("Statement", [])
    listed = found if isinstance(found, Sequence) and not isinstance(found, str) else [found]
    return [cast("Mapping[str, object]", one) for one in listed if isinstance(one, Mapping)]


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Sequence):
        return [one for one in value if isinstance(one, str)]
    return []


def _speaks_of_assume_role(statement: Mapping[str, object]) -> bool:
    if "NotAction" in statement:
        return not any(matches(one.lower(), ASSUME_ROLE.lower()) for one in _strings(statement["NotAction"]))
    return any(matches(one.lower(), ASSUME_ROLE.lower()) for one in _strings(statement.get("Action")))


def _denied(resource: str, denial: Mapping[str, object], variables: Mapping[str, str]) -> bool:
    """Return True if a Deny covers everything that a resource matches."""
    if "NotResource" in denial:
        spared = [_filled_in(one, variables) for one in _strings(denial["NotResource"])]
        return not any(overlap(resource, one) for one in spared)
    return any(matches(_filled_in(one, variables), resource) for one in _strings(denial.get("Resource")))


def _filled_in(resource: str, variables: Mapping[str, str]) -> str:
    """Insert the values of the policy variables that are known here."""
    for name, value in variables.items():
        literal = value.replace("\\", r"\\")
        resource = re.sub(re.escape(f"${{{name}}}"), literal, resource, flags=re.IGNORECASE)
    return resource


def _is_pattern_of_roles(resource: str) -> bool:
    if not any(mark in resource for mark in ("*", "?", "${")):
        return False
    return overlap(re.sub(r"\$\{[^}]*\}", "*", resource), _ANY_ROLE)


def matches(pattern: str, text: str) -> bool:
    """Return True if a pattern with ``*`` and ``?`` covers a text.

    The text may be a pattern itself. Its ``*`` is only covered by a ``*``, so the result applies to every text that it
    matches.

    Args:
        pattern: pattern of a policy.
        text: a text or another pattern.
    """
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "[^*]"}
    return re.compile("".join(parts.get(one, re.escape(one)) for one in re.sub(r"\*+", "*", pattern)), re.DOTALL)


def overlap(one: str, other: str) -> bool:
    """Return True if two patterns have a text in common that both cover.

    Args:
        one, other: patterns with ``*`` and ``?``.
    """
    reachable = {0}  # positions in other, for the current position in one
    reachable = _past_stars(reachable, other)
    for mark in one:
        if mark == "*":
            after = set(range(min(reachable), len(other) + 1)) if reachable else set()
        else:
            after = set()
            for position in reachable:
                if position < len(other):
                    there = other[position]
                    if there == "*" or (there == _WORD and mark != ":"):
                        after.add(position)
                    elif there == "?" or mark in ("?", there) or (there == _LETTER and mark != ":"):
                        after.add(position + 1)
        reachable = _past_stars(after, other)
        if not reachable:
            return False
    return len(other) in reachable


def _past_stars(positions: set[int], pattern: str) -> set[int]:
    found = set(positions)
    for position in positions:
        while position < len(pattern) and pattern[position] in ("*", _WORD):
            position += 1
            found.add(position)
    return found
