"""Runs `aws-runas cp` and reports how long data was on its way: from the first byte sent to the last one acknowledged.

    .venv/bin/python -m bench.timed_copy cp --progress json ...

The progress of `cp` counts a piece when it is acknowledged, and is reported once a second, so a rate between two
reports is too high for a copy of a few seconds. At the end, this program writes a JSON line
``{"event": "data", "seconds": N}`` to stderr.
"""

from __future__ import annotations

import atexit
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aws_runas.__main__ import main as aws_runas
from aws_runas.ssm.copy.files import RemoteFiles
from aws_runas.ssm.copy.posix_files import PosixFiles

DATA_OPERATIONS = ("part_write", "write_many", "read", "read_many")  # of file_server; they carry bytes of files


class Period:
    """Time from the first data operation on the instance to the last reply, in monotonic seconds."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._ended = 0.0

    def timed(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a method `Files.call` that notes the times of data operations."""

        async def timed_call(files: object, operation: str, *arguments: object) -> Any:
            if operation not in DATA_OPERATIONS:
                return await call(files, operation, *arguments)
            if self._began is None:
                self._began = time.monotonic()
            reply = await call(files, operation, *arguments)
            self._ended = time.monotonic()
            return reply

        return timed_call

    def report(self) -> None:
        """Write the event."""
        seconds = self._ended - self._began if self._began is not None else 0.0
        print(json.dumps({"event": "data", "seconds": round(seconds, 3)}), file=sys.stderr)


def main() -> None:
    """Run aws-runas with the arguments of this program."""
    period = Period()
    for files in (RemoteFiles, PosixFiles):
        setattr(files, "call", period.timed(files.call))  # noqa: B010 - mypy refuses the plain form
    atexit.register(period.report)
    sys.exit(aws_runas())


if __name__ == "__main__":
    main()
