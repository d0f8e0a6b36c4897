"""A process that terminates this program's sessions if this program is killed.

SIGKILL leaves no time to call TerminateSession, and the service keeps a session without a client for up to 20 minutes.
The guardian is forked before any thread exists. It waits on a pipe, and when the pipe closes, it ends the remaining
sessions.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from aws_runas.aws.session import StartedSession
from aws_runas.errors import AwsRunasError

_IGNORED: Final = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGTSTP")


class Guardian:
    """Owner of the guardian process. Create it in the main thread, before other threads and the event loop exist.

    Args:
        terminate: ends a session by its id with TerminateSession; all modules that it needs must be loaded already.
    """

    def __init__(self, terminate: Callable[[str], None]) -> None:
        reader, self._writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writer)
            _guard(reader, terminate)
        os.close(reader)

    def watch(self, session_id: str) -> None:
        """End a session if this process is killed. May be called from any thread."""
        self._tell(f"+{session_id}\n")

    def watched(self, start: Callable[[], StartedSession]) -> Callable[[], StartedSession]:
        """Return a function that starts a session and watches it; it may run in any thread."""

        def start_watched() -> StartedSession:
            started = start()
            self.watch(started.session_id)
            return started

        return start_watched

    def release(self, session_id: str) -> None:
        """Stop watching a session that has ended."""
        self._tell(f"-{session_id}\n")

    def close(self) -> None:
        """Stop the guardian process. It ends no sessions after this."""
        if self._writer < 0:
            return
        self._tell("bye\n")
        os.close(self._writer)
        self._writer = -1
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the guardian was killed; this process still ends the session
            os.write(self._writer, line.encode("ascii", "replace"))


def sessions_left(lines: list[str]) -> list[str]:
    """Return the sessions to end.

    Args:
        lines: all lines that were written to the guardian.
    """
    if "bye" in lines:
        return []
    left: dict[str, None] = {}
    for line in lines:
        if line.startswith("+"):
            left[line[1:]] = None
        elif line.startswith("-"):
            left.pop(line[1:], None)
    return list(left)


def _guard(reader: int, terminate: Callable[[str], None]) -> None:
    """Run the guardian; never returns."""
    try:
        for name in _IGNORED:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        told = b""
        while data := os.read(reader, 4096):
            told += data
        for session_id in sessions_left(told.decode("ascii", "replace").splitlines()):
            with contextlib.suppress(AwsRunasError):
                terminate(session_id)
    finally:
        os._exit(0)
