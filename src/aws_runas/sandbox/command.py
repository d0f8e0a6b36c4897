"""Run a command, or the user's shell, inside a new sandbox."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import TextIO

from aws_runas.errors import ProgramError
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.world import Sandbox, start_sandbox

ENDING = (signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
GRACE = 2.0  # seconds between two signals to the command, each stronger than the last
BANNER = """\
aws-runas sandbox: a small AWS at {endpoint}; it ends with this shell. Try:
  aws-runas my-profile aws sts get-caller-identity
  aws-runas -o $(sandbox-mfa-code) my-profile-mfa aws sts get-caller-identity
  aws-runas shell my-profile i-deadbeef
  aws-runas forward -p 8888 my-profile i-deadbeef:9000
"""


class _Ended(BaseException):
    """Signal that arrived while the sandbox was starting."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_inside(
    options: SandboxOptions, program: Sequence[str], environ: Mapping[str, str], is_terminal: bool, stderr: TextIO
) -> int:
    """Start a sandbox, run a program in it, and end the sandbox.

    Args:
        options: the options of the sandbox.
        program: with its arguments; empty for the user's shell.
        environ: the caller's variables.
        is_terminal: True if stdin is a terminal. A banner is then written before the user's shell starts.
        stderr: the banner is written here.

    Returns:
        The program's exit status, 128+n for signal n.

    Raises:
        AwsRunasError: the sandbox or the program could not be started.
    """
    with _raising_signals():
        try:
            with start_sandbox(options, base=environ) as sandbox:
                words = list(program) or [environ.get("SHELL") or "/bin/sh"]
                if not program and is_terminal:
                    stderr.write(BANNER.format(endpoint=sandbox.endpoint))
                    stderr.flush()
                return _run(words, sandbox)
        except _Ended as ended:
            return 128 + ended.number


@contextlib.contextmanager
def _raising_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that the sandbox is cleaned up."""

    def end(number: int, _frame: FrameType | None) -> None:
        for ending in ENDING:  # one signal is enough, and nothing must interrupt the clean-up
            signal.signal(ending, signal.SIG_IGN)
        raise _Ended(number)

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(words: list[str], sandbox: Sandbox) -> int:
    # The terminal sends its signals to the whole group. The command handles them, and this process waits for it.
    ignored = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        process = _start(words, sandbox.environ)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            sandbox.adopt(process.pid)
            status = process.wait()
        except _Ended as ended:
            _end(process, ended.number)
            raise
        finally:
            sandbox.disown(process.pid)
    finally:
        for number, handler in ignored.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _start(words: list[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def restore() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGHUP)  # the command gets SIGHUP if this process is killed
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    try:
        return subprocess.Popen(words, env=dict(environ), preexec_fn=restore)
    except FileNotFoundError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        raise ProgramError(f"{words[0]}: command not found", code="program-not-found", exit_status=127) from None
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        text = f"{words[0]}: {(error.strerror or str(error)).lower()}"
        raise ProgramError(
            text, code="program-not-executable", exit_status=126, hint="check the first line and the mode of the file"
        ) from None


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    """Pass on a signal, then send stronger ones: an interactive shell only reacts to SIGHUP."""
    for step in (number, signal.SIGHUP, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(step)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            return
