"""Answers of identity providers on disk, until they end: one sign-in serves all roles and processes of these minutes.

A file is this user's alone (0600), replaced whole, and removed once it has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from aws_runas import files
from aws_runas.credentials.cache import read_private

VERSION = 1
RESERVE = 30.0  # seconds before its end from which an answer is not used: the call takes time, clocks differ


class KeptAnswers:
    """The answer of one provider to one user.

    Args:
        directory: the cache directory.
        identity: what tells it from others: address, provider, user.
    """

    def __init__(self, directory: Path, identity: tuple[str, ...]) -> None:
        text = json.dumps([VERSION, *identity])
        self._directory = directory
        self.name = f"assertion-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:40]}.json"

    def read(self, now: float) -> str | None:
        """Return the answer; None if there is none that can be used.

        Args:
            now: seconds since the epoch.
        """
        with contextlib.suppress(OSError), files.open_private_directory(self._directory, create=False) as directory:
            try:
                found = json.loads(read_private(directory, self.name))
                if found["Version"] == VERSION and now < float(found["Until"]) - RESERVE:
                    return str(found["Answer"])
            except (ValueError, KeyError, TypeError, RecursionError):
                pass
            directory.remove(self.name)
        return None

    def write(self, answer: str, until: float) -> None:
        """Keep an answer; where that is not possible, each process signs in for itself.

        Args:
            until: seconds since the epoch.
        """
        content = json.dumps({"Version": VERSION, "Answer": answer, "Until": until}).encode()
        with contextlib.suppress(OSError), files.open_private_directory(self._directory) as directory:
            directory.write(self.name, content)

    def remove(self) -> None:
        """Forget the answer."""
        with contextlib.suppress(OSError), files.open_private_directory(self._directory, create=False) as directory:
            directory.remove(self.name)
