"""Descriptors of the standard streams, also of those that were closed before the start (``<&-``, ``>&-``)."""

from __future__ import annotations

import os
from typing import IO, Final, Literal

from aws_runas.cli.environment import Environment

StreamName = Literal["stdin", "stdout", "stderr"]
STREAMS: Final[tuple[StreamName, ...]] = ("stdin", "stdout", "stderr")


def stream_descriptor(env: Environment, name: StreamName) -> int:
    """Return the descriptor of a standard stream, or one that stands in for it.

    The replacement of a closed standard input is empty, that of a closed standard error takes everything. To write to
    that of a closed standard output fails, as it does in a shell: what was asked for would be lost otherwise.
    """
    stream: IO[bytes] | IO[str] = getattr(env, name)
    try:
        return stream.fileno()
    except (OSError, ValueError):  # closed, or no file at all
        return os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
