"""``[user@]target:path``: where a file of `cp` is. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?(?=@)")
_PATH = re.compile(r":(?=/|~|\./)")


@dataclass(frozen=True, slots=True)
class Location:
    """One side of a copy.

    Args:
        path: as typed.
        target: None on this machine, "" to be picked.
        user: on the instance, None for the session's own.
    """

    path: str
    target: str | None = None
    user: str | None = None


def parse_location(text: str) -> Location:
    """Read one side of a copy.

    The path begins behind the first ``:/``, ``:~`` or ``:./``, otherwise behind the last colon. So tags, ECS targets
    and addresses in brackets may contain colons. A local name with a colon is written with ``./`` in front.

    Without a target before the colon, the target is "": the user picks one.

    Args:
        text: as typed.

    Source: spec sessions 2.
    """
    if ":" not in text or text.startswith(("/", "./", "../", "~")):
        return Location(text)
    match = _PATH.search(text)
    target, path = (text[: match.start()], text[match.end() :]) if match else text.rsplit(":", 1)
    user = _USER.match(target)
    if user is not None:
        target = target[user.end() + 1 :]
    if target.startswith("[") and target.endswith("]"):
        target = target[1:-1]
    return Location(path, target, user[0] if user is not None else None)
