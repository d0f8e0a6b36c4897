"""ID tokens of OpenID Connect: reads and checks their claims.

A token comes from the token endpoint over TLS, so only its claims are checked. AWS checks its signature.

Source: OpenID Connect Core 1.0, sections 2, 3.1.3.7 and 15.6.2.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import field

from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.redact import printable

CLOCK_SKEW = 60.0  # seconds by which the provider's clock may differ
LATEST_EXPIRY = 253_402_300_000.0  # seconds since the epoch: the last day of the year 9999
MAX_TEXT = 300  # maximum characters of the provider's text that are shown
GOOGLE = (
    "https://accounts.google.com",
    "accounts.google.com",
)  # issuer, and what iss may be (OIDC Core, section 15.6.2)

Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class IdToken:
    """A checked ID token.

    Args:
        encoded: the token as it is sent to AWS.
        expires: seconds since the epoch.
    """

    encoded: str = field(repr=False)
    issuer: str
    audience: str
    subject: str
    expires: float


def check_id_token(encoded: str, *, issuer: str, client_id: str, nonce: str | None, now: float) -> IdToken:
    """Check the claims of an ID token.

    Args:
        encoded: the token that the token endpoint returned.
        issuer: issuer in the provider's configuration; ``{tenantid}`` in it is replaced with the token's tenant.
        client_id: client id of our registration.
        nonce: nonce of the authorization request; None for the device flow and a refresh, which have none.
        now: seconds since the epoch.

    Raises:
        CredentialsError: a claim is missing or wrong; the message names it.
    """
    claims = _claims(encoded)
    claimed, expires = str(claims.get("iss", "")), claims.get("exp")
    expected = issuer.replace("{tenantid}", str(claims.get("tid", "")))
    if claimed != expected and (expected, claimed) != GOOGLE:
        raise token_invalid(f"iss is {printable(claimed)[:MAX_TEXT]}, not {expected}")
    audiences = _audiences(claims)
    if client_id not in audiences:
        raise token_invalid(f"aud is {printable(', '.join(audiences))[:MAX_TEXT]}, not {client_id}")
    if len(audiences) > 1 and claims.get("azp") not in (None, client_id):
        raise token_invalid("azp is another client")
    if not isinstance(expires, (int, float)) or isinstance(expires, bool):
        raise token_invalid("exp is missing")
    if expires > LATEST_EXPIRY:
        raise token_invalid("exp is not a time")
    if expires <= now - CLOCK_SKEW:
        raise token_invalid("it has expired", "check this machine's clock")
    if nonce is not None and claims.get("nonce") != nonce:
        raise token_invalid("nonce is not the one that was sent")
    return IdToken(encoded, claimed, client_id, str(claims.get("sub", "")), float(expires))


def read_id_token(encoded: str) -> IdToken:
    """Read an ID token that was already checked, for messages and its expiry.

    Raises:
        CredentialsError: the text is not an ID token.
    """
    claims = _claims(encoded)
    expires = claims.get("exp")
    audience = ", ".join(_audiences(claims))
    end = float(expires) if isinstance(expires, (int, float)) else 0.0
    return IdToken(encoded, str(claims.get("iss", "")), audience, str(claims.get("sub", "")), end)


def _audiences(claims: Claims) -> list[str]:
    named = claims.get("aud")
    return [str(audience) for audience in named] if isinstance(named, list) else [str(named)]


def _claims(encoded: str) -> Claims:
    parts = encoded.split(".")
    if len(parts) == 3:
        try:
            content = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
            document = read_object(content.decode("utf-8"))
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


def read_object(text: str) -> Claims | None:
    """Read a JSON object; None if the text is not one, or has a number or a string that could not be used later."""
    try:
        found = json.loads(text, parse_constant=_number, parse_float=_number, parse_int=_whole_number)
        json.dumps(found, ensure_ascii=False).encode()  # fails for an unpaired surrogate, which cannot be sent
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
