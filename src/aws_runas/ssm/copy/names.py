"""File names: parses ``[user@]target:path``, checks names from the far side, and escapes names. Does no I/O."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from aws_runas.dataclass import dataclass

MAX_PART: Final = 255  # bytes of a file's name
MAX_NAME: Final = 4096  # bytes of a path


@dataclass(frozen=True, slots=True)
class Filters:
    """Patterns of entries to copy. A pattern without ``/`` is compared with the last part of the name."""

    exclude: Sequence[str] = ()
    include: Sequence[str] = ()

    def allows(self, name: str) -> bool:
        """Return True if no excluded pattern matches, or an included one matches too."""
        return not _fits(name, self.exclude) or _fits(name, self.include)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    last = posixpath.basename(name)
    return any(fnmatchcase(name if "/" in pattern else last, pattern.strip("/")) for pattern in patterns)


def refusal(name: object) -> str:
    """Return the reason to refuse a name that the far side reports; "" for a valid name.

    A name may contain a line feed: lists do not separate names with it, and names are escaped before they are shown.

    Args:
        name: relative to the top of the copy, parts separated by ``/``.
    """
    if not isinstance(name, str) or not name:
        return "it is empty"
    if name.startswith("/"):
        return "it is absolute"
    if any((ord(letter) < 32 and letter != "\n") or ord(letter) == 127 for letter in name):
        return "it has control characters"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "it leads out of the destination"
    size = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if max(size) > MAX_PART or sum(size) > MAX_NAME:
        return "it is too long"
    return ""


def link_refusal(name: str, target: object) -> str:
    """Return the reason to refuse a link that the far side reports; "" for a valid link.

    Args:
        name: name of the link, relative to the top of the copy.
        target: target of the link, as stored in it.
    """
    if not isinstance(target, str) or not target or "\0" in target:
        return "its target is empty"
    if target.startswith("/"):
        return "it leads to an absolute name"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    return "it leads out of the destination" if path == ".." or path.startswith("../") else ""


def printable(name: str) -> str:
    """Return a name with unprintable characters escaped, so that it cannot control a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def join(folder: str, name: str) -> str:
    """Return the path of a name in a folder; "" is the current folder, and an empty name is the folder itself."""
    return posixpath.join(folder, name) if folder and name else folder or name


def base_name(path: str) -> str:
    """Return the last part of a path as cp does, without trailing slashes."""
    return posixpath.basename(path.rstrip("/")) or "/"


_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?(?=@)")
_PATH = re.compile(r":(?=/|~|\./)")


@dataclass(frozen=True, slots=True)
class Location:
    """One side of a copy.

    Args:
        path: as typed.
        target: None for this machine, "" if the user picks one.
        user: user on the instance, None for the session's own user.
    """

    path: str
    target: str | None = None
    user: str | None = None


def parse_location(text: str) -> Location:
    """Read one side of a copy.

    The path begins after the colon of the first ``:/``, ``:~`` or ``:./``, otherwise after the last colon. So tags, ECS
    targets and addresses in brackets may contain colons. A local name with a colon needs the prefix ``./``.

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
