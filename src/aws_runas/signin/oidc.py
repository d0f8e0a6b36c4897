"""OpenID Connect without I/O: builds addresses and requests, and reads responses. Discovery, code with PKCE, refresh.

Source: OpenID Connect Core 1.0, sections 3.1.2 and 12; Discovery 1.0, section 4; RFC 6749; RFC 7636.
"""

from __future__ import annotations

import base64
import re
from dataclasses import field
from typing import Literal
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.redact import printable
from aws_runas.signin.id_token import MAX_TEXT, read_object, token_invalid

DISCOVERY = "/.well-known/openid-configuration"
OFFLINE = "offline_access"  # the scope that a refresh token needs (OIDC Core, section 11)
ENTRA = (".microsoftonline.com", ".microsoftonline.us", ".partner.microsoftonline.cn")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

AuthMethod = Literal["client_secret_basic", "client_secret_post"]
BASIC: AuthMethod = "client_secret_basic"
POST: AuthMethod = "client_secret_post"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Metadata from discovery.

    Args:
        device_endpoint: "" if there is no device flow.
        auth_methods: methods to send a client secret, in the order in which they are tried.
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
        """Return the parameters that identify the client."""
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
class Tokens:
    """A response of the token endpoint."""

    id_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)


def issuer_of(url: str) -> str:
    """Return the issuer for an address: the address itself, or the issuer that an address of the Go tool refers to.

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
    """Return True for Entra, which needs no prompt=consent for offline_access.

    With prompt=consent, Entra asks every user for consent, even if an administrator has already given it.

    Source: Microsoft identity platform, "Scopes and permissions", offline_access.
    """
    return (urlsplit(issuer).hostname or "").endswith(ENTRA)


def discovery_address(issuer: str) -> str:
    """Return the address of a provider's configuration."""
    return issuer.rstrip("/") + DISCOVERY


def read_discovery(status: int, text: str, issuer: str) -> IdentityProvider:
    """Read a provider's configuration.

    Args:
        status: HTTP status of the response.
        text: body of the response.
        issuer: the expected issuer.

    Raises:
        CredentialsError: the response is not a configuration, or belongs to another issuer.
    """
    asked = discovery_address(issuer)
    document = read_object(text) if status == 200 else None
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
    """Return the methods to send a secret: a provider may offer both, and accept only one of them from each client.

    The header comes first: it is the default for registrations (RFC 7591, section 2), and for providers that name no
    method (Discovery 1.0, section 3).
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
    """Return True if a redirect URI leads to our own listener."""
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
        provider: metadata with the authorization endpoint.
        client: registration with client id and scopes.
        redirect_uri: address of the callback on this machine.
        state: random value that binds the response to this request.
        nonce: random value that binds the ID token to this request.
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
    """Return the code in the address that the browser was redirected to.

    Raises:
        CredentialsError: the address has another state, or the provider refused.
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
        f"the identity provider did not sign you in: {words}",
        code="login-denied",
        hint="sign in again, or ask its administrators whether you may use this application",
    )


def code_grant(client: Client, code: str, redirect_uri: str, verifier: str) -> str:
    """Return the form that exchanges the code for tokens.

    Args:
        client: authenticates with its secret, if it has one.
        code: code from the callback; a secret.
        redirect_uri: the same as in the authorization request.
        verifier: PKCE verifier; a secret.
    """
    values = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
    return urlencode(values | client.authenticate())


def refresh_grant(client: Client, refresh_token: str) -> str:
    """Return the form that exchanges a refresh token for tokens."""
    values = {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": " ".join(client.scopes)}
    return urlencode(values | client.authenticate())


def error_of(text: str) -> tuple[str, str]:
    """Return the error code and description of an error response; both may be empty."""
    document = read_object(text) or {}
    return str(document.get("error") or ""), str(document.get("error_description") or "")


def is_client_refused(status: int, text: str) -> bool:
    """Return True if a response refuses the client itself, not its grant. Source: RFC 6749, 5.2."""
    return status in (400, 401) and error_of(text)[0] in ("invalid_client", "unauthorized_client")


def read_tokens(status: int, text: str) -> Tokens:
    """Read a response of the token endpoint.

    Raises:
        CredentialsError: the response is an error, or has no ID token.
    """
    document = read_object(text)
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
