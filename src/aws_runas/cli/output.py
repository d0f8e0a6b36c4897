"""What a command answers, and the one place that writes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """The answer of a command.

    Args:
        status: exit status of the process.
        stdout: whole text for standard output, with its last newline; "" for nothing.
        stderr: whole text for standard error, likewise.
    """

    status: int = 0
    stdout: str = ""
    stderr: str = ""
