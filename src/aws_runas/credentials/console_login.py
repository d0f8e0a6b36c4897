"""Credentials of ``login_session``: read from the cache of ``aws login``, renewed under a lock, and written back.

The cache belongs to the AWS CLI and every SDK reads it, so its format is exact and unknown members are preserved.
Nothing from it is copied into our own cache: another tool may rotate the keys at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aws_runas import files
from aws_runas.aws.credentials import Credentials, checked, parse_time
from aws_runas.credentials.cache import DiskCache
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.signin.context import RunContext

if TYPE_CHECKING:
    from aws_runas.aws.client import Clients
    from aws_runas.aws.signin import RefreshedLogin
    from aws_runas.config.profile import Profile, ResolverSource

RENEW_BEFORE = timedelta(minutes=5)  # as botocore
LIFETIME = timedelta(minutes=15)  # of the keys, set by the service
READS = 5  # attempts for a file that does not parse: other tools write it in place
READ_INTERVAL = 0.02  # seconds
MAX_SIZE = 1 << 20  # bytes
VARIABLE = "AWS_LOGIN_CACHE_DIRECTORY"


@dataclass(frozen=True, slots=True)
class CachedLogin:
    """The content of one login file.

    Args:
        values: every member, including unknown ones.
        credentials: of its access token.
    """

    values: Mapping[str, object] = field(repr=False)
    credentials: Credentials

    def text(self, name: str) -> str:
        """Return a text member, "" if it is missing or of another type."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def lasts(self, now: float, least: timedelta) -> bool:
        """Return True if the keys are valid for longer than `least`."""
        end = self.credentials.expiration
        return end is not None and end.timestamp() - now > least.total_seconds()

    def renewed(self, answer: RefreshedLogin, now: float) -> CachedLogin:
        """Return the login with the keys and the refresh token of a reply."""
        before = self.values.get("accessToken")
        end = datetime.fromtimestamp(now, UTC).replace(microsecond=0) + timedelta(seconds=answer.expires_in)
        token = {
            **(before if isinstance(before, dict) else {}),
            "accessKeyId": answer.access_key_id,
            "secretAccessKey": answer.secret_access_key,
            "sessionToken": answer.session_token,
            "expiresAt": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return parse_login({**self.values, "accessToken": token, "refreshToken": answer.refresh_token})


class ConsoleLoginProvider:
    """Gives the keys of one login; many processes ask, one renews them.

    Args:
        profile: gives the region for a login without one.
        source: of the kind ``login``.
        cache: of aws-runas, only for its lock.
        clients: makes the client of the sign-in service.
        context: clock, location of the cache of ``aws login``, and output for messages.
    """

    def __init__(
        self,
        profile: Profile,
        source: ResolverSource,
        cache: DiskCache,
        clients: Callable[[], Clients],
        *,
        context: RunContext,
    ) -> None:
        self._profile = profile
        session = dict(source.identity)["login_session"]
        digest = hashlib.sha256(session.encode("utf-8", "surrogateescape")).hexdigest()
        self._path = login_cache_directory(context.environ, context.home) / f"{digest}.json"
        self._lock = f"login-{hashlib.sha256(os.fsencode(self._path)).hexdigest()[:40]}.json"
        self._session = session
        self._again = f"aws login --profile {shlex.quote(source.profile or 'default')}"
        self._cache = cache
        self._clients = clients
        self._now = context.now
        self._warn = context.warn
        self._debug = context.debug

    def credentials(self, *, refresh: bool = False) -> Credentials:
        """Return the keys in the file; renew them if less than five minutes are left.

        Raises:
            CredentialsError: ``login-needed``, or the call to the service failed.
        """
        login = self._read()
        if not refresh and login.lasts(self._now(), RENEW_BEFORE):
            return login.credentials
        found: list[CachedLogin] = []

        def another_did() -> bool:
            again = self._read()
            is_new = not refresh or again.credentials != login.credentials
            if is_new and again.lasts(self._now(), RENEW_BEFORE):
                found.append(again)
            return bool(found)

        with self._cache.lock(self._lock, another_did):
            if found or another_did():
                return found[0].credentials
            return self._renew(self._read(), refresh).credentials

    def _renew(self, login: CachedLogin, refresh: bool) -> CachedLogin:
        """Request new keys from the service and write them back. Call it with the lock held."""
        try:
            with files.open_private_directory(self._path.parent, forbidden=files.CHANGED_BY_OTHERS) as directory:
                renewed = self._ask(login)
                self._write(directory, renewed)
                return renewed
        except OSError as error:
            problem = CredentialsError(
                f"the login cannot be renewed: {self._path.parent} cannot be used: {_reason(error)}",
                code="source-failed",
                hint=f"check its owner and mode, and {VARIABLE}",
            )
        except CredentialsError as error:
            problem = error
        later = self._read()  # the AWS CLI takes no lock: it may have renewed first and used our refresh token
        if later.text("refreshToken") != login.text("refreshToken") and later.lasts(self._now(), timedelta(0)):
            return later
        if refresh or problem.code == "login-needed" or not login.lasts(self._now(), timedelta(0)):
            raise problem
        self._debug(f"{problem.message}; its keys are used until {login.credentials.expiration}")
        return login

    def _ask(self, login: CachedLogin) -> CachedLogin:
        from aws_runas.aws import signin

        missing = [name for name in ("clientId", "refreshToken", "dpopKey") if not login.text(name)]
        if missing:
            raise self._needed(f"it has no {missing[0]}")
        region = login.text("signInRegion") or self._profile.sts_region
        self._debug(f"renewing the login at the sign-in service of {region}")
        answer = signin.refresh_login(
            self._clients().client("signin", region, lambda: login.credentials),
            login.text("clientId"),
            login.text("refreshToken"),
            login.text("dpopKey"),
            again=self._again,
        )
        try:
            return login.renewed(answer, self._now())
        except ValueError as error:
            raise self._needed(f"the sign-in service returned unusable keys ({error})") from None

    def _write(self, directory: files.Directory, login: CachedLogin) -> None:
        try:
            directory.write(self._path.name, json.dumps(login.values).encode())
        except OSError as error:
            self._warn(
                f"the renewed login cannot be written to {self._path}: {_reason(error)}; "
                f"when it ends, sign in again: {self._again}"
            )

    def _read(self) -> CachedLogin:
        """Read the file, and again after a moment if it does not parse.

        Raises:
            CredentialsError: there is no usable file.
        """
        reason = ""
        for attempt in range(READS):
            if attempt:
                time.sleep(READ_INTERVAL)
            try:
                return parse_login(_load(self._path))
            except FileNotFoundError:
                raise self._needed("nobody has signed in") from None
            except OSError as error:
                raise self._needed(f"{self._path} cannot be read: {_reason(error)}") from None
            except ValueError as error:
                reason = str(error)
        raise self._needed(f"{self._path} cannot be used: {reason}")

    def _needed(self, reason: str) -> CredentialsError:
        return CredentialsError(
            f"no credentials from login_session {self._session}: {reason}",
            code="login-needed",
            hint=f"sign in: {self._again}",
        )


def login_cache_directory(environ: Mapping[str, str], home: Path) -> Path:
    """Return the directory where ``aws login`` keeps its files."""
    text = environ.get(VARIABLE)
    if text is None:
        return home / ".aws" / "login" / "cache"
    expanded = os.path.expandvars(text)
    if expanded == "~" or expanded.startswith("~/"):
        return home / expanded[2:]
    return Path(os.path.expanduser(expanded))


def parse_login(values: object) -> CachedLogin:
    """Check the members that every login has.

    Raises:
        ValueError: a member is missing or cannot be read; the message contains no value.
    """
    token = values.get("accessToken") if isinstance(values, dict) else None
    if not isinstance(values, dict) or not isinstance(token, dict):
        raise ValueError("it has no accessToken")
    end = parse_time(token.get("expiresAt"))
    if not token.get("sessionToken"):
        raise ValueError("it has no sessionToken")
    key_id, secret, session_token = (token.get(name) for name in ("accessKeyId", "secretAccessKey", "sessionToken"))
    issued = (end - LIFETIME).timestamp()
    return CachedLogin(values, checked(key_id, secret, session_token, expiration=end, now=issued))


def _load(path: Path) -> object:
    content = files.read_plain(path, MAX_SIZE)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
