"""Shared state of the single sign-on services: the accounts and roles of the user, and the issued tokens."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path

from aws_runas import files
from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.principals import ACCOUNT, OTHER_ACCOUNT
from aws_runas.sandbox.state import Clock

SIGNED_IN_SESSION = "sandbox"  # session of the profile that is signed in from the start
SESSION = "sandbox-sso"  # session of the profile that is not signed in
TOKEN_LIFE = 8 * 3600  # seconds
ROLES = ("my-role", "my-role-reader")


@dataclass(frozen=True, slots=True)
class Account:
    """Account and the roles of the user in it."""

    account_id: str
    name: str
    roles: tuple[str, ...]

    @property
    def email(self) -> str:
        """Email address of the account, as ListAccounts reports it."""
        return f"{self.name.lower()}@sandbox.example"


# Two accounts have the same name, which also happens at AWS.
ACCOUNTS = (Account(ACCOUNT, "sandbox", ROLES), Account(OTHER_ACCOUNT, "sandbox", ("my-role-reader",)))


def further_accounts(count: int) -> tuple[Account, ...]:
    """Return additional accounts, for answers with many pages."""
    return tuple(Account(f"{300000000000 + number}", f"team-{number:03d}", ROLES) for number in range(count))


@dataclass(slots=True)
class PortalSession:
    """Sign-in session. Its tokens end together.

    Args:
        access_tokens: expiry of each token in seconds since the epoch.
        refresh_token: "" if there is none.
    """

    access_tokens: dict[str, float] = field(default_factory=dict, repr=False)
    refresh_token: str = field(default="", repr=False)


class SsoDirectory:
    """Tokens and assignments of one sandbox. Thread-safe.

    Attributes:
        start_path: path of the start URL. It is random, because RegisterClient and StartDeviceAuthorization are not
            signed: only users who can read the sandbox's config file know the start URL.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.start_path = f"/start/{secrets.token_urlsafe(18)}"
        self._sessions: list[PortalSession] = []
        self._lock = threading.Lock()

    def sign_in(self, life: float = TOKEN_LIFE, *, refreshable: bool) -> PortalSession:
        """Create a session with its first tokens.

        Args:
            life: lifetime of the access token in seconds.
            refreshable: issue a refresh token.
        """
        session = PortalSession()
        self._renew(session, life, refreshable=refreshable)
        with self._lock:
            self._sessions.append(session)
        return session

    def refresh(self, refresh_token: str, life: float) -> PortalSession | None:
        """Exchange a refresh token, which is accepted once. Return None if it is unknown or has been used.

        Args:
            life: lifetime of the new access token in seconds.
        """
        with self._lock:
            for session in self._sessions:
                if session.refresh_token and secrets.compare_digest(session.refresh_token, refresh_token):
                    self._renew(session, life, refreshable=True)
                    return session
        return None

    def is_valid(self, access_token: str) -> bool:
        """Return True if an access token is valid now."""
        return self._find(access_token) is not None

    def sign_out(self, access_token: str) -> bool:
        """End the session of an access token; return False if the token is not valid."""
        session = self._find(access_token)
        if session is None:
            return False
        with self._lock:
            self._sessions.remove(session)
        return True

    def _find(self, access_token: str) -> PortalSession | None:
        now = self.clock.now()
        with self._lock:
            for session in self._sessions:
                if session.access_tokens.get(access_token, 0.0) > now:
                    return session
        return None

    def _renew(self, session: PortalSession, life: float, *, refreshable: bool) -> None:
        session.access_tokens[f"aoa{secrets.token_urlsafe(48)}"] = self.clock.now() + self.clock.lifetime(life)
        session.refresh_token = f"aor{secrets.token_urlsafe(48)}" if refreshable else ""


def write_token(home: Path, access_token: str, start_url: str, region: str) -> None:
    """Write the cache file that ``aws sso login`` would write.

    Args:
        home: the home directory of the user.
        access_token: the token to write.
        start_url: the start URL of the portal.
        region: the region of the portal.
    """
    directory = home / ".aws" / "sso" / "cache"
    files.make_private_directory(directory)
    name = hashlib.sha1(SIGNED_IN_SESSION.encode(), usedforsecurity=False).hexdigest()
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + TOKEN_LIFE))
    values = {"startUrl": start_url, "region": region, "accessToken": access_token, "expiresAt": expires}
    files.write_atomic(directory / f"{name}.json", json.dumps(values).encode())


def find_account(accounts: Iterable[Account], account_id: str) -> Account | None:
    """Return the account with an id, None if there is none."""
    return next((account for account in accounts if account.account_id == account_id), None)
