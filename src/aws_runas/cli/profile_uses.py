"""How often and when each profile was used: the order of the picker. Counts and times, no secrets and no names.

The full path counts a use; the cached path does not, so a profile that is used all day counts about once an hour.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aws_runas import files

FILE_NAME = "profile-uses"  # in the cache directory
MAX_PROFILES = 1000  # kept; the one that was used longest ago goes first
MAX_SIZE = 128 * 1024  # bytes
HALF_LIFE = 14 * 24 * 3600.0  # seconds after which a use counts half


@dataclass(frozen=True, slots=True)
class Use:
    """Uses of one profile.

    Args:
        count: of uses.
        last: time of the last one, seconds since the epoch.
    """

    count: int
    last: int

    def weight(self, now: float) -> float:
        """Return how much the uses count now.

        Args:
            now: seconds since the epoch.
        """
        return float(self.count * 0.5 ** (max(0.0, now - self.last) / HALF_LIFE))


class ProfileUses:
    """The file.

    Args:
        directory: the cache directory; nothing is written if it is missing or not private.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def order(self, names: Iterable[str], now: float) -> list[str]:
        """Return names with the most used first, and those that were never used in their order.

        Args:
            names: of profiles.
            now: seconds since the epoch.
        """
        uses = self._read()
        unused = Use(0, 0)
        return sorted(names, key=lambda name: -uses.get(_key(name), unused).weight(now))

    def add(self, name: str, now: float) -> None:
        """Count a use. If that is not possible, nothing happens.

        Args:
            name: of the profile.
            now: seconds since the epoch.
        """
        uses = self._read()
        key = _key(name)
        uses[key] = Use(uses.get(key, Use(0, 0)).count + 1, int(now))
        kept = sorted(uses.items(), key=lambda item: item[1].last, reverse=True)[:MAX_PROFILES]
        content = "".join(f"{key} {use.count} {use.last}\n" for key, use in kept)
        try:
            with files.open_private_directory(self._directory, create=False) as directory:
                directory.write(FILE_NAME, content.encode())
        except OSError:
            return

    def _read(self) -> dict[str, Use]:
        """Return the uses by key; a damaged line counts as none."""
        found: dict[str, Use] = {}
        try:
            with files.open_private_directory(self._directory, create=False) as directory:
                descriptor = directory.open(FILE_NAME, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
                with os.fdopen(descriptor, "rb") as stream:
                    content = stream.read(MAX_SIZE)
        except OSError:
            return found
        for line in content.decode("ascii", "replace").splitlines():
            key, _, numbers = line.partition(" ")
            count, _, last = numbers.partition(" ")
            if len(key) == len(_key("")) and _is_number(count) and _is_number(last):
                found[key] = Use(int(count), int(last))
        return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _key(name: str) -> str:
    """A name that shows nothing in the file."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
