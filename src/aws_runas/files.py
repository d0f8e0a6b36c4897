"""Private files: directories 0700, files 0600, written whole or not at all, and locks between processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


def make_private_directory(path: Path) -> None:
    """Create a directory, and its missing parents, for this user alone.

    Raises:
        OSError: it cannot be made.
    """
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):  # mkdir(parents=True) would leave the parents open to others
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def write_atomic(path: Path, content: bytes, *, mode: int = FILE_MODE, durable: bool = True) -> None:
    """Replace a file whole: readers see the old content or the new, never a part.

    Args:
        path: the file; a symbolic link is followed, so that the link stays.
        content: everything the file is to hold.
        mode: permission bits, set before the first byte is written.
        durable: survive a power cut too; a cache need not.

    Raises:
        OSError: nothing was changed (full disk, no permission); the temporary file is gone.
    """
    import tempfile  # it brings random and shutil along, which a start that only reads need not pay for

    path = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode) if hasattr(os, "fchmod") else None
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def lock(path: Path, *, timeout: float = -1) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system drops it when the holder dies.

    Args:
        path: the lock file, made 0600 when missing and left in place.
        timeout: seconds to wait, negative for as long as it takes.

    Raises:
        TimeoutError: another process held it for longer than timeout.
        OSError: the lock file cannot be opened.
    """
    import filelock

    try:
        with filelock.FileLock(path, timeout=timeout, mode=FILE_MODE):
            yield
    except filelock.Timeout as error:
        raise TimeoutError(str(path)) from error
