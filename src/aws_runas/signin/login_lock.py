"""One sign-in for many processes: a lock for each session in the cache directory, and a mark after a failure."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from aws_runas import files
from aws_runas.errors import CredentialsError
from aws_runas.signin.person import login_needed

PATIENCE = 20.0  # seconds of waiting for another process before the user is told
FAILURE_TIME = 60.0  # seconds without another attempt after the user refused or did not answer
# codes of failures that leave a mark; the last two, because providers lock an account after a few failures
MARKING = frozenset(("login-denied", "login-timeout", "login-state-mismatch", "idp-password-wrong", "idp-code-refused"))

T = TypeVar("T")
Say = Callable[[str], None]


class LoginLock:
    """The lock of one session.

    Args:
        directory: the cache directory, created if missing.
        kind: kind of the session, such as ``sso``; kind and name together identify the session.
        name: name of the session: sso-session, start URL or issuer.
        say: receives lines for the user.
        now: returns seconds since the epoch.
    """

    def __init__(
        self, directory: Path, kind: str, name: str, say: Say, *, now: Callable[[], float] = time.time
    ) -> None:
        digest = hashlib.sha256(f"{kind}\n{name}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._directory = directory
        self._stem = f"login-{digest}.json"  # the cache removes old files with this extension
        self._label = name
        self._say = say
        self._now = now

    def sign_in(
        self, read: Callable[[], T | None], fetch: Callable[[], T], *, command: str, explicit: bool = False
    ) -> T:
        """Return the stored value, or fetch it; only one process does so at a time.

        Args:
            read: returns the stored value; None if there is none that can be used. Called with and without the lock.
            fetch: refreshes or signs in, stores the result and returns it. Called with the lock held.
            command: the command that signs in, for the error.
            explicit: the user asked for this sign-in, so a recent failure does not prevent it.

        Raises:
            CredentialsError: another process failed less than a minute ago (``login-needed``), or `fetch` failed.
        """
        found: list[T] = []

        def another_did() -> bool:
            value = read()
            if value is not None:
                found.append(value)
            return value is not None

        if another_did():
            return found[0]
        with self._hold(another_did):
            if found or another_did():
                return found[-1]
            if not explicit and self._has_failed():
                raise login_needed(self._label, command)
            return self._fetch(fetch)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock, for `logout` and other changes of the session."""
        with self._hold(lambda: False):
            yield

    def _fetch(self, fetch: Callable[[], T]) -> T:
        try:
            value = fetch()
        except CredentialsError as error:
            if error.code in MARKING:
                self._mark()
            raise
        self._unmark()
        return value

    @contextlib.contextmanager
    def _hold(self, unless: Callable[[], bool]) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                directory = stack.enter_context(files.open_private_directory(self._directory))
                self._wait(stack, directory, unless)
            except (OSError, NotImplementedError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
                self._say(f"cannot lock {self._directory}: {reason.lower()}; continuing without a lock")
            yield

    def _wait(self, stack: contextlib.ExitStack, directory: files.Directory, unless: Callable[[], bool]) -> None:
        path = self._directory / f"{self._stem}.lock"
        try:
            stack.enter_context(files.lock(path, timeout=PATIENCE, unless=unless, within=directory))
        except TimeoutError:
            self._say(f"another aws-runas is signing in to {self._label}; waiting for it")
            # with a timeout, since only a wait with a timeout calls `unless`
            stack.enter_context(files.lock(path, timeout=24 * 3600, unless=unless, within=directory))

    def _has_failed(self) -> bool:
        with contextlib.suppress(OSError), files.open_private_directory(self._directory, create=False) as directory:
            for name, age in directory.ages(self._now()):
                if name == self._stem:
                    return -5.0 < age < FAILURE_TIME  # the clocks of file system and process may differ slightly
        return False

    def _mark(self) -> None:
        with contextlib.suppress(OSError), files.open_private_directory(self._directory) as directory:
            directory.write(self._stem, b"the last sign-in failed\n")

    def _unmark(self) -> None:
        with contextlib.suppress(OSError), files.open_private_directory(self._directory, create=False) as directory:
            directory.remove(self._stem)
