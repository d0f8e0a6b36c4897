"""The user's terminal: raw while a session uses it, restored when the session ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import termios
from collections.abc import Iterator
from typing import Final

_IFLAG, _OFLAG, _CFLAG, _LFLAG = 0, 1, 2, 3  # indices into the result of tcgetattr
NO_TERMINAL: Final = (300, 100)  # columns, rows; the official plugin's size without a terminal (spec 4)


def window_size(*descriptors: int) -> tuple[int, int]:
    """Return columns and rows of the first descriptor that is a terminal with a size."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError, ValueError):
            columns, rows = os.get_terminal_size(descriptor)
            if columns > 0 and rows > 0:
                return columns, rows
    return NO_TERMINAL


def needs_carriage_returns(descriptor: int) -> bool:
    """Return True for a terminal in raw mode, which adds no carriage return at the end of a line.

    Args:
        descriptor: any descriptor; False if it is not a terminal.
    """
    try:
        output_flags: int = termios.tcgetattr(descriptor)[_OFLAG]
    except (termios.error, OSError):
        return False
    return not output_flags & termios.OPOST


class RawTerminal:
    """Raw mode for one terminal, restored at exit at the latest. A terminal that is gone causes no error.

    Args:
        descriptor: descriptor of the terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved: list[int | list[bytes | int]] | None = None

    @property
    def is_raw(self) -> bool:
        """Return True if the terminal is in raw mode."""
        return self._saved is not None

    def enter(self) -> None:
        """Enter raw mode, and keep type-ahead."""
        if self._saved is not None:
            return
        try:
            saved = termios.tcgetattr(self._descriptor)
        except termios.error:
            return
        self._saved = saved
        atexit.register(self.restore)
        flags: list[int] = saved[:6]
        characters: list[bytes | int] = list(saved[6])
        flags[_IFLAG] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        # The remote PTY adds carriage returns itself. If a full-screen program turned that off, we must not add them.
        flags[_OFLAG] &= ~termios.OPOST
        flags[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        flags[_CFLAG] = (flags[_CFLAG] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        characters[termios.VMIN], characters[termios.VTIME] = 1, 0
        attributes: list[int | list[bytes | int]] = [*flags, characters]
        with _no_stop():
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, attributes)

    def restore(self) -> None:
        """Restore the mode of the terminal."""
        saved, self._saved = self._saved, None
        if saved is not None:
            atexit.unregister(self.restore)
            with _no_stop(), contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, saved)


def suspend_self() -> None:
    """Stop the process as Ctrl-Z does; return when it is continued."""
    previous = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        os.kill(os.getpid(), signal.SIGTSTP)
    finally:
        signal.signal(signal.SIGTSTP, previous)


@contextlib.contextmanager
def _no_stop() -> Iterator[None]:
    """Block SIGTTOU, which stops a background process that sets the mode of a terminal."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
