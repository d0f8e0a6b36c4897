"""Validation of ID tokens as in STS: signature by the published keys of the provider, issuer, audience and expiry.

Source: OpenID Connect Core 1.0, section 3.1.3.7; IAM User Guide, "Create an OpenID Connect identity provider in IAM".
"""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.json_input import JsonObject

if TYPE_CHECKING:
    from joserfc.jwk import KeySet, KeySetSerialization

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
FETCH_TIMEOUT = 5.0  # seconds, the limit of AWS for an answer of a provider
KEYS_KEPT = 60.0  # seconds
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def invalid(message: str) -> ServiceError:
    """Return the AWS error for a token that is not valid."""
    return ServiceError("InvalidIdentityToken", message)


def claims_without_check(token: str) -> JsonObject:
    """Return the claims of a token without checking its signature, to find its issuer.

    Raises:
        ServiceError: the text is not a JSON Web Token.
    """
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, RecursionError):
        claims = None
    if token.count(".") != 2 or not isinstance(claims, dict):
        raise invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
    return claims


class KeySets:
    """Signing keys of issuers, fetched by discovery."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, KeySet | None]] = {}

    def find(self, issuer: str) -> KeySet:
        """Return the key set that an issuer publishes.

        Raises:
            ServiceError: the issuer does not answer, or its answer is not a key set.
        """
        fetched, keys = self._kept.get(issuer, (0.0, None))
        if keys is None or time.monotonic() - fetched > KEYS_KEPT:
            keys = self._fetch(issuer)
            self._kept[issuer] = (time.monotonic(), keys)
        return keys

    def _fetch(self, issuer: str) -> KeySet:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        try:
            configuration = _get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            return KeySet.import_key_set(cast("KeySetSerialization", _get(str(configuration["jwks_uri"]))))
        except (OSError, ValueError, KeyError, TypeError, JoseError):
            raise ServiceError(
                "IDPCommunicationError", "Couldn't retrieve verification key from your identity provider"
            ) from None


def _get(url: str) -> JsonObject:
    """Fetch a JSON object over TLS, or without TLS from this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError("not https")
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if parts.scheme == "http" else []))
    with opener.open(url, timeout=FETCH_TIMEOUT) as answer:
        document = json.load(answer)
    if not isinstance(document, dict):
        raise TypeError("not an object")
    return document


def verify(token: str, keys: KeySet, audiences: list[str], now: float) -> JsonObject:
    """Check a token and return its claims.

    Args:
        token: three parts of base64.
        keys: the keys of the issuer, from `KeySets`.
        audiences: client ids of the provider.
        now: seconds since the epoch.

    Raises:
        ServiceError: signature, audience or times are wrong.
    """
    from joserfc import jwt
    from joserfc.errors import JoseError

    try:
        claims: JsonObject = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
    except (JoseError, ValueError, KeyError):
        raise invalid("Couldn't verify the signature of the token with the keys of your identity provider") from None
    named = claims.get("aud")
    audience = named if isinstance(named, list) else [named]
    if not set(map(str, audience)) & set(audiences):
        raise invalid("Incorrect token audience")
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, (int, float)) or not isinstance(issued, (int, float)):
        raise invalid("Missing a required claim: exp or iat")
    if expires <= now:
        raise ServiceError(
            "ExpiredTokenException",
            f"Token expired: current date/time {int(now)} must be before the expiration date/time {int(expires)}",
        )
    return claims
