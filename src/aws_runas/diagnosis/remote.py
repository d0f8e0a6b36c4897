"""Checks that ask AWS: STS, the clock by the time of its answer, the identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from aws_runas.aws.caller import CallerIdentity, caller_identity, date_of
from aws_runas.aws.errors import aws_code
from aws_runas.diagnosis.model import Finding, fail, ok, warn
from aws_runas.errors import AwsRunasError, CredentialsError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

CLOCK_LIMIT = 300  # seconds; AWS refuses signatures that are further off
CLOCK_WARNING = 180  # seconds; as the original warned
_SET_CLOCK = "set the clock, for instance by switching on time synchronisation"


@dataclass(frozen=True, slots=True)
class StsAnswer:
    """What came of asking STS who the user is.

    Args:
        identity: None where it refused.
        error: why, None where it answered.
        sent, received: when, seconds since the epoch by this machine's clock.
    """

    identity: CallerIdentity | None
    error: AwsRunasError | None
    sent: float
    received: float

    @property
    def answered(self) -> bool:
        """Whether STS was reached at all; a refusal is an answer."""
        return self.identity is not None or (self.error is not None and bool(aws_code(self.error)))

    @property
    def date(self) -> datetime | None:
        """The time at STS."""
        if self.identity is not None:
            return self.identity.date
        return date_of(self.error) if self.error is not None else None


def check_source(access: Access, found: Finding) -> Finding:
    """Credentials that others give (SSO, a process, a web identity) are given.

    Args:
        access: whose first credentials.
        found: what is known of them without asking; returned where they come.
    """
    try:
        access.user_provider.credentials()
    except AwsRunasError as error:
        return fail(found.check, error)
    return found


def ask_sts(access: Access, now: Callable[[], float]) -> StsAnswer:
    """Ask with the user's own keys, which takes no MFA code.

    Args:
        access: whose keys.
        now: this machine's clock, seconds since the epoch.
    """
    sent = now()
    try:
        identity = caller_identity(access, user=True)
    except AwsRunasError as error:
        return StsAnswer(None, error, sent, now())
    return StsAnswer(identity, None, sent, now())


def check_sts(answer: StsAnswer, endpoint: str) -> Finding:
    """STS can be reached.

    Args:
        answer: of STS.
        endpoint: where it was asked, for people.
    """
    if not answer.answered and answer.error is not None:
        return fail("sts", answer.error)
    return ok("sts", f"{endpoint} answers")


def check_clock(answer: StsAnswer) -> Finding:
    """This machine's clock is within what AWS accepts, by the Date header of the answer."""
    if answer.date is None:
        return warn("clock", "STS told no time to compare with", "compare it by another check: --ntp")
    # The header has whole seconds, and the answer was under way: no claim is made that is finer than that.
    there = answer.date.timestamp()
    offset = 0.0
    if answer.received < there:
        offset = answer.received - there
    elif answer.sent > there + 1:
        offset = answer.sent - (there + 1)
    return judge_clock("clock", offset, "STS")


def judge_clock(check: str, offset: float, source: str) -> Finding:
    """Judge how far off a clock is.

    Args:
        check: name of the check.
        offset: seconds, positive where this machine is ahead.
        source: what it was compared with.
    """
    side = "ahead of" if offset > 0 else "behind"
    words = f"{abs(offset):.0f} s {side} {source}" if abs(offset) >= 1 else f"in step with {source}"
    if abs(offset) >= CLOCK_LIMIT:
        return fail(check, CredentialsError(f"{words}; AWS allows {CLOCK_LIMIT} s", code="clock-skew", hint=_SET_CLOCK))
    if abs(offset) >= CLOCK_WARNING:
        return warn(check, words, _SET_CLOCK)
    return ok(check, words)


def check_identity(access: Access, answer: StsAnswer) -> Finding:
    """The credentials that were asked for, role and all, are accepted; may ask for an MFA code."""
    if answer.error is not None:
        return fail("identity", answer.error)
    if answer.identity is not None and not access.profile.roles and not access.profile.session:
        return ok("identity", answer.identity.arn)
    try:
        return ok("identity", caller_identity(access).arn)
    except AwsRunasError as error:
        return fail("identity", error)
