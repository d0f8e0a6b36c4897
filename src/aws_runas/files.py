"""Private files: directories 0700, files 0600, written whole or not at all, and locks between processes.

Nothing here changes the mode or owner of files that this program did not create. A directory that another user can
change is refused, not repaired: the caller warns and continues without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY_MODE = 0o700
UNFINISHED = ".aws-runas-new"  # ending of a file that write_atomic has not renamed yet
FILE_MODE = 0o600
OPEN_TO_OTHERS = 0o077  # any access of group and others
CHANGED_BY_OTHERS = 0o022  # write access of group and others
READ_SIZE = 16 * 1024 * 1024  # bytes; our files are much smaller
LOCK_POLL = 0.05  # seconds, while a wait has a time limit
MAX_LINKS = 40  # symbolic links on one path, as in Linux
LEFTOVER_AGE = 60.0  # seconds; an older temporary file belongs to a process that was killed
ACCESS_LIST = "system.posix_acl_access"  # extended attribute, acl(5)

_WALK = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp", re.DOTALL)


class Directory:
    """A directory held open, so that a change of its path has no effect. Close it, or use ``with``.

    Args:
        path: for messages, and for systems without directory descriptors.
        descriptor: owned by this object; None on Windows.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self.descriptor = descriptor

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def open(self, name: str, flags: int) -> int:
        """Open a file in the directory, never through a symbolic link.

        Args:
            name: without a slash.
            flags: for `os.open`; a new file gets mode 0600.

        Raises:
            OSError: it cannot be opened.
        """
        return os.open(self.at(name), flags | _NOFOLLOW, FILE_MODE, dir_fd=self.descriptor)

    def write(self, name: str, content: bytes) -> None:
        """Replace a whole file, without waiting for the disk.

        Raises:
            OSError: nothing was changed.
        """
        temporary = f".{name}.{os.urandom(6).hex()}.tmp"
        descriptor = self.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            os.replace(self.at(temporary), self.at(name), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except BaseException:
            self.remove(temporary)
            raise

    def remove(self, name: str) -> None:
        """Remove a file; ignore a file that is missing or cannot be removed."""
        with contextlib.suppress(OSError):
            os.unlink(self.at(name), dir_fd=self.descriptor)

    def ages(self, now: float) -> Iterator[tuple[str, float]]:
        """Yield the name of each entry and the seconds since its last change.

        Args:
            now: seconds since the epoch.
        """
        with os.scandir(self.path if self.descriptor is None else self.descriptor) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    yield entry.name, now - entry.stat(follow_symlinks=False).st_mtime

    def remove_leftovers(self, now: float) -> None:
        """Remove temporary files that `write` left when its process was killed."""
        for name, age in self.ages(now):
            if age > LEFTOVER_AGE and _TEMPORARY.fullmatch(name):
                self.remove(name)

    def at(self, name: str) -> str:
        """Return the name that functions of `os` need together with ``dir_fd=descriptor``."""
        return name if self.descriptor is not None else str(self.path / name)


def open_private_directory(path: Path, *, create: bool = True, forbidden: int = OPEN_TO_OTHERS) -> Directory:
    """Open a directory that belongs to this user, and check each component of the path.

    Missing directories are created with mode 0700. A symbolic link is followed if it belongs to this user or to root.
    As root, nothing below a directory of another user is opened or created.

    Args:
        path: the directory.
        create: create missing directories.
        forbidden: permission bits that the directory must not have.

    Raises:
        OSError: the directory is missing, belongs to another user, is open to other users, or cannot be created.
    """
    if os.name != "posix":
        path.mkdir(parents=True, exist_ok=True) if create else os.stat(path)
        return Directory(path, None)
    directory = Directory(path, _open_step_by_step(path, create))
    try:
        status = os.fstat(directory.descriptor or 0)
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to another user")
        if status.st_mode & forbidden:
            raise PermissionError(errno.EPERM, "it is open to other users")
    except BaseException:
        directory.close()
        raise
    return directory


def make_private_directory(path: Path) -> None:
    """Create a directory, and its missing parents, for this user alone.

    Raises:
        OSError: the directory cannot be created, or other users can change it.
    """
    open_private_directory(path, forbidden=CHANGED_BY_OTHERS).close()


def _open_step_by_step(path: Path, create: bool) -> int:
    trusted = {0, os.geteuid(), os.stat("/").st_uid}  # the last: root, as a user namespace shows it
    names = list(reversed(path.absolute().parts[1:]))
    links = 0
    here = os.open("/", _WALK)
    try:
        while names:
            if os.geteuid() == 0 and os.fstat(here).st_uid not in trusted:
                raise PermissionError(errno.EPERM, "it is below a directory of another user")
            name = names.pop()
            try:
                there = os.open(name, _WALK | _NOFOLLOW, dir_fd=here)
            except FileNotFoundError:
                if not create:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, DIRECTORY_MODE, dir_fd=here)
                names.append(name)
                continue
            except OSError as error:
                target = _read_link(name, here, trusted, error)
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
                names.extend(part for part in reversed(target.split("/")) if part)
                if not target.startswith("/"):
                    continue
                there = os.open("/", _WALK)
            os.close(here)
            here = there
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)


