"""Session documents that an identity may not use, remembered for an hour so that later commands do not ask again."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aws_runas import files

REMEMBERED: Final = 3600.0  # seconds, spec sessions 0.1


class RefusedDocuments:
    """Implements carrier.Refusals with one empty private file per refusal.

    Args:
        directory: the cache directory; where it cannot be written, nothing is remembered.
        identity: whose calls these are.
        region: of the calls.
        now: seconds since the epoch.
    """

    def __init__(self, directory: Path, identity: str, region: str, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._key = f"{identity}\n{region}"
        self._now = now

    def is_refused(self, document: str) -> bool:
        """Return True if the document was refused within the last hour."""
        try:
            refused_at = float(self._path(document).read_text("ascii"))
        except (OSError, ValueError):
            return False
        return 0 <= self._now() - refused_at < REMEMBERED

    def add(self, document: str) -> None:
        """Remember a refusal."""
        with contextlib.suppress(OSError):
            files.make_private_directory(self._directory)
            files.write_atomic(self._path(document), f"{self._now():.0f}".encode("ascii"))

    def _path(self, document: str) -> Path:
        digest = hashlib.sha256(f"{self._key}\n{document}".encode("utf-8", "surrogateescape")).hexdigest()
        return self._directory / f"refused-{digest[:32]}.json"
