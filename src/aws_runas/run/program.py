"""Starting the user's program: finding it, becoming it, or having it as a child. On the fast path."""

import _signal  # type: ignore[import-not-found]  # signal itself costs 7 ms: it builds enums
import os

from aws_runas.errors import ProgramError

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

# The interpreter ignores these for itself; a program expects them as they are by default.
RESTORED = (_signal.SIGPIPE, _signal.SIGXFSZ)


def become(words: "Sequence[str]", variables: "Mapping[str, str]") -> "NoReturn":
    """Replace this process by the program.

    Args:
        words: the program and its arguments.
        variables: its environment.

    Raises:
        ProgramError: it cannot be started; this process goes on.
    """
    path, arguments = _resolve(words, variables)
    before = [(number, _signal.signal(number, _signal.SIG_DFL)) for number in RESTORED]
    try:
        os.execve(path, arguments, variables)  # noqa: S606 - no shell is meant
    except OSError as error:
        if error.errno == 8:  # ENOEXEC: a script without its first line; a shell would run it too
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
        Its process id.

    Raises:
        ProgramError: it cannot be started.
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
    """Make sure that the program is there.

    Args:
        words: the program and its arguments.
        variables: where PATH and SHELL are.

    Raises:
        ProgramError: it is not, or may not be executed.
    """
    _resolve(words, variables)


def _resolve(words: "Sequence[str]", variables: "Mapping[str, str]") -> tuple[str, list[str]]:
    """Find what to execute: the program, or a shell that has an alias or a function of that name."""
    path = find(words[0], variables)
    if path is not None:
        return path, list(words)
    from aws_runas.run import shell

    command = shell.command(words, variables)
    if command is None:
        raise ProgramError(f"program {words[0]!r} was not found in PATH", code="program-not-found", exit_status=127)
    return command[0], command


def find(name: str, variables: "Mapping[str, str]") -> str | None:
    """Look for a program as a shell does.

    Args:
        name: as typed; with a slash it is the path itself.
        variables: where PATH is.

    Returns:
        Its path, None when there is none.

    Raises:
        ProgramError: there is one, and it may not be executed.
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
