"""Credentials of one profile held in memory: renewed before they end, once however many wait for them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.errors import AwsRunasError, CredentialsError
from aws_runas.serve import replies
from aws_runas.serve.desk import Desk

Outcome = Credentials | AwsRunasError
Then = Callable[[Outcome], None]

RENEW_BEFORE = 0.1  # of their life is left: the cache on disk keeps to the same share
LAST_MOMENT = (0.02, 5.0)  # share of their life, and seconds at most: too short to be of use on the way to AWS
LIFE_ASSUMED = 3600.0  # seconds, where it is not known when they were issued
RETRY_AFTER = 30.0  # seconds between background attempts that fail while the old ones are still good


@dataclass(slots=True)
class _Job:
    """One call of the provider, and who waits for it."""

    refresh: bool = False
    code: str | None = None
    attended: bool = False
    waiting: list[Then] = field(default_factory=list)


class CodeSlot:
    """Answers a provider's question for an MFA code: with the code that was posted, once, or with an error."""

    def __init__(self) -> None:
        self._code: str | None = None
        self._used = False

    def fill(self, code: str | None) -> None:
        """Keep the code for the next question.

        Args:
            code: None lets the question fail.
        """
        self._code, self._used = code, False

    def prompt(self, _message: str = "") -> str:
        """Answer the provider's question for a code.

        Args:
            _message: not shown; the page has its own.

        Raises:
            CredentialsError: nobody has typed a code, or the one typed was wrong.
        """
        code, self._code = self._code, None
        if code is not None:
            self._used = True
            return code
        if self._used:
            raise CredentialsError(
                "the MFA code was refused",
                code="mfa-code-refused",
                hint="each code is valid once: wait for the next one",
            )
        raise CredentialsError(
            "an MFA code is needed", code="mfa-required", hint="type it on the server's page, or POST it to /mfa"
        )


