"""Lines for the user on a descriptor that perhaps nobody reads: a full pipe must not stop a session."""

from __future__ import annotations

import os
import select
from typing import Final

NOTICE_TIMEOUT: Final = 0.2  # seconds until a line is dropped
ATOMIC: Final = 512  # bytes that a pipe takes at once if it takes any; POSIX, PIPE_BUF


_full: set[int] = set()  # descriptors that accepted nothing the last time; nobody waits for them again
_never_waits: list[bool] = []


def never_wait() -> None:
    """Let no line on standard error wait for its reader from now on: an event loop with traffic runs."""
    _never_waits.append(True)


def accepts_notice(descriptor: int) -> bool:
    """Return True if a short line can be written to a descriptor without waiting.

    Wait at most NOTICE_TIMEOUT, and not at all if the descriptor accepted nothing the last time.

    Args:
        descriptor: of standard error.
    """
    if not hasattr(select, "poll"):  # Windows, whose select knows only sockets
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    is_ready = bool(poll.poll(0 if descriptor in _full else NOTICE_TIMEOUT * 1000))
    if is_ready:
        _full.discard(descriptor)
    else:
        _full.add(descriptor)
    return is_ready


class LossyWriter:
    """Writes to a descriptor. After `never_wait`, what does not fit is dropped, and how much is reported later.

    Errors are ignored: a full disk or a reader that left is no reason to stop.

    Args:
        descriptor: of standard error.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._dropped = 0  # lines that nobody was told of

    def write(self, data: bytes) -> None:
        """Write text, or drop it.

        Args:
            data: one or more lines.
        """
        try:
            if self._dropped and self._is_ready():
                note = f"\naws-runas: {self._dropped} lines were dropped here: nobody read standard error\n"
                os.write(self._descriptor, note.encode())
                self._dropped = 0
            while data:
                if not self._is_ready():
                    self._dropped += max(data.count(b"\n"), 1)
                    return
                data = data[os.write(self._descriptor, data[:ATOMIC] if _never_waits else data) :]
        except OSError:
            pass

    def _is_ready(self) -> bool:
        return not _never_waits or accepts_notice(self._descriptor)


def write_notice(descriptor: int, text: str) -> None:
    """Write a line, or what fits of it. Errors are ignored: no reader is no reason to stop.

    Args:
        descriptor: of standard error.
        text: with its line end; may not be encodable.
    """
    data = text.encode("utf-8", "replace")
    try:
        while data and accepts_notice(descriptor):
            data = data[os.write(descriptor, data[:ATOMIC]) :]
    except OSError:
        pass
