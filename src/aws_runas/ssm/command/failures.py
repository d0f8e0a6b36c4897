"""Errors of a command whose helper did not start, or whose status never arrived."""

from __future__ import annotations

from collections.abc import Iterable

from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError
from aws_runas.ssm.command.bootstrap import Bootstrap, BootstrapFailure


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """The end of a session before the command's status arrived, and its state at that time.

    Args:
        output: the last message of the service.
        last_error: output of the session that did not come from the helper.
        started: a helper had received the command.
        bootstrap: the helper's bootstrap; None on carriers that have none.
    """

    output: str
    last_error: bytes
    started: bool
    bootstrap: Bootstrap | None


def tools_missing(missing: Iterable[str], tools: Iterable[str]) -> SessionError:
    """Return the error for an instance without Python that lacks tools for the shell helper.

    Args:
        missing: tools that the helper needs and the instance does not have.
        tools: tools that the instance has.
    """
    return SessionError(
        f"the helper needs {', '.join(missing)} on the instance, or Python 3.6",
        code="helper-missing",
        hint=f"there is: sh {' '.join(sorted(tools))}",
    )


def helper_failed(kind: str, text: str) -> SessionError:
    """Return the error for a failure that a helper reported.

    Args:
        kind: ``check``, ``shell`` or another error kind of a helper.
        text: the helper's message.
    """
    if kind == "check":
        return SessionError(
            f"the command was not started: {' '.join(text.split())}",
            code="command-not-started",
            hint="check --cwd, and what sudo allows the session's user",
        )
    if kind == "shell":
        return SessionError(
            f"there is no Python on the instance, and its sh is not usable: {text}",
            code="helper-missing",
            hint="install Python 3.6 there, or use -n if the command needs no input",
        )
    return SessionError(f"the helper failed: {kind} {text}".strip(), code="helper-failed")


def silent(seconds: int) -> SessionError:
    """Return the error for a helper whose ticks have stopped.

    Args:
        seconds: time since the last tick.
    """
    return SessionError(
        f"the command sent nothing for {seconds} s; its status is unknown",
        code="status-unknown",
        hint="use --via shell, or limit the output with --pace",
    )


def not_started(seconds: float) -> SessionError:
    """Return the error for a document session in which no helper has answered.

    Args:
        seconds: time since the session started.
    """
    return SessionError(
        f"the helper did not start within {seconds:.0f} s",
        code="status-unknown",
        hint="use --via shell, and see whether python3 starts on the instance",
    )


def bootstrap_failed(failure: BootstrapFailure) -> SessionError:
    """Return the error for a bootstrap that failed, with the session's last output.

    Args:
        failure: the failure of the bootstrap.
    """
    shown = failure.output.decode("utf-8", "replace").split()
    ending = f"; its last output: {' '.join(shown)}" if shown else ""
    return SessionError(
        f"no helper could be started in the session's shell: {failure.reason}{ending}",
        code="bootstrap-failed",
        hint="check the account's shell profile in the Session Manager preferences, and python3 on the instance",
    )


def session_ended(end: SessionEnd, error: Exception | None) -> Exception:
    """Return the error for a session that ended without a status.

    Args:
        end: the state when the session ended.
        error: the channel's error, None if the service ended the session.
    """
    text = " ".join(f"{end.output} {end.last_error.decode('utf-8', 'replace')}".split())
    missing = ("executable file not found", "no such file", "Error occurred starting the command")
    if not end.started and any(words in text for words in missing):
        return SessionError(
            f"the instance has no shell: {text}", code="no-shell", hint="the helper needs sh on the instance"
        )
    if error is not None:
        return error
    if end.started:
        return SessionError(
            "the session was ended from outside while the command ran",
            code="remote-killed",
            hint="see who ended it in the session history, and the session's maximum duration",
        )
    if end.bootstrap is not None:
        return bootstrap_failed(end.bootstrap.session_ended())
    return SessionError(
        f"the session ended before the command was started{': ' + text if text else ''}",
        code="status-unknown",
        hint="use --via shell; the agent may be older than 3.1.1511, or the instance's Python does not start",
    )
