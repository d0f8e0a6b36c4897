"""Program on a pseudo-terminal, with typed input; used by the demonstration."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType


class TerminalTimeout(Exception):  # noqa: N818
    """Timeout while waiting for the expected output."""


class Terminal:
    """Program on a pseudo-terminal; a context manager that ends all its processes.

    Args:
        words: the program and its arguments, looked up in PATH of `environ`.
        environ: variables of the program.
        show: called with each part of the output; may be replaced.
        directory: start directory of the program; None for the current directory.
    """

    def __init__(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        show: Callable[[str], None],
        directory: Path | None = None,
    ) -> None:
        self.show = show
        self._seen = ""
        self._status: int | None = None
        sys.stdout.flush()
        self._pid, self._descriptor = pty.fork()
        if self._pid == 0:
            try:
                os.chdir(directory or ".")
                os.execvpe(words[0], list(words), dict(environ))  # noqa: S606
            finally:
                os._exit(127)

    def wait_for(self, text: str, timeout: float = 30) -> str:
        """Read until a text appears, and return all output up to its end.

        Args:
            text: the text to wait for.
            timeout: seconds.

        Raises:
            TerminalTimeout: the text did not appear in time.
        """
        deadline = time.monotonic() + timeout
        while text not in self._seen:
            if not self._read(deadline):
                raise TerminalTimeout(f"{text!r} did not appear; output so far: {self._seen!r}")
        before, _, self._seen = self._seen.partition(text)
        return before + text

    def keys(self, text: str) -> None:
        """Type a text.

        Args:
            text: may contain the control characters of special keys.
        """
        os.write(self._descriptor, text.encode())

    def finish(self, timeout: float = 30) -> int:
        """Read until the program ends, and return its exit status, 128+n for signal n.

        Args:
            timeout: seconds.

        Raises:
            TerminalTimeout: the program did not end in time.
        """
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        while self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code
            elif time.monotonic() > deadline:
                raise TerminalTimeout("the program did not end")
            else:
                time.sleep(0.005)
        return self._status

    def _read(self, deadline: float) -> bool:
        """Read one part of the output; return False at the end or at the deadline."""
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # EIO: the program has ended
            return False
        text = data.decode("utf-8", "replace").replace("\r\n", "\n")
        self._seen += text
        self.show(text)
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if self._status is None:
            for number in (signal.SIGHUP, signal.SIGKILL):
                with contextlib.suppress(OSError):
                    os.killpg(self._pid, number)
            with contextlib.suppress(OSError):
                os.waitpid(self._pid, 0)
