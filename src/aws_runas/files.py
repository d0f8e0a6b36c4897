"""Private files: directories 0700, files 0600, written whole or not at all, and locks between processes."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
LOCK_POLL = 0.05  # seconds, while a wait has an end


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
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a plain file", str(path))  # /dev/null, say, which must stay what it is
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
def lock(path: Path, *, timeout: float = -1, unless: Callable[[], bool] | None = None) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system drops it when the holder dies.

    Args:
        path: the lock file, made 0600 when missing and left in place.
        timeout: seconds to wait, negative for as long as it takes.
        unless: asked while a wait that has an end lasts; where it says True, the block runs without the lock.

    Raises:
        TimeoutError: another process held it for longer than timeout.
        OSError: the lock file cannot be opened.
    """
    if os.name == "posix":
        descriptor = _flock(path, None if timeout < 0 else time.monotonic() + timeout, unless or (lambda: False))
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return

    import filelock

    try:
        with filelock.FileLock(path, timeout=timeout, mode=FILE_MODE):
            yield
    except filelock.Timeout as error:
        raise TimeoutError(str(path)) from error


def _flock(path: Path, deadline: float | None, unless: Callable[[], bool]) -> int | None:
    """Open a file and lock it; the lock ends when the descriptor is closed. None: `unless` said True.

    The system wakes one waiter the moment the lock is free, and says so where a file system has no locks: filelock
    polls, and would poll for ever there.
    """
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), FILE_MODE)
        try:
            os.utime(descriptor)  # in use: whoever clears old files away sees it
            if deadline is None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            elif not _flock_until(descriptor, deadline, unless):
                os.close(descriptor)
                return None
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody removed the file while we waited: lock the one that is there now


def _flock_until(descriptor: int, deadline: float, unless: Callable[[], bool]) -> bool:
    import fcntl

    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError("locked by another process") from None
            if unless():
                return False
            time.sleep(LOCK_POLL)
        else:
            return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
