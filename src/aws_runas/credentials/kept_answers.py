"""Answers of identity providers on disk until they expire: one sign-in serves all roles and processes in that time.

Only this user can read a file (0600). It is replaced atomically, and removed after it expires.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from aws_runas import files
from aws_runas.credentials.cache import read_private

VERSION = 1
RESERVE = 30.0  # seconds before expiration in which an answer is not used: the call takes time, clocks differ


class KeptAnswers:
    """The answer of one provider to one user.

    Args:
        directory: the cache directory.
        identity: values that identify it: address, provider, user.
    """

    def __init__(self, directory: Path, identity: tuple[str, ...]) -> None:
        text = json.dumps([VERSION, *identity])
        self._directory = directory
        self.name = f"assertion-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:40]}.json"

    def read(self, now: float) -> str | None:
        """Return the answer, None if there is no usable one.

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
        """Store an answer; if that fails, each process signs in for itself.

        Args:
            until: seconds since the epoch.
        """
        content = json.dumps({"Version": VERSION, "Answer": answer, "Until": until}).encode()
        with contextlib.suppress(OSError), files.open_private_directory(self._directory) as directory:
            directory.write(self.name, content)

    def remove(self) -> None:
        """Remove the answer."""
        with contextlib.suppress(OSError), files.open_private_directory(self._directory, create=False) as directory:
            directory.remove(self.name)
