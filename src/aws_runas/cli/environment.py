"""Everything of the outside world that a command may touch, as one object, so that tests hand in their own."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast


class _Closed(io.BytesIO):
    """Stands in for a standard output that was closed before we started: what is written to it is an error."""

    def write(self, _data: object) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class _Remarks(io.FileIO):
    """Standard error that bears not being heard: a full disk or a reader that left is no reason to stop the work."""

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left:
                left = left[super().write(left) or len(left) :]
        except OSError:
            pass
        return size


def _stderr() -> TextIO:
    stream = sys.stderr
    if stream is None:
        return io.StringIO()
    if stream is not sys.__stderr__ or not isinstance(stream, io.TextIOWrapper):
        return stream
    remarks = cast(BinaryIO, _Remarks(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(remarks, stream.encoding, stream.errors, write_through=True)


@dataclass(frozen=True, slots=True)
class Environment:
    """Streams, variables, home and clock of one run.

    Args:
        stdin, stdout: binary, as a program's data passes through them; results are written as UTF-8.
        stderr: text, for people.
        environ: the variables, never changed.
        home: where ``.aws`` lies when no variable names the files.
        now: seconds since the epoch.
    """

    stdin: BinaryIO = field(default_factory=lambda: sys.stdin.buffer if sys.stdin else io.BytesIO())
    stdout: BinaryIO = field(default_factory=lambda: sys.stdout.buffer if sys.stdout else _Closed())
    stderr: TextIO = field(default_factory=_stderr)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    home: Path = field(default_factory=Path.home)
    now: Callable[[], float] = time.time
