"""Finds the user's program, and executes it in this process or starts it as a child. On the fast path."""

import _signal  # type: ignore[import-not-found]  # importing signal takes 7 ms, because it builds enums
import os

from aws_runas.errors import ProgramError

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

# The Python interpreter ignores these; programs expect their default actions.
RESTORED = (_signal.SIGPIPE, _signal.SIGXFSZ)


def become(words: "Sequence[str]", variables: "Mapping[str, str]") -> "NoReturn":
    """Replace this process with the program.

    Args:
        words: the program and its arguments.
        variables: its environment.

    Raises:
        ProgramError: the program cannot be started; this process continues.
    """
    path, arguments = _resolve(words, variables)
    before = [(number, _signal.signal(number, _signal.SIG_DFL)) for number in RESTORED]
    try:
        os.execve(path, arguments, variables)  # noqa: S606 - no shell is meant
    except OSError as error:
        if error.errno == 8:  # ENOEXEC: a script without a #! line; shells run such scripts, too
            os.execve("/bin/sh", ["/bin/sh", path, *arguments[1:]], variables)  # noqa: S606
        for number, handler in before:
            _signal.signal(number, handler)
        raise _cannot(path, error) from error


def spawn(words: "Sequence[str]", variables: "Mapping[str, str]", mask: "set[int]") -> int:
    """Start the program as a child, in our own process group.

    Args:
        words: the program and its arguments.
        variables: its environment.
        mask: the signals that are blocked in it.

    Returns:
        Process id of the program.

    Raises:
        ProgramError: the program cannot be started.
    """
    path, arguments = _resolve(words, variables)
    try:
        return os.posix_spawn(path, arguments, variables, setsigmask=mask, setsigdef=RESTORED)
    except OSError as error:
        if error.errno == 8:
            script = ["/bin/sh", path, *arguments[1:]]
            return os.posix_spawn("/bin/sh", script, variables, setsigmask=mask, setsigdef=RESTORED)
        raise _cannot(path, error) from error


def check(words: "Sequence[str]", variables: "Mapping[str, str]") -> None:
    """Check that the program exists.

    Args:
        words: the program and its arguments.
        variables: contain PATH and SHELL.

    Raises:
        ProgramError: the program does not exist, or may not be executed.
    """
    _resolve(words, variables)


def _resolve(words: "Sequence[str]", variables: "Mapping[str, str]") -> tuple[str, list[str]]:
    """Find the file to execute: the program, or a shell that has an alias or function of that name."""
    path = find(words[0], variables)
    if path is not None:
        return path, list(words)
    from aws_runas.run import shell

    command = shell.command(words, variables)
    if command is None:
        raise ProgramError(f"program {words[0]!r} was not found in PATH", code="program-not-found", exit_status=127)
    return command[0], command


def find(name: str, variables: "Mapping[str, str]") -> str | None:
    """Find a program as a shell does.

    Args:
        name: name of the program; a name with a slash is the path itself.
        variables: contain PATH.

    Returns:
        Path of the program, None if it does not exist.

    Raises:
        ProgramError: the program exists, but may not be executed.
    """
    if "/" in name:
        if not os.path.exists(name):
            raise ProgramError(f"program {name!r} was not found", code="program-not-found", exit_status=127)
        if os.path.isdir(name):
            raise ProgramError(
                f"{name!r} is a directory", code="program-not-executable", exit_status=126, hint="name a program in it"
            )
        if not os.access(name, os.X_OK):
            raise _not_executable(name)
        return name
    refused = None
    for folder in variables.get("PATH", os.defpath).split(":") if name else ():
        path = f"{folder or '.'}/{name}"
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
        if refused is None and os.path.isfile(path):
            refused = path
    if refused is not None:
        raise _not_executable(refused)
    return None


def _not_executable(path: str) -> ProgramError:
    from shlex import quote

    return ProgramError(
        f"{path!r} is not executable", code="program-not-executable", exit_status=126, hint=f"chmod +x {quote(path)}"
    )


def _cannot(path: str, error: OSError) -> ProgramError:
    reason = f"cannot be executed: {(error.strerror or str(error)).lower()}"
    if error.errno == 2 and os.path.exists(path):
        reason = "cannot be executed: the interpreter in its first line was not found"
    return ProgramError(
        f"{path!r} {reason}", code="program-not-executable", exit_status=126, hint="check the first line of the script"
    )
