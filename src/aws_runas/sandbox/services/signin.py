"""Sign-in service behind ``aws login``: exchanges a refresh token and a proof of possession for new keys.

A refresh token is accepted once, and belongs to the key of its login. A proof is checked as in RFC 9449, section 4.3:
signature, method, URL, age, and that its id is new.

Source: botocore's model ``signin``, CreateOAuth2Token; RFC 9449; RFC 7638 for the thumbprint.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from aws_runas import files
from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.calls import Call, CallLog
from aws_runas.sandbox.services.errors import Reply, json_reply
from aws_runas.sandbox.services.json_input import JsonObject
from aws_runas.sandbox.services.principals import ACCOUNT, Principal, TemporaryKeys
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.state import SandboxState

PATH = "/v1/token"
CLIENT = "arn:aws:signin:::devtools/same-device"
TOKEN_TYPE = "aws_sigv4"  # noqa: S105 - not a secret
LIFETIME = 900  # seconds of the keys
PROOF_AGE = 300  # seconds; maximum age of a proof, and maximum clock difference


class Refused(Exception):  # noqa: N818 - the service's term for an error
    """Refused request: the answer is an error.

    Args:
        kind: name of the exception in the model.
        error: its member ``error``.
    """

    def __init__(self, kind: str, error: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.kind = kind
        self.error = error
        self.status = status


@dataclass(frozen=True, slots=True)
class Login:
    """Login of a user.

    Args:
        thumbprint: thumbprint of the key that the refresh tokens are bound to.
    """

    principal: Principal
    client_id: str
    thumbprint: str
    refresh_token: str = field(repr=False)


class SignIn:
    """Sign-in service.

    Args:
        keys: the store of temporary keys.
        state: clock and faults.
        log: records every call.
    """

    def __init__(self, keys: TemporaryKeys, state: SandboxState, log: CallLog) -> None:
        self._keys = keys
        self._state = state
        self._log = log
        self._logins: dict[str, Login] = {}  # by refresh token
        self._proofs: set[str] = set()
        self._lock = threading.Lock()

    def sign_in(self, principal: Principal, session: str, directory: Path, region: str) -> None:
        """Write the cache file that ``aws login`` would write.

        Args:
            principal: the user who signs in.
            session: value of ``login_session``.
            directory: the cache directory.
            region: the region of the sign-in service.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
        login = Login(principal, CLIENT, thumbprint(_jwk(key.public_key())), _new_token())
        self._logins[login.refresh_token] = login
        keys, lifetime = self._issue(login)
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._state.clock.now() + lifetime))
        values = {
            "accessToken": {**keys, "accountId": ACCOUNT, "expiresAt": end},
            "tokenType": TOKEN_TYPE,
            "clientId": login.client_id,
            "refreshToken": login.refresh_token,
            "idToken": "sandbox.id.token",
            "dpopKey": pem,
            "signInRegion": region,
        }
        files.make_private_directory(directory)
        name = hashlib.sha256(session.encode()).hexdigest()
        files.write_atomic(directory / f"{name}.json", json.dumps(values).encode())

    def handle(self, request: Request) -> Reply:
        """Answer CreateOAuth2Token."""
        call = Call("signin", "CreateOAuth2Token", request)
        try:
            reply = json_reply(self._token(request), content_type="application/json")
            self._log.record(call)
            return reply
        except Refused as refusal:
            self._log.record(call, refusal.error)
            body = {"error": refusal.error, "message": str(refusal)}
            reply = json_reply(body, refusal.status, content_type="application/json")
            reply.headers["x-amzn-ErrorType"] = refusal.kind
            reply.headers["x-amzn-RequestId"] = str(uuid.uuid4())
            return reply

    def _token(self, request: Request) -> JsonObject:
        if request.method != "POST":
            raise Refused("ValidationException", "INVALID_REQUEST", "the method is not POST", 405)
        try:
            values = _object(request.body)
        except ValueError:
            raise Refused("ValidationException", "INVALID_REQUEST", "the body is not a JSON object") from None
        proven = self._proven_key(request)
        failure = self._state.faults.signin_fails
        if failure == "server_error":
            raise Refused("InternalServerException", failure, "The sandbox was told to fail.", 500)
        if failure:
            raise Refused("AccessDeniedException", failure, "The sandbox was told to refuse.", 403)
        if values.get("grantType") != "refresh_token":
            raise Refused("ValidationException", "unsupported_grant_type", "grantType is not supported")
        with self._lock:
            login = self._logins.pop(str(values.get("refreshToken")), None)
            if login is None:
                raise Refused("AccessDeniedException", "TOKEN_EXPIRED", "The refresh token has expired.", 403)
            if login.thumbprint != proven or login.client_id != values.get("clientId"):
                raise Refused("AccessDeniedException", "TOKEN_EXPIRED", "The token belongs to another login.", 403)
            login = replace(login, refresh_token=_new_token())
            self._logins[login.refresh_token] = login
        keys, lifetime = self._issue(login)
        answer: JsonObject = {"accessToken": keys, "tokenType": TOKEN_TYPE, "expiresIn": lifetime}
        return answer | {"refreshToken": login.refresh_token}

    def _issue(self, login: Login) -> tuple[dict[str, str], int]:
        """Return new keys for a login and their lifetime in seconds."""
        now, lifetime = self._state.clock.now(), self._state.clock.lifetime(LIFETIME)
        key = self._keys.issue(login.principal, now + lifetime, now)
        names = {"accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key}
        return {**names, "sessionToken": key.session_token or ""}, max(1, int(lifetime))

    def _proven_key(self, request: Request) -> str:
        """Check the proof of a request, and return the thumbprint of its key."""
        try:
            jwk, claims = read_proof(request.headers.get("dpop", ""))
        except (ValueError, TypeError, KeyError, InvalidSignature):
            raise Refused("ValidationException", "INVALID_REQUEST", "The DPoP proof is not valid.") from None
        address = f"http://{request.headers.get('host', '')}{request.path}"
        if claims.get("htm") != request.method or claims.get("htu") != address:
            raise Refused("ValidationException", "INVALID_REQUEST", "The DPoP proof is of another request.")
        issued = claims.get("iat")
        if not isinstance(issued, int) or abs(self._state.clock.now() - issued) > PROOF_AGE:
            raise Refused("ValidationException", "INVALID_REQUEST", "The DPoP proof is too old.")
        identifier = claims.get("jti")
        with self._lock:
            if not isinstance(identifier, str) or not identifier or identifier in self._proofs:
                raise Refused("ValidationException", "INVALID_REQUEST", "The DPoP proof was used before.")
            self._proofs.add(identifier)
        return thumbprint(jwk)


def read_proof(text: str) -> tuple[dict[str, str], JsonObject]:
    """Check the signature of a proof, and return its public key as JWK and its claims.

    Raises:
        ValueError, TypeError, KeyError, InvalidSignature: the proof is not valid.
    """
    header_text, claims_text, signature_text = text.split(".")
    header, claims, signature = _object(_decode(header_text)), _object(_decode(claims_text)), _decode(signature_text)
    jwk = _texts(header["jwk"])
    if (header.get("typ"), header.get("alg"), jwk.get("kty"), jwk.get("crv")) != ("dpop+jwt", "ES256", "EC", "P-256"):
        raise ValueError("header")
    if len(signature) != 64 or "d" in jwk:
        raise ValueError("signature")
    x, y = (int.from_bytes(_decode(jwk[name]), "big") for name in ("x", "y"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
    key.verify(encode_dss_signature(r, s), f"{header_text}.{claims_text}".encode(), ec.ECDSA(SHA256()))
    return jwk, claims


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return {str(name): str(member) for name, member in value.items()}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the thumbprint of a public key.

    Args:
        jwk: the key.

    Source: RFC 7638.
    """
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _decode(text: str) -> bytes:
    if "=" in text:
        raise ValueError("padding")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _object(data: bytes) -> JsonObject:
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _new_token() -> str:
    return "ASOR" + secrets.token_urlsafe(64)