def _read_link(name: str, here: int, trusted: set[int], error: OSError) -> str:
    """Return the target of a symbolic link.

    Raises:
        OSError: the path is not a link (the given error is raised), or the link belongs to another user.
    """
    status = os.stat(name, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        raise error
    if status.st_uid not in trusted:
        raise PermissionError(errno.EPERM, "a symbolic link of another user leads there")
    return os.readlink(name, dir_fd=here)


def write_atomic(path: Path, content: bytes, *, mode: int = FILE_MODE, durable: bool = True) -> None:
    """Replace a whole file: readers see the old content or the new content, never a part.

    A file that exists keeps its owner, group, mode and access list. If the process is killed, `remove_unfinished`
    removes the temporary file.

    Args:
        path: the file; a symbolic link is followed, so that the link stays.
        content: the complete new content.
        mode: permission bits of a new file.
        durable: wait for the disk, so that the file survives a power cut. Not needed for data that can be recreated.

    Raises:
        OSError: nothing was changed: the disk is full, the file is not writable, or its owner, its group or its
            access list could not be kept.
    """
    path = path.resolve()
    status = None
    with contextlib.suppress(FileNotFoundError):  # not after a check: another process may remove the file meanwhile
        status = path.stat()
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))  # for example /dev/null, which must not be replaced
    # not by tempfile: its import takes longer than the rest of the start of a session's data channel
    name = path.with_name(f".{path.name}.{os.urandom(4).hex()}{UNFINISHED}")
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if os.name == "posix":
                os.fchmod(descriptor, mode) if status is None else _keep_access(descriptor, status, _access_list(path))
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def write_hint(error: OSError, otherwise: str) -> str:
    """Return how to fix a failed write: free space if the disk is full, otherwise the given hint.

    Args:
        error: raised by the write.
        otherwise: the fix if the disk is not full.
    """
    return "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else otherwise


