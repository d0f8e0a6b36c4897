"""The sign-in service behind ``aws login``: exchanges a refresh token for new keys, with proof of possession (DPoP).

Source: botocore's model ``signin``; RFC 9449; the proof has the same members as botocore's.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from botocore.exceptions import ClientError

from aws_runas.aws.errors import scrub, translate
from aws_runas.aws.reply import ReplyError, mapping, number, text
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

COORDINATE_SIZE = 32  # bytes of x, y, r and s on the curve P-256
LONGEST_LIFE = 86400  # seconds; the keys of a login live 15 minutes, and no session's keys live more than 12 hours
_REFUSALS = {  # value of the member `error`: reason, and what to do before signing in again
    "TOKEN_EXPIRED": ("the session has ended", ""),
    "USER_CREDENTIALS_CHANGED": ("the user's credentials were changed after the sign-in", ""),
    "AUTHCODE_EXPIRED": ("the sign-in was not completed in time", ""),
    "INSUFFICIENT_PERMISSIONS": (
        "the identity lacks the permission signin:CreateOAuth2Token",
        "have the permission added (managed policy SignInLocalDevelopmentAccess), then ",
    ),
}


@dataclass(frozen=True, slots=True)
class RefreshedLogin:
    """Reply of CreateOAuth2Token.

    Args:
        expires_in: seconds until the keys expire.
        refresh_token: replaces the sent one.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)


def refresh_login(client: Any, client_id: str, refresh_token: str, dpop_key: str, *, again: str) -> RefreshedLogin:
    """Exchange a refresh token for new keys and a new refresh token.

    Args:
        client: botocore's client for ``signin``; not used for anything else.
        client_id, refresh_token: of the login.
        dpop_key: private key in PEM to which the refresh token is bound.
        again: command that signs in again, for messages.

    Raises:
        CredentialsError: ``login-needed`` if the service refused, else the call failed.
    """
    key = load_key(dpop_key, again)

    def add_proof(request: Any, **_: object) -> None:
        request.headers["DPoP"] = proof(key, "POST", request.url, int(time.time()), identifier=str(uuid.uuid4()))

    # for each attempt, not once per call as botocore does: a proof is valid for one request
    client.meta.events.register("request-created.signin.CreateOAuth2Token", add_proof)
    parameters = {"clientId": client_id, "grantType": "refresh_token", "refreshToken": refresh_token}
    with translate("signin", "CreateOAuth2Token"):
        reply = _call(lambda: client.create_o_auth2_token(tokenInput=parameters), again)
        output = mapping(reply, "tokenOutput")
        token = mapping(output, "accessToken")
        return RefreshedLogin(
            text(token, "accessKeyId"),
            text(token, "secretAccessKey"),
            text(token, "sessionToken"),
            _lifetime(output),
            text(output, "refreshToken"),
        )


def _lifetime(output: Mapping[str, Any]) -> int:
    seconds = number(output, "expiresIn")
    if not 0 < seconds <= LONGEST_LIFE:
        raise ReplyError("expiresIn")
    return seconds


def _call(call: Callable[[], Any], again: str) -> Any:
    refusal = ""
    try:
        return call()
    except ClientError as error:
        refusal = str(error.response.get("error") or "")
        if (error.response.get("Error") or {}).get("Code") != "AccessDeniedException":
            raise
    reason, first = _REFUSALS.get(refusal, (f"the sign-in service refused ({scrub(refusal) or 'no reason'})", ""))
    raise CredentialsError(
        f"the login cannot be renewed: {reason}", code="login-needed", hint=f"{first}sign in again: {again}"
    )


def load_key(pem: str, again: str) -> EllipticCurvePrivateKey:
    """Read the private key of a login.

    Raises:
        CredentialsError: the key is not a private key on the curve P-256.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return key
    except (ValueError, TypeError, UnsupportedAlgorithm):  # damaged, encrypted, or of an unknown kind
        pass
    raise CredentialsError(
        "the login cannot be renewed: its key is damaged", code="login-needed", hint=f"sign in again: {again}"
    )


def proof(key: EllipticCurvePrivateKey, method: str, url: str, now: int, *, identifier: str) -> str:
    """Make the value of a DPoP header.

    Args:
        key: on the curve P-256.
        method, url: of the request; query and fragment are left out.
        now: seconds since the epoch.
        identifier: never used before.

    Source: RFC 9449 section 4.2; RFC 7518 section 3.4 for the signature.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    numbers = key.public_key().public_numbers()
    jwk = {"kty": "EC", "x": _number(numbers.x), "y": _number(numbers.y), "crv": "P-256"}
    address = urlunsplit(urlsplit(url)._replace(query="", fragment=""))
    claims = {"htm": method, "htu": address, "iat": now, "jti": identifier}
    signed = f"{_json({'typ': 'dpop+jwt', 'alg': 'ES256', 'jwk': jwk})}.{_json(claims)}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
    return f"{signed}.{_base64(r.to_bytes(COORDINATE_SIZE, 'big') + s.to_bytes(COORDINATE_SIZE, 'big'))}"


def _number(value: int) -> str:
    return _base64(value.to_bytes(COORDINATE_SIZE, "big"))


def _json(value: object) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
