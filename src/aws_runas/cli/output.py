"""Result of a command, and the one place that writes it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, UsageError
from aws_runas.redact import printable

if TYPE_CHECKING:
    from aws_runas.cli.environment import Environment


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


def emit(result: Result, env: Environment) -> int:
    """Write an answer to stdout and stderr.

    Args:
        result: the answer.
        env: its streams.

    Returns:
        The exit status: that of the result, or 1 if standard output could not be written completely.
    """
    if result.stderr:
        _write_error(printable(result.stderr, keep="\n\t"), env)
    if not result.stdout:
        return result.status
    try:
        text = printable(result.stdout, keep="\n\t") if env.stdout.isatty() else result.stdout
        env.stdout.write(text.encode("utf-8", "surrogateescape"))
        env.stdout.flush()
    except BrokenPipeError:  # the reader closed the pipe, as in `aws-runas --help-long | head`
        _silence(env)
        return result.status or 1
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _silence(env)
        _write_error(f"aws-runas: standard output cannot be written: {reason.lower()}\n", env)
        return result.status or 1
    return result.status


def render_error(error: AwsRunasError) -> str:
    """Return an error for a terminal: the message, and how to fix it on the same line or a second one.

    Args:
        error: error to show; its text is escaped here.
    """
    text = "\n".join([f"aws-runas: {printable(error.message)}", *(f"  {printable(line)}" for line in error.details)])
    if error.hint is None:
        return f"{text}\n"
    if isinstance(error, UsageError):
        return f"{text}; {printable(error.hint)}\n"
    return f"{text}\naws-runas: {printable(error.hint)}\n"


def _write_error(text: str, env: Environment) -> None:
    try:
        env.stderr.write(text)
        env.stderr.flush()
    except (OSError, ValueError):
        return  # the reader of stderr is gone


def _silence(env: Environment) -> None:
    """Redirect a broken standard output to the null device; otherwise the interpreter reports an error at exit."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, env.stdout.fileno())
        os.close(descriptor)
    except (OSError, ValueError):
        return
