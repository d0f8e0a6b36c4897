"""What a check answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aws_runas.errors import AwsRunasError

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of one check.

    Args:
        check: its name, one or two words, stable.
        verdict: "fail" where something will not work, "warn" where it may not.
        message: what was found, one line.
        advice: what to do, "" where nothing need be done.
        status: exit status that a failure stands for.
    """

    check: str
    verdict: Verdict
    message: str
    advice: str = ""
    status: int = 1


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", message)


def warn(check: str, message: str, advice: str) -> Finding:
    """It may not work, or not as meant."""
    return Finding(check, "warn", message, advice)


def fail(check: str, error: AwsRunasError, advice: str = "") -> Finding:
    """It will not work: an error of ours says why."""
    message = " ".join([error.message, ", ".join(error.details)]).strip()
    return Finding(check, "fail", message, error.hint or advice, error.exit_status)
