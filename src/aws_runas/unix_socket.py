"""Unix sockets that a process listens on: only this user can open them, and only the file of a dead one is replaced.

Processes may start with one path at the same moment, or one may start while another ends. A file is therefore checked
and replaced, or checked and removed, only with a lock on its directory, and a socket listens as soon as it has a file:
a socket that does not listen refuses connections like that of a dead process (docs/adr/0310).
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat

from aws_runas import files

LOCK_TIMEOUT = 2.0  # seconds; other processes hold the lock for much less, but any user may lock /tmp
PROBE_TIMEOUT = 1.0  # seconds
BACKLOG = 128  # connections; the caller may raise it with a second call of listen


class UnixListener:
    """A socket that listens, and its file.

    Args:
        path: the file.
        bound: the socket; the caller closes it, after `remove_file`.
        identity: device and inode of the file, so that only our own file is removed.
    """

    def __init__(self, path: str, bound: socket.socket, identity: tuple[int, int]) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = identity
        self.socket = bound

    def remove_file(self) -> None:
        """Remove the file if it is still ours. Idempotent.

        Call it while the socket is open: until then, no other file can have the same inode, and no other process takes
        the file for that of a dead one.
        """
        identity, self._identity = self._identity, None
        if identity is not None:
            with files.directory_lock(os.path.dirname(self._path), LOCK_TIMEOUT), contextlib.suppress(OSError):
                if _identity(self._path) == identity:
                    os.unlink(self._path)


def listen(path: str) -> UnixListener:
    """Listen on a path, with mode 0600 from the start. The socket of a dead process is replaced.

    Call it from one thread: the mode comes from the umask of the process, which is restored.

    Args:
        path: any other file, and a socket on which a process listens, is left alone.

    Raises:
        OSError: the path exists (EADDRINUSE), is too long, or cannot be created; nothing is left open.
    """
    with files.directory_lock(os.path.dirname(path), LOCK_TIMEOUT):
        with contextlib.suppress(OSError):  # bind reports the reason
            if stat.S_ISSOCK(os.lstat(path).st_mode) and not _answers(path):
                os.unlink(path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o777 & ~files.FILE_MODE)
        try:
            bound.bind(path)
            bound.listen(BACKLOG)
            return UnixListener(path, bound, _identity(path))
        except OSError:
            bound.close()
            raise
        finally:
            os.umask(mask)


def _answers(path: str) -> bool:
    """Return False if no process listens: a full queue of connections, for example, belongs to a live process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _identity(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino
