"""OpenID Connect without I/O: addresses, requests, and what answers mean; code with PKCE, and device flow.

The ID token came from the token endpoint over TLS, so its claims are checked and its signature is not; AWS checks it.

Source: OpenID Connect Core 1.0, sections 3.1.2, 3.1.3.7 and 12; Discovery 1.0, section 4; RFC 6749; RFC 7636; RFC 8628.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

from aws_runas.aws.sso_oidc import DeviceAuthorization
from aws_runas.errors import CredentialsError
from aws_runas.redact import printable
from aws_runas.signin import device
from aws_runas.signin.device import DeviceAnswer, DeviceOutcome

DISCOVERY = "/.well-known/openid-configuration"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CLOCK_SKEW = 60.0  # seconds that the provider's clock may differ
LATEST_EXPIRY = 253_402_300_000.0  # seconds since the epoch: the last day of the year 9999
OFFLINE = "offline_access"  # the scope that a refresh token needs (OIDC Core, section 11)
POLL_INTERVAL = 5.0  # seconds, RFC 8628 3.2
MAX_TEXT = 300  # characters of the provider's own words that are shown
ENTRA = (".microsoftonline.com", ".microsoftonline.us", ".partner.microsoftonline.cn")
GOOGLE = (
    "https://accounts.google.com",
    "accounts.google.com",
)  # issuer, and what iss may be (OIDC Core, section 15.6.2)
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Claims = Mapping[str, object]
AuthMethod = Literal["client_secret_basic", "client_secret_post"]
BASIC: AuthMethod = "client_secret_basic"
POST: AuthMethod = "client_secret_post"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Metadata from discovery.

    Args:
        device_endpoint: "" where there is no device flow.
        auth_methods: ways to send a client secret, in the order in which they are tried.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    device_endpoint: str = ""
    auth_methods: tuple[AuthMethod, ...] = (BASIC, POST)


@dataclass(frozen=True, slots=True)
class Client:
    """Registration of this application at the provider.

    Args:
        secret: None for a public client.
        auth_method: how the secret is sent.
    """

    client_id: str
    scopes: tuple[str, ...]
    secret: str | None = field(default=None, repr=False)
    auth_method: AuthMethod = BASIC

    def authenticate(self) -> dict[str, str]:
        """Return the parameters that say who asks."""
        values = {"client_id": self.client_id}
        return values | ({"client_secret": self.secret} if self.secret and self.auth_method == POST else {})

    def headers(self) -> dict[str, str]:
        """Return the headers of a request to the token endpoint. Source: RFC 6749, section 2.3.1."""
        found = {"Accept": "application/json"}
        if self.secret and self.auth_method == BASIC:
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}"
            found["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return found


@dataclass(frozen=True, slots=True)
class IdToken:
    """A checked ID token.

    Args:
        encoded: as AWS takes it.
        expires: seconds since the epoch.
    """

    encoded: str = field(repr=False)
    issuer: str
    audience: str
    subject: str
    expires: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """An answer of the token endpoint."""

    id_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)


def issuer_of(url: str) -> str:
    """Return the issuer of an address: as it is, or what the Go tool's addresses stand for.

    Args:
        url: ``web_identity_auth_url``.
    """
    parts = urlsplit(url)
    host, path = parts.hostname or "", parts.path.rstrip("/")
    if host.endswith(ENTRA):
        path = re.sub(r"/oauth2/v2\.0$", "/v2.0", path)
    elif host.endswith((".okta.com", ".oktapreview.com", ".okta-emea.com")) and path == "/oauth2":
        path = ""
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _is_entra(issuer: str) -> bool:
    """Tell whether offline_access is enough: with prompt=consent, Entra asks each user for what its administrator gave.

    Source: Microsoft identity platform, "Scopes and permissions", offline_access.
    """
    return (urlsplit(issuer).hostname or "").endswith(ENTRA)


def discovery_address(issuer: str) -> str:
    """Return the address of a provider's configuration."""
    return issuer.rstrip("/") + DISCOVERY


def read_discovery(status: int, text: str, issuer: str) -> IdentityProvider:
    """Read a provider's configuration.

    Args:
        status: HTTP status of the answer.
        text: its body.
        issuer: that was asked for.

    Raises:
        CredentialsError: it is none, or another issuer's.
    """
    asked = discovery_address(issuer)
    document = _object(text) if status == 200 else None
    if document is None:
        reason = f"answers {status}" if status != 200 else "is not JSON"
        raise _discovery(f"{asked} {reason}")
    found = str(document.get("issuer", ""))
    if found.rstrip("/") != issuer.rstrip("/") and "{tenantid}" not in found:
        raise _discovery(f"{asked} is the configuration of {printable(found)[:MAX_TEXT] or 'nobody'}")
    provider = IdentityProvider(
        issuer=found,
        authorization_endpoint=str(document.get("authorization_endpoint", "")),
        token_endpoint=str(document.get("token_endpoint", "")),
        device_endpoint=str(document.get("device_authorization_endpoint") or ""),
        auth_methods=_auth_methods(document.get("token_endpoint_auth_methods_supported")),
    )
    for name in ("authorization_endpoint", "token_endpoint", "device_endpoint"):
        value = getattr(provider, name)
        if not is_safe(value) and (value or name != "device_endpoint"):
            raise _discovery(f"{asked} has no https address as {name}")
    return provider


def _auth_methods(methods: object) -> tuple[AuthMethod, ...]:
    """Return the ways to send a secret: a provider may offer both, and accept one of them from each client.

    The header comes first: it is the default of a registration (RFC 7591, section 2), and where no way is named
    (Discovery 1.0, section 3).
    """
    if not isinstance(methods, list):
        return (BASIC, POST)
    known: tuple[AuthMethod, ...] = (BASIC,) if BASIC in methods else ()
    return (*known, POST) if POST in methods or not known else known


def _discovery(message: str) -> CredentialsError:
    return CredentialsError(
        message,
        code="oidc-discovery-failed",
        hint="check web_identity_auth_url, or set web_identity_issuer to the provider's issuer",
    )


def is_safe(url: str) -> bool:
    """Return True for https, and for http on this machine."""
    try:
        parts = urlsplit(url)
        if not url.isprintable() or " " in url:
            return False
        return (parts.scheme == "https" and bool(parts.hostname)) or (
            parts.scheme == "http" and parts.hostname in LOOPBACK
        )
    except ValueError:
        return False


def is_loopback(redirect_uri: str) -> bool:
    """Return True if a redirect URI leads to a listener of ours."""
    try:
        parts = urlsplit(redirect_uri)
        return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    except ValueError:
        return False


def authorization_address(
    provider: IdentityProvider,
    client: Client,
    redirect_uri: str,
    *,
    state: str,
    nonce: str,
    challenge: str,
    login_hint: str = "",
) -> str:
    """Return the address that the browser opens.

    Args:
        provider: names the authorization endpoint.
        client: its id and scopes.
        redirect_uri: of the callback on this machine.
        state: ties the answer to this question; random.
        nonce: ties the ID token to this question; random.
        challenge: SHA-256 of the PKCE verifier, see `Pkce.challenge`.
        login_hint: user name to prefill; "" for none.

    Source: RFC 6749, section 4.1.1; RFC 7636, section 4.3; OIDC Core 3.1.2.1.
    """
    values = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(client.scopes),
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    values |= {"login_hint": login_hint} if login_hint else {}
    if OFFLINE in client.scopes and not _is_entra(provider.issuer):
        values["prompt"] = "consent"  # OIDC Core 11: without it, offline_access is ignored
    separator = "&" if urlsplit(provider.authorization_endpoint).query else "?"
    return provider.authorization_endpoint + separator + urlencode(values)


def read_redirect(url: str, state: str) -> str:
    """Return the code of the address that the browser was led to.

    Raises:
        CredentialsError: it has another state, or the provider refused.
    """
    import hmac

    parts = urlsplit(url)
    values = dict(parse_qsl(parts.query or parts.fragment))
    if not hmac.compare_digest(values.get("state", "").encode(), state.encode()):
        raise CredentialsError(
            "the answer of the identity provider belongs to another sign-in",
            code="login-state-mismatch",
            hint="sign in again",
        )
    if "code" not in values:
        raise denied(values.get("error", "no code"), values.get("error_description", ""))
    return values["code"]


def denied(error: str, description: str) -> CredentialsError:
    """Return the error for a sign-in that the user or the provider refused."""
    words = printable(" ".join(description.split()))[:MAX_TEXT] or printable(error)[:MAX_TEXT]
    return CredentialsError(
        f"the identity provider did not sign you in: {words}", code="login-denied", hint="try again"
    )


def code_grant(client: Client, code: str, redirect_uri: str, verifier: str) -> str:
    """Return the form that trades the code for tokens.

    Args:
        client: authenticates with its secret, if it has one.
        code: from the callback; a secret.
        redirect_uri: as in the authorization request.
        verifier: of PKCE; a secret.
    """
    values = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
    return urlencode(values | client.authenticate())


def refresh_grant(client: Client, refresh_token: str) -> str:
    """Return the form that trades a refresh token for tokens."""
    values = {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": " ".join(client.scopes)}
    return urlencode(values | client.authenticate())


def device_grant(client: Client, device_code: str) -> str:
    """Return the form that asks whether the user has signed in."""
    return urlencode({"grant_type": DEVICE_GRANT, "device_code": device_code} | client.authenticate())


def device_request(client: Client) -> str:
    """Return the form that begins a device flow."""
    return urlencode({"scope": " ".join(client.scopes)} | client.authenticate())


def error_of(text: str) -> tuple[str, str]:
    """Return the error and its description of an answer that is one; both may be empty."""
    document = _object(text) or {}
    return str(document.get("error") or ""), str(document.get("error_description") or "")


def is_client_refused(status: int, text: str) -> bool:
    """Return True if an answer refuses the client itself, not its grant. Source: RFC 6749, 5.2."""
    return status in (400, 401) and error_of(text)[0] in ("invalid_client", "unauthorized_client")


def read_tokens(status: int, text: str) -> Tokens:
    """Read an answer of the token endpoint.

    Raises:
        CredentialsError: it refuses, or has no ID token.
    """
    document = _object(text)
    if status != 200 or document is None:
        error, description = error_of(text)
        words = printable(" ".join((description or error or f"it answers {status}").split()))[:MAX_TEXT]
        raise CredentialsError(
            f"the identity provider gives no token: {words}",
            code="oidc-token-refused",
            hint="check web_identity_client_id, web_identity_redirect_uri and whether a client secret is needed",
        )
    id_token, refresh_token = document.get("id_token"), document.get("refresh_token")
    if not isinstance(id_token, str) or not id_token:
        raise token_invalid("the answer has none", "web_identity_scopes must include openid")
    return Tokens(id_token, refresh_token if isinstance(refresh_token, str) and refresh_token else None)


def check_id_token(encoded: str, provider: IdentityProvider, client: Client, nonce: str | None, now: float) -> IdToken:
    """Check the claims of an ID token.

    Args:
        nonce: of the authorization request; None for the device flow and a refresh, which have none.
        now: seconds since the epoch.

    Raises:
        CredentialsError: a claim is missing or wrong; the message names it.
    """
    claims = _claims(encoded)
    issuer, expires = str(claims.get("iss", "")), claims.get("exp")
    wanted = provider.issuer.replace("{tenantid}", str(claims.get("tid", "")))
    if issuer != wanted and (wanted, issuer) != GOOGLE:
        raise token_invalid(f"iss is {printable(issuer)[:MAX_TEXT]}, not {wanted}")
    named = claims.get("aud")
    audiences = [str(each) for each in named] if isinstance(named, list) else [str(named)]
    if client.client_id not in audiences:
        raise token_invalid(f"aud is {printable(', '.join(audiences))[:MAX_TEXT]}, not {client.client_id}")
    if len(audiences) > 1 and claims.get("azp") not in (None, client.client_id):
        raise token_invalid("azp is another client")
    if not isinstance(expires, (int, float)) or isinstance(expires, bool):
        raise token_invalid("exp is missing")
    if expires > LATEST_EXPIRY:
        raise token_invalid("exp is no time")
    if expires <= now - CLOCK_SKEW:
        raise token_invalid("it has expired", "check this machine's clock")
    if nonce is not None and claims.get("nonce") != nonce:
        raise token_invalid("nonce is not the one that was sent")
    return IdToken(encoded, issuer, client.client_id, str(claims.get("sub", "")), float(expires))


def read_id_token(encoded: str) -> IdToken:
    """Read an ID token that was checked before, for messages and its expiry.

    Raises:
        CredentialsError: it is none.
    """
    claims = _claims(encoded)
    expires = claims.get("exp")
    named = claims.get("aud")
    audience = ", ".join(map(str, named)) if isinstance(named, list) else str(named)
    end = float(expires) if isinstance(expires, (int, float)) else 0.0
    return IdToken(encoded, str(claims.get("iss", "")), audience, str(claims.get("sub", "")), end)


def _claims(encoded: str) -> Claims:
    parts = encoded.split(".")
    if len(parts) == 3:
        try:
            content = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
            document = _object(content.decode("utf-8"))
        except ValueError:
            document = None
        if document is not None:
            return document
    raise token_invalid("it is not a JSON web token")


def token_invalid(reason: str, hint: str | None = None) -> CredentialsError:
    """Return the error for an ID token that is not valid."""
    return CredentialsError(
        f"the ID token cannot be used: {reason}",
        code="id-token-invalid",
        hint=hint or "check web_identity_auth_url and web_identity_client_id",
    )


def _object(text: str) -> Claims | None:
    """Read a JSON object; None if it is none, or has a number or a text that could not be used later."""
    try:
        found = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_whole_number)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is in no address and no request
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def _whole_number(text: str) -> int:
    _number(text)
    return int(text)


