"""Headings of the config file, read as the AWS CLI reads them, with corrections for those that it ignores."""

from __future__ import annotations

import shlex

KINDS = ("profile", "sso-session", "services")


def split_heading(heading: str) -> tuple[str, str]:
    """Return kind and name of a section; the kind is "" if the AWS CLI ignores the section.

    Args:
        heading: as written between the brackets.
    """
    if heading == "default":
        return "profile", heading
    if not heading.startswith(KINDS):
        return "", heading
    try:
        words = shlex.split(heading)
    except ValueError:
        return "", heading
    # the AWS CLI checks only the prefix, then the number of words
    kind = next(kind for kind in KINDS if heading.startswith(kind))
    return (kind, words[1]) if len(words) == 2 else ("", heading)


def heading_of(kind: str, name: str) -> str:
    """Return the heading of a section.

    Args:
        kind: one of `KINDS`.
        name: of the section; a name with blanks is quoted.
    """
    return name if (kind, name) == ("profile", "default") else f"{kind} {shlex.quote(name)}"


def intended_heading(heading: str) -> str:
    """Return the heading that was probably meant, "" for a heading that is correct or belongs to another program.

    Names with blanks need quotes, kinds are in lower case, and ``sso-session`` has a hyphen.

    Args:
        heading: as written between the brackets.
    """
    kind, _, name = heading.strip().replace("\t", " ").partition(" ")
    kind, name = kind.lower().replace("_", "-"), name.strip().strip("\"'").strip()
    if kind not in KINDS or split_heading(heading)[0]:
        return ""
    return heading_of(kind, name or "NAME")


def broken_heading(text: str, last: int) -> tuple[int, str] | None:
    """Return the number of the first line that lacks a bracket and what is wrong with it, or None.

    The lines below it belong to no section or to the previous one, which causes the other errors in the file.

    Args:
        text: of the file.
        last: number of the last line to check.
    """
    for number, line in enumerate(text.splitlines()[:last], 1):
        heading = line.rstrip()
        if heading.startswith("[") and "]" not in heading:
            return number, f"']' is missing in {heading!r}"
        if heading.endswith("]") and heading.partition(" ")[0] in KINDS and "=" not in heading:
            return number, f"'[' is missing in {heading!r}"
    return None
