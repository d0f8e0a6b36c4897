"""Credentials of one profile in memory: renewed before they expire, with one call for all waiting clients."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import field

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, CredentialsError
from aws_runas.serve import replies
from aws_runas.serve.desk import Desk

Outcome = Credentials | AwsRunasError
Then = Callable[[Outcome], None]

RENEW_BEFORE = 0.1  # share of the lifetime that is left; the same as for the cache on disk
LAST_MOMENT = (0.02, 5.0)  # share of the lifetime, and seconds at most: too short for a request to AWS
LIFE_ASSUMED = 3600.0  # seconds, if the time of issue is unknown
RETRY_AFTER = 30.0  # seconds between failing background attempts while the old credentials are valid


@dataclass(slots=True)
class _Job:
    """Call of the provider, and the clients that wait for it."""

    refresh: bool = False
    code: str | None = None
    attended: bool = False
    waiting: list[Then] = field(default_factory=list)


class CodeSlot:
    """Prompt for MFA codes: answers a provider's question with the posted code, once, or fails."""

    def __init__(self) -> None:
        self._code: str | None = None
        self._used = False

    def fill(self, code: str | None) -> None:
        """Store the code for the next question.

        Args:
            code: None makes the question fail.
        """
        self._code, self._used = code, False

    def prompt(self, _message: str = "") -> str:
        """Answer the provider's question for a code.

        Args:
            _message: not shown; the page has its own text.

        Raises:
            CredentialsError: no code was typed, or the code was wrong.
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
    """Keeper of valid credentials for one profile.

    Every ``then`` is called exactly once: in the calling thread if the result is available, else in the thread that
    calls the provider. Thread-safe.

    Args:
        provider: called in a separate thread, one call at a time.
        slot: read by the provider's prompt; None if codes are not supported.
        desk: for the messages and questions of a sign-in.
        now: seconds since the epoch.
        failed: called with the reason if a renewal fails in a different way than the previous one.
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
        self._jobs: list[_Job] = []  # the first is running
        self._refresh_wanted = False  # a refresh stopped because it needs a code, which resumes it
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
        """Error of the last renewal, None if it succeeded."""
        return self._error

    def get(self, then: Then) -> None:
        """Pass credentials to `then`: from memory if they are valid, else after a renewal.

        Args:
            then: called with credentials or an error, in this thread or in the renewing one.
        """
        with self._lock:
            outcome: Outcome | None = self.current()
            if outcome is None and self._jobs and self._jobs[0].attended:
                outcome = self._error or _under_way()  # a program does not wait for the user at the page
            if outcome is None:
                self._join(then)
                return
            if isinstance(outcome, Credentials) and self._may_renew(outcome):
                self._begin(_Job())
        then(outcome)

    def sign_in(self) -> None:
        """Call the provider again while the user at the page answers its questions; one sign-in at a time."""
        with self._lock:
            if not any(job.attended for job in self._jobs):
                self._begin(_Job(attended=True))

    def is_signing_in(self) -> bool:
        """Return True while a sign-in that was started on the page is running or queued."""
        with self._lock:
            return any(job.attended for job in self._jobs)

    def renew(self, then: Then, *, code: str | None = None, refresh: bool = False) -> None:
        """Call the provider again.

        Args:
            then: called with the new credentials or an error. After an error the old credentials stay in use.
            code: the MFA code that the user typed.
            refresh: fetch new credentials even if the cache has valid ones.
        """
        with self._lock:
            self._begin(_Job(refresh=refresh, code=code, waiting=[then]))

    def _left(self, credentials: Credentials) -> float:
        # in whole seconds, as clients see it: credentials that look expired to them are not returned again
        return int(credentials.expiration.timestamp()) - self.now() if credentials.expiration else float("inf")

    def _is_due(self, credentials: Credentials) -> bool:
        if credentials.expiration is None:
            # A user's own keys: read them again from time to time, in case they were rotated.
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
            # A daemon thread instead of an executor: a hanging STS call must not delay the end of the process.
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
                    )  # the cache considers them valid a moment longer
                else:
                    self._error, self._retry_at = outcome, self.now() + RETRY_AFTER
                del self._jobs[0]
                more = bool(self._jobs)
            for then in job.waiting:
                with contextlib.suppress(Exception):  # a failing callback must not affect the others
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
        except Exception as error:  # waiting clients must get any error
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
