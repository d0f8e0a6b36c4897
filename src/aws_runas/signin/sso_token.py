"""The files of Identity Center below ``~/.aws/sso/cache``.

These are tokens, which are shared with the AWS CLI and the SDKs, and our own registrations.

Source: botocore.utils.SSOTokenLoader and botocore.tokens.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path

from aws_runas import files
from aws_runas.aws.credentials import parse_time
from aws_runas.config.sso import SsoSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError

READS = 5  # attempts, since the AWS CLI truncates a file before it writes it
READ_PAUSE = 0.02  # seconds
MAX_SIZE = 1024 * 1024  # bytes
RENEWAL = 15 * 60.0  # seconds before expiry at which a token is refreshed; the same as in botocore


@dataclass(frozen=True, slots=True)
class SsoToken:
    """A token, and the values that refresh it.

    Args:
        expires: seconds since the epoch.
        members: all members of the file, including unknown ones.
    """

    access_token: str = field(repr=False)
    expires: float
    members: Mapping[str, object] = field(default_factory=dict, repr=False)

    def text(self, name: str) -> str:
        """Return a member if it is a string, else ""."""
        value = self.members.get(name)
        return value if isinstance(value, str) else ""

    def is_valid(self, now: float) -> bool:
        """Return True if the token has not expired."""
        return now < self.expires

    def is_due(self, now: float) -> bool:
        """Return True if the token expires so soon that it should be refreshed now."""
        return self.expires - now < RENEWAL

    def is_refreshable(self, now: float) -> bool:
        """Return True if there is a refresh token whose registration has not expired."""
        if not all(self.text(name) for name in ("refreshToken", "clientId", "clientSecret")):
            return False
        try:
            return read_time(self.members.get("registrationExpiresAt")) > now
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Registration:
    """A client that the OIDC service knows.

    Args:
        expires: seconds since the epoch.
    """

    client_id: str
    client_secret: str = field(repr=False)
    expires: float
    authorization_endpoint: str = ""


class TokenFiles:
    """Reads and writes the files.

    Args:
        home: the user's home directory; the SDKs have no variable that changes the location of the files.
        sleep: waits for seconds.
    """

    def __init__(self, home: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        self.directory = home / ".aws" / "sso" / "cache"
        self._sleep = sleep

    def path(self, session: SsoSession) -> Path:
        """Return the token file of a session."""
        return self.directory / f"{_sha1(session.token_key)}.json"

    def read(self, session: SsoSession) -> SsoToken | None:
        """Return the token of a session, even if it has expired; None if there is no readable token."""
        return self.read_path(self.path(session))

    def read_path(self, path: Path) -> SsoToken | None:
        """Return the token in a file of any tool; None if the file does not contain a token."""
        members = self._read(path)
        token = members.get("accessToken") if members else None
        if not members or not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            return None
        try:
            return SsoToken(token, read_time(members.get("expiresAt")), members)
        except ValueError:
            return None

    def all(self) -> list[tuple[Path, SsoToken]]:
        """Return all token files with start URL and region, including those of sessions that are in no config file."""
        try:
            paths = sorted(self.directory.glob("*.json"))
        except OSError:
            return []
        tokens = [(path, self.read_path(path)) for path in paths]
        return [(path, token) for path, token in tokens if token and token.text("startUrl") and token.text("region")]

    def write(self, session: SsoSession, token: SsoToken) -> None:
        """Replace the token file of a session.

        Raises:
            OSError: the file cannot be written.
        """
        self._write(self.path(session), token.members)

    def remove(self, session: SsoSession) -> None:
        """Remove the token file of a session. It is not an error if the file does not exist."""
        self.path(session).unlink(missing_ok=True)

    def read_registration(self, session: SsoSession, flow: str, start_url: str, now: float) -> Registration | None:
        """Return the registration for a flow, if it is valid for at least 15 more minutes.

        Args:
            session: the session, with region and scopes.
            flow: ``browser`` or ``device``.
            start_url: address of the portal.
            now: seconds since the epoch.
        """
        members = self._read(self._registration_path(session, flow, start_url)) or {}
        client_id, secret = members.get("clientId"), members.get("clientSecret")
        endpoint = members.get("authorizationEndpoint")
        try:
            expires = read_time(members.get("expiresAt"))
        except ValueError:
            return None
        if not isinstance(client_id, str) or not isinstance(secret, str) or expires - now < RENEWAL:
            return None
        return Registration(client_id, secret, expires, endpoint if isinstance(endpoint, str) else "")

    def write_registration(self, session: SsoSession, flow: str, start_url: str, made: Registration) -> None:
        """Store a registration.

        Args:
            session: the session, with region and scopes.
            flow: ``browser`` or ``device``.
            start_url: address of the portal.
            made: the new registration.

        Raises:
            OSError: the file cannot be written.
        """
        members: dict[str, object] = {
            "clientId": made.client_id,
            "clientSecret": made.client_secret,
            "expiresAt": write_time(made.expires),
            "scopes": list(session.scopes),
        }
        if flow == "browser":
            members["grantTypes"] = ["authorization_code", "refresh_token"]
        if made.authorization_endpoint:
            members["authorizationEndpoint"] = made.authorization_endpoint
        self._write(self._registration_path(session, flow, start_url), members)

    def remove_registration(self, session: SsoSession, flow: str, start_url: str) -> None:
        """Remove a registration that the service no longer knows.

        Args:
            session: the session, with region and scopes.
            flow: ``browser`` or ``device``.
            start_url: address of the portal.
        """
        self._registration_path(session, flow, start_url).unlink(missing_ok=True)

    def _registration_path(self, session: SsoSession, flow: str, start_url: str) -> Path:
        """Return a path as the AWS CLI does, but derived from tool and flow too, so as not to overwrite other files."""
        values = {
            "flow": flow,
            "region": session.region,
            "scopes": list(session.scopes),
            "session_name": session.name,
            "startUrl": start_url,
            "tool": "aws-runas",
        }
        return self.directory / f"{_sha1(json.dumps(values, sort_keys=True))}.json"

    def _read(self, path: Path) -> dict[str, object] | None:
        for attempt in range(READS):
            if attempt:
                self._sleep(READ_PAUSE)
            try:
                content = files.read_plain(path, MAX_SIZE)
            except OSError:
                return None
            try:
                values = json.loads(content)
            except (ValueError, RecursionError):
                continue
            return values if isinstance(values, dict) else None
        return None

    def _write(self, path: Path, members: Mapping[str, object]) -> None:
        # an existing directory keeps its mode, since other tools may have created it
        with files.open_private_directory(self.directory, forbidden=0) as directory:
            directory.write(path.name, json.dumps(members).encode())


def make_token(
    session: SsoSession,
    access_token: str,
    expires: float,
    refresh_token: str,
    *,
    registration: Registration | None,
    before: SsoToken | None = None,
) -> SsoToken:
    """Build the members of a token file; unknown members of the previous token are kept.

    Args:
        session: the session of the token.
        access_token: the new access token.
        expires: seconds since the epoch.
        refresh_token: the new refresh token, "" if there is none.
        registration: registration of the client that got the token; None on a refresh, which keeps the previous one.
        before: the previous token.
    """
    members = dict(before.members) if before else {}
    members |= {
        "startUrl": session.start_url,
        "region": session.region,
        "accessToken": access_token,
        "expiresAt": write_time(expires),
    }
    if registration is not None:
        members |= {
            "clientId": registration.client_id,
            "clientSecret": registration.client_secret,
            "registrationExpiresAt": write_time(registration.expires),
        }
    members.pop("refreshToken", None)
    if refresh_token:
        members["refreshToken"] = refresh_token
    return SsoToken(access_token, expires, members)


def read_time(value: object) -> float:
    """Read a time in a token file: ISO 8601, or with the suffix ``UTC`` that older tools write.

    Raises:
        ValueError: the value is not a time.
    """
    text = f"{value[:-3].rstrip()}Z" if isinstance(value, str) and value.endswith("UTC") else value
    return parse_time(text).timestamp()


def write_time(moment: float) -> str:
    """Format a time as the SDKs do: UTC, whole seconds, Z.

    Raises:
        CredentialsError: the time from the service is out of range.
    """
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        raise CredentialsError(
            "the sign-in service answers with an expiration that is not a time",
            code="endpoint-not-aws",
            hint="check AWS_ENDPOINT_URL",
        ) from None


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