def read_plain(path: Path, max_size: int = READ_SIZE) -> bytes:
    """Read a file that belongs to this program or is shared with another one.

    Args:
        path: the file; a pipe is refused, because reading it could block forever.
        max_size: maximum number of bytes to read.

    Raises:
        OSError: the file cannot be read, or is not a plain file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        return stream.read(max_size)


def read_named(path: Path, max_size: int = READ_SIZE) -> bytes:
    """Read a file that the user has named. It may be a pipe; a device such as /dev/zero never ends.

    Args:
        path: the file.
        max_size: maximum size in bytes.

    Raises:
        OSError: the file cannot be read, or is larger.
    """
    with path.open("rb") as stream:
        content = stream.read(max_size + 1)
    if len(content) > max_size:
        raise OSError(errno.EFBIG, f"it is larger than {max_size >> 20} MiB")
    return content


def remove_unfinished(path: Path, *, min_age: float = 0.0) -> None:
    """Remove the temporary file that a killed `write_atomic` left next to a file: it may hold keys.

    Args:
        path: the file that was written.
        min_age: seconds; 0 only under a lock that excludes other writers, since live and dead writers look the same.
    """
    prefix = f".{os.path.basename(os.path.realpath(path))}."
    directory = os.path.dirname(os.path.realpath(path))
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if not (entry.name.startswith(prefix) and entry.name.endswith(UNFINISHED)):
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime >= min_age:
                os.unlink(entry.path)


def _keep_access(descriptor: int, status: os.stat_result, access_list: bytes | None) -> None:
    """Give a new file the owner, group, mode and access list of the file that it replaces.

    Raises:
        OSError: one of them cannot be kept, so that others could read more, or the owner less, than before.
    """
    made = os.fstat(descriptor)
    group_bits = status.st_mode & 0o070
    if made.st_uid != status.st_uid:
        _try("its owner cannot be kept", lambda: os.fchown(descriptor, status.st_uid, status.st_gid))
    elif made.st_gid != status.st_gid:
        try:
            os.fchown(descriptor, -1, status.st_gid)
        except OSError:
            if group_bits:
                raise PermissionError(errno.EPERM, "its group cannot be kept") from None
    if _access_list(descriptor) is not None:  # inherited from the directory
        os.removexattr(descriptor, ACCESS_LIST)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    if access_list is not None:
        _try("its access list cannot be kept", lambda: os.setxattr(descriptor, ACCESS_LIST, access_list))


def _try(reason: str, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        raise OSError(error.errno, reason) from None


def _access_list(file: Path | int) -> bytes | None:
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(file, ACCESS_LIST)
    except OSError:  # the file has no access list, or the file system does not support them
        return None


@contextlib.contextmanager
def lock(
    path: Path,
    *,
    timeout: float = -1,
    unless: Callable[[], bool] | None = None,
    within: Directory | None = None,
) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system releases it when the holder dies.

    Args:
        path: the lock file, created with mode 0600 if missing, and left in place.
        timeout: seconds to wait; negative for no limit.
        unless: called during a wait with a limit; if it returns True, the block runs without the lock.
        within: the parent directory of path, if the caller holds it open.

    Raises:
        TimeoutError: another process held it for longer than timeout.
        OSError: the lock file cannot be opened.
    """
    if os.name == "posix":
        deadline = None if timeout < 0 else time.monotonic() + timeout
        descriptor = _flock(path, within.descriptor if within else None, deadline, unless or (lambda: False))
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


@contextlib.contextmanager
def directory_lock(path: str, timeout: float) -> Iterator[None]:
    """Hold an exclusive lock on a directory itself, where a lock file would be left in a place of the user's.

    The block runs without the lock if the directory cannot be read or locked, or another process holds the lock for
    too long: any user may lock /tmp.

    Args:
        path: the directory, "" for the current one.
        timeout: seconds to wait.
    """
    descriptor = -1
    try:
        with contextlib.suppress(OSError):
            descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
            _flock_until(descriptor, time.monotonic() + timeout, lambda: False)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _flock(path: Path, directory: int | None, deadline: float | None, unless: Callable[[], bool]) -> int | None:
    """Open a file and lock it; the lock ends when the descriptor is closed. Return None if `unless` returned True.

    The system wakes one waiter as soon as the lock is free, and fails if the file system has no locks. filelock polls
    instead, and would poll forever on such a file system.
    """
    import fcntl

    name = path if directory is None else path.name
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | _NOFOLLOW, FILE_MODE, dir_fd=directory)
        try:
            os.utime(descriptor)  # marks it as in use for programs that clean up old files
            if deadline is None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            elif not _flock_until(descriptor, deadline, unless):
                os.close(descriptor)
                return None
            if _is_at(name, directory, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the file was removed while we waited: lock the new one


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


def _is_at(name: Path | str, directory: int | None, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=directory), os.fstat(descriptor))
    except FileNotFoundError:
        return False
