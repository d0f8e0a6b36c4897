"""Programs that give credentials or codes: ``credential_process`` and ``mfa_process``.

Such a program may run aws-runas again. So the environment of each program contains a mark that names its ancestors
among these programs. If a program is already among them, an error prints the cycle; without the mark, each process
would start another one until the machine is out of resources. The mark also names the cache entries that the ancestors
have locked, because a process that waits for one of them would wait forever.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from typing import IO, NamedTuple

from aws_runas.config.profile import Setting
from aws_runas.errors import ConfigError

MARK = "AWSRUNAS_CREDENTIAL_PROCESSES"
REPORT_SIZE = 4096  # bytes, PIPE_BUF of Linux: a write of this size is atomic


class ProcessFailed(Exception):  # noqa: N818 - each caller converts it to its own error
    """The program returned nothing usable; the text is the reason."""


def run(label: str, command: Setting[str], *, timeout: float | None = None) -> bytes:
    """Run a program and return its output. It inherits our stderr, and its stdin is the terminal.

    Args:
        label: the setting and its profile, such as ``credential_process of profile dev``.
        command: a command line, split as a shell would, run without a shell.
        timeout: seconds, None for no limit.

    Raises:
        ProcessFailed: the program could not be started, failed, or took too long.
        ConfigError: the command line cannot be split, or the program is its own ancestor.
    """
    import subprocess  # the import takes 18 ms, and the cache uses this module too

    words = _split(label, command)
    steps, report = _read_mark()
    step = _Step(
        label,
        hashlib.sha256(f"{label}\n{command.value}".encode("utf-8", "surrogateescape")).hexdigest()[:16],
        getattr(_held, "entries", ()),
    )
    _check([known.digest == step.digest for known in steps], steps, report)
    with _Report() as own_report:
        mark = json.dumps({"steps": [*steps, step], "report": own_report.identity})
        try:
            # It can ask for a touch or a password on stderr and the terminal; our stdin belongs to the user's program.
            with _terminal() as keys:
                done = subprocess.run(
                    words,
                    stdin=keys,
                    stdout=subprocess.PIPE,
                    timeout=timeout,
                    check=False,
                    env=os.environ | {MARK: mark},
                    pass_fds=own_report.descriptors,
                )
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"no answer after {timeout:g} s") from None
        except OSError as error:
            raise ProcessFailed(f"{words[0]}: {(error.strerror or str(error)).lower()}") from None
        except ValueError as error:  # the command line contains NUL
            raise ProcessFailed(str(error)) from None
        reported = own_report.read()
    if reported:
        raise _circle(reported, report)
    if done.returncode:
        raise ProcessFailed(f"exit status {done.returncode}")
    return done.stdout


@contextlib.contextmanager
def holding(entry: str) -> Iterator[None]:
    """Declare that this thread holds the lock of a cache entry and fetches its content.

    Args:
        entry: its name.

    Raises:
        ConfigError: an ancestor of this process holds the lock.
    """
    steps, report = _read_mark()
    _check([entry in step.entries for step in steps], steps, report)
    before: tuple[str, ...] = getattr(_held, "entries", ())
    _held.entries = (*before, entry)
    try:
        yield
    finally:
        _held.entries = before


_held = threading.local()  # entries: names of the entries that this thread has locked


class _Step(NamedTuple):
    """An ancestor program.

    Args:
        label: the setting and its profile.
        digest: identifies its command line.
        entries: the cache entries that its caller has locked.
    """

    label: str
    digest: str
    entries: tuple[str, ...]


def _check(matches: list[bool], steps: list[_Step], report: list[int]) -> None:
    """Raise the error for a cycle that begins at the first matching step, if any."""
    if not any(matches):
        return
    circle = steps[matches.index(True) :]
    message = " -> ".join(step.label for step in [*circle, circle[0]])
    raise _circle(f"programs for credentials run each other in a cycle: {message}", report)


class _Report:
    """A pipe on which a program at any depth reports that it has found a cycle: an exit status is not enough.

    The writing end is inherited. Its identity is in the mark, so that a program with another file at the same
    descriptor does not write to it.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe() if os.name == "posix" else (-1, -1)

    def __enter__(self) -> _Report:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in {self._reader, self._writer} - {-1}:
            os.close(descriptor)

    @property
    def descriptors(self) -> tuple[int, ...]:
        return () if self._writer < 0 else (self._writer,)

    @property
    def identity(self) -> list[int]:
        if self._writer < 0:
            return []
        status = os.fstat(self._writer)
        return [self._writer, status.st_dev, status.st_ino]

    def read(self) -> str:
        """Return the report, "" if there is none."""
        if self._reader < 0:
            return ""
        os.set_blocking(self._reader, False)
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"\n")  # so that the read returns, even if another process still holds the pipe
        with contextlib.suppress(BlockingIOError):
            return os.read(self._reader, REPORT_SIZE).decode("utf-8", "replace").strip()
        return ""


def _circle(message: str, report: list[int]) -> ConfigError:
    """Return the error, and send its message to the process that started us."""
    with contextlib.suppress(OSError, ValueError, OverflowError):
        descriptor, device, inode = report
        status = os.fstat(descriptor)
        if stat.S_ISFIFO(status.st_mode) and (status.st_dev, status.st_ino) == (device, inode):
            os.set_blocking(descriptor, False)
            os.write(descriptor, message.encode("utf-8", "replace")[:REPORT_SIZE])
    return ConfigError(
        message,
        code="process-circle",
        hint="let one of these programs take its credentials from another profile, or from another program",
    )


def _read_mark() -> tuple[list[_Step], list[int]]:
    """Return the ancestor programs of this process, and where to report a cycle; a damaged mark is ignored."""
    text = os.environ.get(MARK)
    if not text:
        return [], []
    try:
        mark = json.loads(text)
        steps = [_Step(str(label), str(digest), tuple(map(str, held))) for label, digest, held in mark["steps"]]
        return steps, [int(number) for number in mark["report"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return [], []


def _split(label: str, command: Setting[str]) -> list[str]:
    import shlex

    try:
        words = shlex.split(command.value)
    except ValueError as error:
        raise ConfigError(
            f"{label} ({command.origin}): {str(error).lower()}", code="process-invalid", hint="check its quotes"
        ) from None
    if not words:
        raise ProcessFailed("it names no program")
    return words


def _terminal() -> IO[bytes]:
    try:
        return open("/dev/tty" if os.name == "posix" else "CONIN$", "rb", buffering=0)
    except OSError:
        return open(os.devnull, "rb", buffering=0)
