"""Results of checks."""

from __future__ import annotations

from typing import Literal

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of one check.

    Args:
        check: its name, one or two words, stable.
        verdict: "fail" if something will not work, "warn" if it may not.
        message: what was found, one line.
        advice: what to do, "" if nothing needs to be done.
        status: exit status of a failure.
    """

    check: str
    verdict: Verdict
    message: str
    advice: str = ""
    status: int = 1


def ok(check: str, message: str) -> Finding:
    """Return a finding for a check that passed.

    Args:
        check: its name.
        message: what was found.
    """
    return Finding(check, "ok", message)


def warn(check: str, message: str, advice: str) -> Finding:
    """Return a finding for something that may fail, or may not have the intended effect.

    Args:
        check: its name.
        message: what was found.
        advice: what to do about it.
    """
    return Finding(check, "warn", message, advice)


def fail(check: str, error: AwsRunasError, advice: str = "") -> Finding:
    """Return a finding for a check that failed with one of our errors.

    Args:
        check: its name.
        error: the failure.
        advice: what to do about it, if the error has no hint of its own.
    """
    message = " ".join([error.message, ", ".join(error.details)]).strip()
    return Finding(check, "fail", message, error.hint or advice, error.exit_status)
