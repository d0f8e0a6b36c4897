"""The OIDC service of IAM Identity Center: registration, device authorization, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from aws_runas.aws.errors import translate
from aws_runas.aws.reply import ReplyError, address, text, word
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError

CLIENT_NAME = "aws-runas"
CODE_GRANTS = ("authorization_code", "refresh_token")
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEFAULT_INTERVAL = 5.0  # seconds between polls if the service names none (RFC 8628, 3.2)
SHORTEST_INTERVAL = 1.0  # seconds; shorter intervals would flood the service
DEFAULT_LIFETIME = 600.0  # seconds of a device code
LONGEST_TOKEN = 10 * 365 * 86400.0  # seconds; AWS never returns a longer lifetime


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """Reply of RegisterClient.

    Args:
        expires: seconds since the epoch.
        authorization_endpoint: often absent, then "".
    """

    client_id: str
    client_secret: str = field(repr=False)
    expires: float
    authorization_endpoint: str


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """Data that the user needs to sign in on another device. Source: RFC 8628, section 3.2.

    Args:
        address: of the page to open.
        complete_address: the same with the code in it; "" if there is none.
        expires_in, interval: seconds.
    """

    device_code: str = field(repr=False)
    user_code: str
    address: str
    complete_address: str
    expires_in: float
    interval: float


@dataclass(frozen=True, slots=True)
class TokenReply:
    """Reply of CreateToken.

    Args:
        expires_in: seconds.
        refresh_token: "" if there is none.
    """

    access_token: str = field(repr=False)
    expires_in: float
    refresh_token: str = field(repr=False)


def register_client(
    client: Any, scopes: Sequence[str], redirect_uri: str | None = None, issuer: str = ""
) -> RegisteredClient:
    """Register a public client.

    Args:
        redirect_uri: without a port, for codes; None for device codes.
        issuer: the start URL, for codes.
    """
    parameters: dict[str, Any] = {"clientName": CLIENT_NAME, "clientType": "public"}
    if scopes:
        parameters["scopes"] = list(scopes)
    if redirect_uri is not None:
        parameters |= {"grantTypes": list(CODE_GRANTS), "redirectUris": [redirect_uri], "issuerUrl": issuer}
    with translate("sso-oidc", "RegisterClient"):
        reply = client.register_client(**parameters)
        expires = _number(reply, "clientSecretExpiresAt")
        endpoint = address(reply, "authorizationEndpoint", "")
        return RegisteredClient(word(reply, "clientId"), word(reply, "clientSecret"), expires, endpoint)


def start_device_authorization(client: Any, client_id: str, client_secret: str, start_url: str) -> DeviceAuthorization:
    """Start a sign-in with a device code.

    Args:
        client: of the OIDC service; it does not sign.
        client_id, client_secret: of the registration.
        start_url: of the portal.
    """
    with translate("sso-oidc", "StartDeviceAuthorization"):
        reply = client.start_device_authorization(clientId=client_id, clientSecret=client_secret, startUrl=start_url)
        page = address(reply, "verificationUri")
        return DeviceAuthorization(
            word(reply, "deviceCode"),
            word(reply, "userCode"),
            page,
            address(reply, "verificationUriComplete", page),
            _number(reply, "expiresIn", DEFAULT_LIFETIME) or DEFAULT_LIFETIME,
            max(_number(reply, "interval", DEFAULT_INTERVAL) or DEFAULT_INTERVAL, SHORTEST_INTERVAL),
        )


def create_token(client: Any, client_id: str, client_secret: str, grant: str, **values: str) -> TokenReply:
    """Exchange a code, a device code or a refresh token.

    Args:
        grant: the grant type.
        values: parameters of the grant, with the service's names.

    Raises:
        CredentialsError: the service refused; `aws_code` returns its name for the reason.
    """
    with translate("sso-oidc", "CreateToken"):
        reply = client.create_token(clientId=client_id, clientSecret=client_secret, grantType=grant, **values)
        token = text(reply, "accessToken")
        if not token or not token.isascii() or not token.isprintable():
            raise ReplyError("accessToken")
        lifetime = _number(reply, "expiresIn")
        if not 0 < lifetime <= LONGEST_TOKEN:
            raise ReplyError("expiresIn")
        return TokenReply(token, lifetime, word(reply, "refreshToken", ""))


def endpoint_url(client: Any) -> str:
    """Return where a client sends its calls, "" if it has no address."""
    return str(client.meta.endpoint_url or "")


def authorization_endpoint(client: Any) -> str:
    """Return the address of the authorization page, derived from the client's endpoint.

    Raises:
        CredentialsError: the client has no address.
    """
    try:
        model = client.meta.service_model.operation_model("RegisterClient")
        base, _, _ = client._resolve_endpoint_ruleset(model, {}, {})  # knows FIPS, dual stack and partitions
    except AttributeError:
        base = client.meta.endpoint_url
    if not isinstance(base, str) or not base:
        raise CredentialsError("sso-oidc has no address", code="endpoint-not-aws", hint="check sso_region")
    return f"{base.rstrip('/')}/authorize"


def _number(reply: Any, key: str, default: float | None = None) -> float:
    value = reply.get(key)
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e11:
        raise ReplyError(key)
    return float(value)
