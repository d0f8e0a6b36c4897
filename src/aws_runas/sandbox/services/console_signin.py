"""Sign-in to the console: the federation endpoint, sign-out, and a page that shows the signed-in user.

Refusals are web pages, as at AWS. The three secrets are checked against the keys that the sandbox's STS issued.

Source: AWS IAM User Guide, "Enable custom identity broker access to the AWS console". According to
user reports, it refuses keys of users, session tokens, and SessionDuration with chained roles or federated users.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from html import escape
from urllib.parse import parse_qsl, urlsplit

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.calls import Call, CallLog
from aws_runas.sandbox.services.errors import Reply, json_reply
from aws_runas.sandbox.services.principals import Key, TemporaryKeys
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.state import SandboxState

FEDERATION, OAUTH = "/federation", "/oauth"
PATHS = (FEDERATION, OAUTH)
TOKEN_LIFETIME = 900  # seconds
DEFAULT_SESSION = 3600  # seconds, if a role's credentials are valid longer
SHORTEST, LONGEST = 900, 43200  # seconds of SessionDuration
CONSOLES = ("aws.amazon.com", "amazonaws-us-gov.com", "amazonaws.cn", "amazonaws-eusc.eu")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>
{body}</body></html>
"""


class Refused(Exception):  # noqa: N818 - the endpoint's term for an error
    """Refused request: the answer is an error page with status 400."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Console session behind a SigninToken.

    Args:
        expires: seconds since the epoch, for the token.
        ends: seconds since the epoch, for the console session.
    """

    arn: str
    expires: float
    ends: float


class ConsoleSignIn:
    """Federation endpoint of the console.

    Args:
        keys: temporary keys that STS issued.
        state: clock and faults.
        log: records every call.
    """

    def __init__(self, keys: TemporaryKeys, state: SandboxState, log: CallLog) -> None:
        self._keys = keys
        self._state = state
        self._log = log
        self._tickets: dict[str, Ticket] = {}
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        text = request.body.decode("utf-8", "replace") if request.method == "POST" else request.query
        values = dict(parse_qsl(text, keep_blank_values=True))
        action = values.get("Action", "")
        if request.method not in ("GET", "POST") or (
            request.method == "POST" and self._state.faults.federation_get_only
        ):
            self._log.record(Call("console", action, request), "405")
            return Reply(405, b"", {"Allow": "GET"})
        try:
            if request.path == OAUTH:
                reply = self._logout(action, values, request)
            elif action == "getSigninToken":
                reply = json_reply({"SigninToken": self._token(values)}, content_type="application/json")
            elif action == "login" and request.method == "GET":
                reply = self._login(values)
            else:
                raise Refused("There is no such action.")
        except Refused as refusal:
            self._log.record(Call("console", action, request), "400")
            return _page("AWS sign-in failed", f"<p>{escape(str(refusal))}</p>", 400)
        self._log.record(Call("console", f"{action} by {request.method}", request))
        return reply

    def _token(self, values: dict[str, str]) -> str:
        key = self._find_key(values.get("Session", ""))
        now = self._state.clock.now()
        if not key.federated and key.principal.role_name is None:
            raise Refused("Only federation tokens or assume role tokens can be used for signing in.")
        ends = key.expiration or now
        if not key.federated:
            ends = min(ends, now + DEFAULT_SESSION)
        if "SessionDuration" in values:
            text = values["SessionDuration"]
            if not text.isascii() or not text.isdigit() or not SHORTEST <= int(text) <= LONGEST:
                raise Refused("SessionDuration is not between 900 and 43200.")
            if key.grant.chained or key.federated:
                raise Refused("SessionDuration cannot be used with these credentials.")
            ends = now + self._state.clock.lifetime(int(text))
        token = secrets.token_urlsafe(192)
        with self._lock:
            self._tickets[token] = Ticket(key.principal.arn, now + self._state.clock.lifetime(TOKEN_LIFETIME), ends)
        return token

    def _find_key(self, text: str) -> Key:
        try:
            session: object = json.loads(text)
            if not isinstance(session, dict):
                raise TypeError("not an object")
            names = ("sessionId", "sessionKey", "sessionToken")
            key_id, secret, token = (str(session[name]).encode() for name in names)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Refused("The Session is not valid.") from None
        key = self._keys.find(key_id.decode())
        if (
            key is None
            or not hmac.compare_digest(key.secret_access_key.encode(), secret)
            or not hmac.compare_digest((key.session_token or "").encode(), token)
        ):
            raise Refused("The credentials are not valid.")
        if key.expiration is not None and key.expiration <= self._state.clock.now():
            raise Refused("The credentials have expired.")
        return key

    def _login(self, values: dict[str, str]) -> Reply:
        destination = values.get("Destination", "")
        try:
            parts = urlsplit(destination)
            host = parts.hostname or ""
        except ValueError:
            raise Refused("The destination is not valid.") from None
        if parts.scheme != "https" or not any(f".{host}".endswith(f".{console}") for console in CONSOLES):
            raise Refused("The destination is not valid.")
        with self._lock:
            ticket = self._tickets.pop(values.get("SigninToken", ""), None)
        if ticket is None or ticket.expires <= self._state.clock.now():
            raise Refused("The sign-in token is not valid: it was used before, or has expired.")
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ticket.ends))
        rows = {"identity": ticket.arn, "destination": destination, "issuer": values.get("Issuer", ""), "ends": end}
        text = "".join(f'<p>{name}: <b id="{name}">{escape(value)}</b></p>\n' for name, value in rows.items())
        return _page("Sandbox console", text)

    def _logout(self, action: str, values: dict[str, str], request: Request) -> Reply:
        target = values.get("redirect_uri", "")
        if action != "logout" or not target.startswith(f"http://{request.headers.get('host', '')}{FEDERATION}?"):
            raise Refused("There is no such action, or the address after it is not valid.")
        return Reply(302, b"", {"Location": target, "Cache-Control": "no-store"})


def _page(title: str, body: str, status: int = 200) -> Reply:
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
    return Reply(status, _PAGE.format(title=title, body=body).encode(), headers)
