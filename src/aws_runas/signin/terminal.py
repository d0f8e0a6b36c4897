"""The terminal as a place to paste an address."""

from __future__ import annotations

import os

from aws_runas.signin.attended import TERMINAL

MAX_LINE = 65536  # bytes


class TerminalLines:
    """Reads lines from the terminal of this process. Close it, or use ``with``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> TerminalLines:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._descriptor

    def read_line(self) -> str | None:
        """Return what was typed; None at the end of input."""
        try:
            data = os.read(self._descriptor, MAX_LINE)
        except OSError:
            return None
        return data.decode("utf-8", "replace") if data else None


def open_terminal() -> TerminalLines | None:
    """Open the terminal for reading; None if there is none, or if it belongs to another job of the shell."""
    if os.name != "posix":
        return None
    try:
        descriptor = os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return None
    try:
        if os.tcgetpgrp(descriptor) == os.getpgrp():  # reading in the background would stop this process
            return TerminalLines(descriptor)
    except OSError:
        pass
    os.close(descriptor)
    return None