def read_device_code(status: int, text: str) -> DeviceAuthorization:
    """Read the answer of the device endpoint.

    Raises:
        CredentialsError: it refuses.
    """
    document = _object(text)
    code = document.get("device_code") if document and status == 200 else None
    address = str(document.get("verification_uri", "")) if document else ""
    if not document or not isinstance(code, str) or not is_safe(address):
        error, description = error_of(text)
        raise denied(error or f"the device endpoint answers {status}", description)
    complete = str(document.get("verification_uri_complete") or "")
    return DeviceAuthorization(
        code,
        printable(str(document.get("user_code", ""))),
        printable(address),
        printable(complete) if is_safe(complete) else "",
        _seconds(document.get("expires_in"), 600.0),
        _seconds(document.get("interval"), POLL_INTERVAL),
    )


def _seconds(value: object, default: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return default
    return min(float(value), 3600.0)


# Error of the token endpoint -> the answer. Source: RFC 8628, section 3.5.
_POLL_ANSWERS = {
    "authorization_pending": DeviceAnswer.PENDING,
    "slow_down": DeviceAnswer.SLOW_DOWN,
    "expired_token": DeviceAnswer.EXPIRED,
}
TOO_MANY = 429
PASSING = (408, TOO_MANY)  # statuses of a request that is sent again, besides 500 and above


class DevicePolling:
    """Polling of a token endpoint: when to ask it, and what its answers mean.

    Args:
        code: from `read_device_code`.
        now: monotonic seconds; the first poll is one interval later.

    Attributes:
        tokens: None while the user signs in.
    """

    def __init__(self, code: DeviceAuthorization, now: float) -> None:
        self._wait = device.DevicePolling(now, code.interval, code.expires_in)
        self._wait.next_poll = now + code.interval  # nobody has signed in before
        self.tokens: Tokens | None = None

    def next_timer(self) -> float:
        """Return the time of the next poll in monotonic seconds."""
        return self._wait.next_timer()

    def receive_answer(self, status: int, text: str, now: float) -> None:
        """Take an answer of the token endpoint.

        Args:
            status: of HTTP.
            text: the body.
            now: monotonic seconds.

        Raises:
            CredentialsError: the user refused, or the code has expired.
        """
        if status == 200:
            self.tokens = read_tokens(status, text)
            return
        error, description = error_of(text)
        is_passing = status >= 500 or status in PASSING
        unknown = DeviceAnswer.SLOW_DOWN if status == TOO_MANY else DeviceAnswer.FAILED
        self._wait.receive_answer(_POLL_ANSWERS.get(error, unknown if is_passing else DeviceAnswer.DENIED), now)
        if self._wait.outcome is DeviceOutcome.DENIED and not error:
            raise denied(f"the token endpoint answers {status}", description)
        self._check(error, description)

    def receive_failure(self, now: float) -> None:
        """Take note that the token endpoint could not be reached.

        Args:
            now: monotonic seconds.

        Raises:
            CredentialsError: the code has expired.
        """
        self._wait.receive_answer(DeviceAnswer.FAILED, now)
        self._check("", "")

    def _check(self, error: str, description: str) -> None:
        if self._wait.outcome is DeviceOutcome.EXPIRED:
            raise CredentialsError("the code was not used in time", code="login-timeout", hint="sign in again")
        if self._wait.outcome is not None:
            raise denied(error, description)
