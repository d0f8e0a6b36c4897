"""OIDC service of single sign-on: clients, authorization codes with PKCE, device codes, and refresh tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import field
from urllib.parse import urlsplit

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.calls import Call, CallLog
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import Input, JsonObject, read_text, read_texts
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.sso_directory import PortalSession, SsoDirectory
from aws_runas.sandbox.state import SandboxState

REGISTRATION_LIFE = 90 * 24 * 3600  # seconds
CODE_LIFE = 600  # seconds, of authorization and device codes
INTERVAL = 1  # seconds between two polls, as returned by the service
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SHOWN_MEMBERS = ("grantType", "grantTypes", "scopes")  # members of a call that the log shows
SCOPE = "sso:account:access"
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"

# Name of the exception -> the ``error`` of its body and the HTTP status.
ERRORS = {
    "InvalidRequestException": ("invalid_request", 400),
    "InvalidClientException": ("invalid_client", 401),
    "InvalidGrantException": ("invalid_grant", 400),
    "UnauthorizedClientException": ("unauthorized_client", 400),
    "UnsupportedGrantTypeException": ("unsupported_grant_type", 400),
    "InvalidScopeException": ("invalid_scope", 400),
    "InvalidRedirectUriException": ("invalid_redirect_uri", 400),
    "AuthorizationPendingException": ("authorization_pending", 400),
    "SlowDownException": ("slow_down", 400),
    "AccessDeniedException": ("access_denied", 400),
    "ExpiredTokenException": ("expired_token", 400),
}


class OidcError(Exception):
    """Error response of the service.

    Args:
        code: a key of `ERRORS`.
        description: the member ``error_description``.
    """

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code)
        self.code = code
        self.description = description


@dataclass(frozen=True, slots=True)
class Client:
    """Registered client.

    Args:
        expires: seconds since the epoch.
    """

    client_id: str
    secret: str = field(repr=False)
    scopes: tuple[str, ...]
    grants: tuple[str, ...]
    redirect_uris: tuple[str, ...]
    knows_start_url: bool
    expires: float


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """Valid request to /authorize."""

    client: Client
    redirect_uri: str
    state: str = field(repr=False)
    challenge: str = field(repr=False)


@dataclass(slots=True)
class DeviceCode:
    """Sign-in on another device.

    Args:
        expires: seconds since the epoch.
        interval: seconds between two polls.
        asked: time of the last poll, in monotonic seconds.
        approved: None until the user has decided.
    """

    client: Client
    user_code: str
    expires: float
    interval: float = INTERVAL
    asked: float = 0.0
    approved: bool | None = None


class SsoOidc:
    """OIDC service: answers RegisterClient, StartDeviceAuthorization and CreateToken, and stores the consent decisions.

    Args:
        directory: issues the tokens.
        state: faults.
        log: records every call.
        address: returns the URL of the service, for its pages.

    Source: AWS IAM Identity Center OIDC API reference.
    """

    def __init__(self, directory: SsoDirectory, state: SandboxState, log: CallLog, address: Callable[[], str]) -> None:
        self._directory = directory
        self._state = state
        self._log = log
        self._address = address
        self._clients: dict[str, Client] = {}
        self._codes: dict[str, tuple[AuthorizationRequest, float]] = {}
        self._devices: dict[str, DeviceCode] = {}
        self._lock = threading.Lock()
        self._actions: dict[str, tuple[str, Callable[[Input], JsonObject]]] = {
            "/client/register": ("RegisterClient", self._register),
            "/device_authorization": ("StartDeviceAuthorization", self._start_device),
            "/token": ("CreateToken", self._create_token),
        }

    def serves(self, request: Request) -> bool:
        """Return True if a request is a call of this service."""
        return request.method == "POST" and request.path in self._actions and "authorization" not in request.headers

    def handle(self, request: Request) -> Reply:
        """Answer one call."""
        action, answer = self._actions[request.path]
        error = ""
        values: JsonObject = {}
        try:
            values = _body(request)
            with self._lock:
                reply = json_reply(answer(values), content_type="application/json")
        except ServiceError as problem:  # a member of the wrong type
            reply = self._refusal(OidcError("InvalidRequestException", problem.message))
            error = "InvalidRequestException"
        except OidcError as problem:
            reply, error = self._refusal(problem), problem.code
        shown = {name: value for name, value in values.items() if name in SHOWN_MEMBERS}
        self._log.record(Call("sso-oidc", action, request, shown), error)
        return reply

    @staticmethod
    def _refusal(problem: OidcError) -> Reply:
        name, status = ERRORS[problem.code]
        reply = json_reply({"error": name, "error_description": problem.description}, status, "application/json")
        reply.headers["x-amzn-ErrorType"] = problem.code
        return reply

    # --- for the consent page

    def authorization(self, query: dict[str, str]) -> AuthorizationRequest:
        """Check the query of a request to /authorize.

        Raises:
            OidcError: the request is not from a registered client, so the browser must not be redirected.
        """
        client = self._clients.get(query.get("client_id", ""))
        if client is None or "authorization_code" not in client.grants or not client.knows_start_url:
            raise OidcError("UnauthorizedClientException", "the client is not registered for this sign-in")
        redirect = query.get("redirect_uri", "")
        if not _is_registered(redirect, client.redirect_uris):
            raise OidcError("InvalidRedirectUriException", "the redirect URI is not registered")
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            raise OidcError("InvalidRequestException", "only a code with S256 is given out")
        if not query.get("code_challenge") or not query.get("state"):
            raise OidcError("InvalidRequestException", "code_challenge and state are required")
        if not set(query.get("scopes", "").split()) <= set(client.scopes) or not query.get("scopes"):
            raise OidcError("InvalidScopeException", "the scopes are not those of the client")
        return AuthorizationRequest(client, redirect, query["state"], query["code_challenge"])

    def approve(self, request: AuthorizationRequest) -> str:
        """Return a code for a request that the user has approved."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._codes[code] = (request, self._directory.clock.now() + CODE_LIFE)
        return code

    def device(self, user_code: str) -> DeviceCode | None:
        """Return the open sign-in of a user code, None if there is none."""
        now = self._directory.clock.now()
        wanted = user_code.upper().strip()
        return next((d for d in self._devices.values() if d.user_code == wanted and d.expires > now), None)

    # --- calls

    def _register(self, values: Input) -> JsonObject:
        grants = tuple(read_texts(values, "grantTypes"))
        if values.get("clientType") != "public" or not values.get("clientName"):
            raise OidcError("InvalidRequestException", "clientName and clientType public are required")
        uris = tuple(read_texts(values, "redirectUris"))
        start_url = f"{self._address()}{self._directory.start_path}"
        if "authorization_code" in grants:
            if not uris or any(urlsplit(uri).hostname != "127.0.0.1" or urlsplit(uri).port for uri in uris):
                raise OidcError("InvalidRedirectUriException", "a loopback address without a port is required")
            if values.get("issuerUrl") != start_url:
                raise OidcError("InvalidRequestException", "issuerUrl is not the start URL")
        now = self._directory.clock.now()
        client = Client(
            secrets.token_urlsafe(16),
            secrets.token_urlsafe(48),
            tuple(read_texts(values, "scopes")),
            grants,
            uris,
            values.get("issuerUrl") == start_url,
            now + REGISTRATION_LIFE,
        )
        self._clients[client.client_id] = client
        return {
            "clientId": client.client_id,
            "clientSecret": client.secret,
            "clientIdIssuedAt": int(now),
            "clientSecretExpiresAt": int(client.expires),
        }

    def _start_device(self, values: Input) -> JsonObject:
        client = self._client(values)
        if client.grants and DEVICE_GRANT not in client.grants:
            raise OidcError("UnauthorizedClientException", "the client is registered for other grants")
        if values.get("startUrl") != f"{self._address()}{self._directory.start_path}":
            raise OidcError("InvalidRequestException", "the start URL is unknown")
        letters = [secrets.choice(USER_CODE_LETTERS) for _ in range(8)]
        user_code = "".join(letters[:4]) + "-" + "".join(letters[4:])
        device_code = secrets.token_urlsafe(32)
        life = self._directory.clock.lifetime(CODE_LIFE)
        self._devices[device_code] = DeviceCode(client, user_code, self._directory.clock.now() + life)
        page = f"{self._address()}/device"
        return {
            "deviceCode": device_code,
            "userCode": user_code,
            "verificationUri": page,
            "verificationUriComplete": f"{page}?user_code={user_code}",
            "expiresIn": int(life),
            "interval": INTERVAL,
        }

    def _create_token(self, values: Input) -> JsonObject:
        client = self._client(values)
        grant = read_text(values, "grantType")
        if grant == "authorization_code":
            session = self._by_code(client, values)
        elif grant == DEVICE_GRANT:
            session = self._by_device(client, values)
        elif grant == "refresh_token":
            renewed = self._directory.refresh(read_text(values, "refreshToken"), self._state.faults.sso_token_life)
            if renewed is None:
                raise OidcError("InvalidGrantException", "Invalid refresh token provided")
            session = renewed
        else:
            raise OidcError("UnsupportedGrantTypeException", "the grant type is not supported")
        return self._tokens(session)

    def _tokens(self, session: PortalSession) -> JsonObject:
        life = self._directory.clock.lifetime(self._state.faults.sso_token_life)
        token = list(session.access_tokens)[-1]
        found: JsonObject = {"accessToken": token, "tokenType": "Bearer", "expiresIn": int(life)}
        return found | ({"refreshToken": session.refresh_token} if session.refresh_token else {})

    def _by_code(self, client: Client, values: Input) -> PortalSession:
        request, expires = self._codes.pop(read_text(values, "code"), (None, 0.0))
        digest = hashlib.sha256(read_text(values, "codeVerifier").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if request is None or expires < self._directory.clock.now() or request.client.client_id != client.client_id:
            raise OidcError("InvalidGrantException", "Invalid authorization code provided")
        if request.redirect_uri != values.get("redirectUri") or not secrets.compare_digest(
            request.challenge, challenge
        ):
            raise OidcError("InvalidGrantException", "the code does not belong to this request")
        return self._sign_in("refresh_token" in client.grants)

    def _by_device(self, client: Client, values: Input) -> PortalSession:
        code = read_text(values, "deviceCode")
        device = self._devices.get(code)
        if device is None or device.client.client_id != client.client_id:
            raise OidcError("InvalidGrantException", "Invalid device code provided")
        if device.expires <= self._directory.clock.now():
            raise OidcError("ExpiredTokenException", "Device code has expired")
        if device.approved is False:
            raise OidcError("AccessDeniedException", "The user denied the request")
        now = time.monotonic()
        if device.approved is None:
            early = device.asked and now - device.asked < device.interval - 0.1
            device.asked = now
            if early:
                device.interval += 5
                raise OidcError("SlowDownException", "Polling too frequently")
            raise OidcError("AuthorizationPendingException", "The request is pending")
        del self._devices[code]
        return self._sign_in(SCOPE in client.scopes)

    def _sign_in(self, refreshable: bool) -> PortalSession:
        return self._directory.sign_in(self._state.faults.sso_token_life, refreshable=refreshable)

    def _client(self, values: Input) -> Client:
        client = self._clients.get(read_text(values, "clientId"))
        secret = read_text(values, "clientSecret")
        if client is None or not secrets.compare_digest(client.secret.encode(), secret.encode()):
            raise OidcError("InvalidClientException", "Invalid client provided")
        if client.expires <= self._directory.clock.now():
            raise OidcError("InvalidClientException", "the client has expired")
        return client


def _is_registered(redirect: str, registered: tuple[str, ...]) -> bool:
    """Compare redirect URIs without the port, which a client on loopback chooses (RFC 8252, 7.3)."""
    try:
        parts = urlsplit(redirect)
        port = parts.port
    except ValueError:
        return False
    return port is not None and f"{parts.scheme}://{parts.hostname}{parts.path}" in registered and not parts.query


def _body(request: Request) -> JsonObject:
    try:
        values = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise OidcError("InvalidRequestException", "the body is no JSON object")
    return values
