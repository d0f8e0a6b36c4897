"""Private files: directories 0700, files 0600, written whole or not at all, and locks between processes.

Nothing here changes the mode or the owner of what this program did not make. A directory that somebody else can change
is refused, not repaired: the caller warns, and goes on without it.
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
    import socket
    from pathlib import Path

DIRECTORY_MODE = 0o700
UNFINISHED = ".aws-runas-new"  # ending of a file that write_atomic has not renamed yet
FILE_MODE = 0o600
OPEN_TO_OTHERS = 0o077  # any access of group and others
CHANGED_BY_OTHERS = 0o022  # write access of group and others
READ_SIZE = 16 * 1024 * 1024  # bytes; no file of ours is nearly as large
LOCK_POLL = 0.05  # seconds, while a wait has an end
MAX_LINKS = 40  # symbolic links on one path, as in Linux
LEFTOVER_AGE = 60.0  # seconds; a temporary file that is older belongs to a process that was killed
ACCESS_LIST = "system.posix_acl_access"  # extended attribute, acl(5)

_WALK = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp", re.DOTALL)


class Directory:
    """A directory held open, so that a path that changes meanwhile leads nowhere else. Close it, or use ``with``.

    Args:
        path: for messages, and for systems without descriptors of directories.
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
        """Open a file of the directory, never through a symbolic link.

        Args:
            name: without a slash.
            flags: of `os.open`; a file that is made has mode 0600.

        Raises:
            OSError: it cannot be opened.
        """
        return os.open(self.at(name), flags | _NOFOLLOW, FILE_MODE, dir_fd=self.descriptor)

    def write(self, name: str, content: bytes) -> None:
        """Replace a file whole, without waiting for the disk.

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
        """Remove a file; one that is gone or cannot be removed is no error."""
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
        """Remove temporary files of `write` whose process was killed."""
        for name, age in self.ages(now):
            if age > LEFTOVER_AGE and _TEMPORARY.fullmatch(name):
                self.remove(name)

    def at(self, name: str) -> str:
        """Return the name as the functions of `os` need it beside ``dir_fd=descriptor``."""
        return name if self.descriptor is not None else str(self.path / name)


def open_private_directory(path: Path, *, create: bool = True, forbidden: int = OPEN_TO_OTHERS) -> Directory:
    """Open a directory that belongs to this user, each step of the way checked.

    Missing directories are made with mode 0700. A symbolic link is followed if it belongs to this user or to root.
    As root, nothing below a directory of another user is opened or made.

    Args:
        path: the directory.
        create: make what is missing.
        forbidden: permission bits that it must not have.

    Raises:
        OSError: it is missing, belongs to another user, is open to other users, or cannot be made.
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
        OSError: it cannot be made, or other users can change it.
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
    """Return where a symbolic link leads.

    Raises:
        OSError: it is no link (then the error that was given), or it belongs to another user.
    """
    status = os.stat(name, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        raise error
    if status.st_uid not in trusted:
        raise PermissionError(errno.EPERM, "a symbolic link of another user leads there")
    return os.readlink(name, dir_fd=here)


def write_atomic(path: Path, content: bytes, *, mode: int = FILE_MODE, durable: bool = True) -> None:
    """Replace a file whole: readers see the old content or the new, never a part.

    A file that exists keeps its owner, group, mode and access list. What is left if the process is killed is removed by
    `remove_unfinished`.

    Args:
        path: the file; a symbolic link is followed, so that the link stays.
        content: everything the file is to hold.
        mode: permission bits of a new file.
        durable: wait for the disk, so that it survives a power cut; what can be made again need not.

    Raises:
        OSError: nothing was changed: the disk is full, the file is not writable, or its owner, its group or its
            access list could not be kept.
    """
    import tempfile  # it brings random and shutil along, which a start that only reads need not pay for

    path = path.resolve()
    status = path.stat() if path.exists() else None
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))  # /dev/null, say, which must stay what it is
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
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
    """Return how to fix a failed write: free some space on a full disk, something else for other reasons.

    Args:
        error: of the write.
        otherwise: the fix where space is not what is missing.
    """
    return "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else otherwise


def read_plain(path: Path, max_size: int = READ_SIZE) -> bytes:
    """Read a file that belongs to this program or is shared with another one.

    Args:
        path: the file; a pipe in its place would keep us waiting forever.
        max_size: bytes that are read at most.

    Raises:
        OSError: it cannot be read, or is no plain file.
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
        max_size: bytes that it may have.

    Raises:
        OSError: it cannot be read, or is larger.
    """
    with path.open("rb") as stream:
        content = stream.read(max_size + 1)
    if len(content) > max_size:
        raise OSError(errno.EFBIG, f"it is larger than {max_size >> 20} MiB")
    return content


def bind_private_socket(path: str) -> socket.socket:
    """Return a Unix socket that is bound to a path, with mode 0600 from the first moment.

    Call it from one thread: the mode comes from the umask of the process, which is restored. The caller listens on the
    socket and closes it.

    Args:
        path: where nothing is yet.

    Raises:
        OSError: the path exists, is too long, or cannot be made; nothing is left open.
    """
    import socket

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o777 & ~FILE_MODE)
    try:
        listener.bind(path)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def remove_unfinished(path: Path, *, min_age: float = 0.0) -> None:
    """Remove what `write_atomic` left beside a file when it was killed: a copy that may hold keys.

    Args:
        path: the file that was written.
        min_age: seconds; 0 only where a lock keeps other writers away, as they are not told from dead ones.
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
        OSError: one of them cannot be kept, and then somebody could read more, or the owner less, than before.
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
    except OSError:  # there is none, or the file system has none
        return None


@contextlib.contextmanager
def lock(
    path: Path,
    *,
    timeout: float = -1,
    unless: Callable[[], bool] | None = None,
    within: Directory | None = None,
) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system drops it when the holder dies.

    Args:
        path: the lock file, made 0600 when missing and left in place.
        timeout: seconds to wait, negative for as long as it takes.
        unless: asked while a wait that has an end lasts; where it says True, the block runs without the lock.
        within: the directory of path, if the caller holds it open.

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


def _flock(path: Path, directory: int | None, deadline: float | None, unless: Callable[[], bool]) -> int | None:
    """Open a file and lock it; the lock ends when the descriptor is closed. None: `unless` said True.

    The system wakes one waiter the moment the lock is free, and says so where a file system has no locks: filelock
    polls, and would poll forever there.
    """
    import fcntl

    name = path if directory is None else path.name
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | _NOFOLLOW, FILE_MODE, dir_fd=directory)
        try:
            os.utime(descriptor)  # in use: whoever clears old files away sees it
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


def _is_at(name: Path | str, directory: int | None, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=directory), os.fstat(descriptor))
    except FileNotFoundError:
        return False
