"""Caching providers that wrap other providers: in memory for this process, and on disk for all processes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.credentials import processes
from aws_runas.credentials.cache import DiskCache

RESERVE = 0.1  # of the lifetime, product rule
CLOCK_TOLERANCE = 300  # seconds; AWS itself accepts five minutes


def usable_until(credentials: Credentials) -> float | None:
    """Return the time from which new credentials are fetched: a tenth of the lifetime before expiration.

    Args:
        credentials: to judge.

    Returns:
        Seconds since the epoch, None for credentials that do not expire.
    """
    if credentials.expiration is None:
        return None
    end = credentials.expiration.timestamp()
    if credentials.issued is None:
        return end
    life = end - credentials.issued.timestamp()
    return end - life * RESERVE


def is_usable(credentials: Credentials, now: float) -> bool:
    """Return True if credentials may still be used.

    Args:
        now: seconds since the epoch.
    """
    until = usable_until(credentials)
    if until is None:
        return True
    if credentials.issued is not None and credentials.issued.timestamp() > now + CLOCK_TOLERANCE:
        return False  # the clock was set back: their expiration cannot be trusted
    return now < until


class MemoryProvider:
    """Caches a provider's credentials in memory until shortly before expiration; many threads ask, one fetches.

    Args:
        inner: called if no valid credentials are cached.
        now: seconds since the epoch.
    """

    def __init__(self, inner: Provider, now: Callable[[], float]) -> None:
        self._inner = inner
        self._now = now
        self._lock = threading.RLock()
        self._found: Credentials | None = None

    def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return the credentials in memory, or those of the inner provider.

        Args:
            refresh: fetch new ones even if the cached ones are still valid.
        """
        before = self._found
        if not refresh and before is not None and is_usable(before, self._now()):
            return before
        with self._lock:
            found = self._found
            if found is not None and is_usable(found, self._now()) and (not refresh or found is not before):
                return found
            self._found = self._inner.credentials(refresh=refresh)
            return self._found


class CachedProvider:
    """Caches a provider's credentials on disk; many processes ask, one fetches.

    Args:
        inner: called if the entry is missing or about to expire.
        cache: contains the entries.
        name: of the entry, from `entry_name`.
        now: seconds since the epoch.
        debug: receives a line about the result of the lookup.
    """

    def __init__(
        self,
        inner: Provider,
        cache: DiskCache,
        name: str,
        now: Callable[[], float],
        *,
        debug: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._inner = inner
        self._cache = cache
        self.name = name
        self._now = now
        self._debug = debug

    def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return the credentials on disk, or those of the inner provider, which is called under the entry's lock.

        Args:
            refresh: fetch new ones even if the cached ones are still valid.
        """
        found, reason = (None, "new ones are asked for") if refresh else self._read()
        self._debug(f"{self.name}: {reason}")
        if found is not None:
            return found
        fetched: list[Credentials] = []

        def another_did() -> bool:
            entry = None if refresh else self._read()[0]
            if entry is not None:
                fetched.append(entry)
            return entry is not None

        with processes.holding(self.name), self._cache.lock(self.name, another_did):
            if fetched or another_did():
                return fetched[0]
            found = self._inner.credentials(refresh=refresh)
            if found.session_token and found.expiration:
                self._cache.write(self.name, found)
            return found

    def _read(self) -> tuple[Credentials | None, str]:
        """Return the entry, if it can be used, and the reason in words."""
        found = self._cache.read(self.name)
        if found is None:
            return None, "no entry in the cache"
        if not is_usable(found, self._now()):
            return None, f"the entry in the cache ends {found.expiration}, too soon to be used"
        return found, f"from the cache, valid until {found.expiration}"