class Renewal:
    """Keeps one profile's credentials good.

    Every ``then`` is called exactly once, from the calling thread when the answer is at hand, else from the thread that
    asks the provider. All methods may be called from any thread.

    Args:
        provider: asked in a thread of its own, one question at a time.
        slot: what the provider's prompt reads; None where no codes are taken.
        desk: what a sign-in says and asks.
        now: seconds since the epoch.
        failed: told why, when a renewal fails in another way than the one before it.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        slot: CodeSlot | None = None,
        desk: Desk | None = None,
        now: Callable[[], float] = time.time,
        failed: Callable[[AwsRunasError], None] | None = None,
    ) -> None:
        self.provider = provider
        self._slot = slot
        self._desk = desk or Desk()
        self._failed = failed
        self.now = now
        self._lock = threading.Lock()
        self._current: Credentials | None = None
        self._fetched = 0.0
        self._error: AwsRunasError | None = None
        self._retry_at = 0.0
        self._jobs: list[_Job] = []  # the first is under way
        self._refresh_wanted = False  # a refresh stopped at the question for a code: the code resumes it
        self.calls = 0  # of the provider, for tests and measurements

    def current(self) -> Credentials | None:
        """Return the credentials in memory; None if there are none or they are about to expire."""
        credentials = self._current
        if credentials is None:
            return None
        share, most = LAST_MOMENT
        return credentials if self._left(credentials) > min(most, share * _life(credentials)) else None

    @property
    def last_error(self) -> AwsRunasError | None:
        """The error of the last renewal, None if it succeeded."""
        return self._error

    def get(self, then: Then) -> None:
        """Hand over credentials: from memory if they are good, else after the renewal that is under way.

        Args:
            then: takes credentials or an error, in this thread or in the renewing one.
        """
        with self._lock:
            outcome: Outcome | None = self.current()
            if outcome is None and self._jobs and self._jobs[0].attended:
                outcome = self._error or _under_way()  # a program does not wait for a person at the page
            if outcome is None:
                self._join(then)
                return
            if isinstance(outcome, Credentials) and self._may_renew(outcome):
                self._begin(_Job())
        then(outcome)

    def sign_in(self) -> None:
        """Ask the provider again, with a person at the page who answers what it asks; once at a time."""
        with self._lock:
            if not any(job.attended for job in self._jobs):
                self._begin(_Job(attended=True))

    def is_signing_in(self) -> bool:
        """Return True while a sign-in that was started on the page is under way, or waits for its turn."""
        with self._lock:
            return any(job.attended for job in self._jobs)

    def renew(self, then: Then, *, code: str | None = None, refresh: bool = False) -> None:
        """Ask the provider again.

        Args:
            then: told the new credentials, or why there are none; the old ones stay in use then.
            code: the MFA code that a person typed.
            refresh: fetch new credentials even if the cache has valid ones.
        """
        with self._lock:
            self._begin(_Job(refresh=refresh, code=code, waiting=[then]))

    def _left(self, credentials: Credentials) -> float:
        # to the whole second, as clients are told it: what they take for ended is not handed out again
        return int(credentials.expiration.timestamp()) - self.now() if credentials.expiration else float("inf")

    def _is_due(self, credentials: Credentials) -> bool:
        if credentials.expiration is None:
            # A user's own keys: ask again now and then, in case they were rotated.
            return self.now() - self._fetched > LIFE_ASSUMED
        return self._left(credentials) <= _life(credentials) * RENEW_BEFORE

    def _may_renew(self, credentials: Credentials) -> bool:
        return self._is_due(credentials) and not self._jobs and self.now() >= self._retry_at

    def _join(self, then: Then) -> None:
        if self._jobs:
            self._jobs[-1].waiting.append(then)
        else:
            self._begin(_Job(waiting=[then]))

    def _begin(self, job: _Job) -> None:
        self._jobs.append(job)
        if len(self._jobs) == 1:
            # Not a daemon of the interpreter's pool: a hanging STS call must not hold up the end of the process.
            threading.Thread(target=self._work, name="renewal", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._jobs[0]
            outcome = self._ask(job)
            if isinstance(outcome, AwsRunasError):
                self._tell(outcome)
            with self._lock:
                if isinstance(outcome, Credentials):
                    unchanged = outcome == self._current
                    self._current, self._fetched, self._error = outcome, self.now(), None
                    self._retry_at = (
                        self.now() + 1.0 if unchanged else 0.0
                    )  # the cache thinks them good a moment longer
                else:
                    self._error, self._retry_at = outcome, self.now() + RETRY_AFTER
                del self._jobs[0]
                more = bool(self._jobs)
            for then in job.waiting:
                with contextlib.suppress(Exception):  # one that cannot take its answer keeps none from the others
                    then(outcome)
            if not more:
                return

    def _tell(self, error: AwsRunasError) -> None:
        if self._failed is not None and (self._error is None or self._error.code != error.code):
            with contextlib.suppress(Exception):
                self._failed(error)

    def _ask(self, job: _Job) -> Outcome:
        refresh = job.refresh or (job.code is not None and self._refresh_wanted)
        if self._slot is not None:
            self._slot.fill(job.code)
        self.calls += 1
        try:
            with self._desk.attended() if job.attended else contextlib.nullcontext():
                credentials = self.provider.credentials(refresh=refresh)
        except AwsRunasError as error:
            if error.code in replies.MFA_CODES:
                self._refresh_wanted = refresh
            return error
        except Exception as error:  # whatever it is, those who wait must hear of it
            return CredentialsError(
                f"credentials could not be fetched ({type(error).__name__})",
                code="serve-provider-failed",
                hint="run it again with -v, and report what it prints",
            )
        self._refresh_wanted = False
        return credentials


def _under_way() -> AwsRunasError:
    return CredentialsError(
        "a sign-in is under way", code="login-needed", hint="complete it on the server's page, and try again"
    )


def _life(credentials: Credentials) -> float:
    if credentials.issued is None or credentials.expiration is None:
        return LIFE_ASSUMED
    return (credentials.expiration - credentials.issued).total_seconds()
