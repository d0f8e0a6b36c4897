"""Lines for the user on a descriptor that perhaps nobody reads: a full pipe must not stop a session."""

from __future__ import annotations

import os
import select
from typing import Final

NOTICE_TIMEOUT: Final = 0.2  # seconds until a line is dropped
ATOMIC: Final = 512  # bytes that a pipe takes at once if it takes any; POSIX, PIPE_BUF


def accepts_notice(descriptor: int) -> bool:
    """Return True if a short line can be written to a descriptor without waiting; wait at most NOTICE_TIMEOUT.

    Args:
        descriptor: of standard error.
    """
    if not hasattr(select, "poll"):  # Windows, whose select knows only sockets
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(NOTICE_TIMEOUT * 1000))


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
