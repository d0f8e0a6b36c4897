"""Verification of Signature Version 4: checks that a request was signed with the secret of the key that it names.

Source: AWS, "Create a signed AWS API request"; for the data channel's query, docs/protocol (spec 13.1).
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import time
from collections.abc import Callable
from urllib.parse import quote, unquote, unquote_plus

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.requests import Request

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = 300  # seconds that STS and most services allow


@dataclass(frozen=True, slots=True)
class Signed:
    """Signature of a request.

    Args:
        presigned: True if the signature was in the query.
        expires: lifetime of a presigned request in seconds.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    session_token: str | None
    presigned: bool = False
    expires: int = 0


def read(request: Request) -> Signed | None:
    """Return the signature in the header or query of a request, None for an unsigned request.

    Raises:
        ServiceError: the signature is malformed.
    """
    header = request.headers.get("authorization", "")
    if header.startswith(ALGORITHM):
        parts = dict(part.strip().partition("=")[::2] for part in header[len(ALGORITHM) :].split(","))
        timestamp, token = request.headers.get("x-amz-date", ""), request.headers.get("x-amz-security-token")
        return _signed(parts, timestamp, token)
    query = dict(pair.partition("=")[::2] for pair in request.query.split("&") if pair)
    if "X-Amz-Signature" not in query:
        return None
    fields = {name.removeprefix("X-Amz-"): unquote(value) for name, value in query.items()}
    return _signed(fields, fields.get("Date", ""), fields.get("Security-Token"), expires=fields.get("Expires", "0"))


def _signed(parts: dict[str, str], timestamp: str, token: str | None, expires: str | None = None) -> Signed:
    scope = parts.get("Credential", "").split("/")
    if len(scope) != 5 or not parts.get("Signature") or not parts.get("SignedHeaders"):
        raise ServiceError(
            "IncompleteSignature", "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders'.", 403
        )
    headers = tuple(parts["SignedHeaders"].lower().split(";"))
    presigned = expires is not None
    seconds = int(expires) if expires and expires.isdigit() else 0
    return Signed(
        scope[0], scope[1], scope[2], scope[3], headers, parts["Signature"], timestamp, token, presigned, seconds
    )


def check(request: Request, signed: Signed, secret: str, now: float, *, any_query_form: bool = False) -> None:
    """Check a signature.

    Args:
        request: the signed request.
        signed: its signature, from `read`.
        secret: the secret of the access key.
        now: seconds since the epoch, by the service's clock.
        any_query_form: accept every canonical form of the query that clients of the data channel use.

    Raises:
        ServiceError: SignatureDoesNotMatch, or the date is malformed.
    """
    try:
        made = calendar.timegm(time.strptime(signed.timestamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise ServiceError("IncompleteSignature", "Date must be in ISO-8601 'basic format'.", 403) from None
    allowed = signed.expires if signed.presigned else SKEW
    if made + allowed < now:
        limit = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now - allowed))
        text = f"Signature expired: {signed.timestamp} is now earlier than {limit}"
        raise ServiceError("SignatureDoesNotMatch", f"{text} ({_basic(now)} - {allowed // 60} min.)", 403)
    if made - SKEW > now:
        limit = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now + SKEW))
        text = f"Signature not yet current: {signed.timestamp} is still later than {limit}"
        raise ServiceError("SignatureDoesNotMatch", f"{text} ({_basic(now)} + {SKEW // 60} min.)", 403)
    forms: tuple[Callable[[str], str], ...] = (decoded_query,)
    if any_query_form:
        forms = (go_query, decoded_query, verbatim_query)
    for form in forms:
        if hmac.compare_digest(signature(request, signed, secret, form), signed.signature):
            return
    raise ServiceError(
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        403,
    )


def signature(request: Request, signed: Signed, secret: str, form: Callable[[str], str]) -> str:
    """Return the correct signature of a request.

    Args:
        request: to sign.
        signed: provides date, region, service and signed headers.
        secret: the secret of the access key.
        form: returns the canonical form of the query.
    """
    payload_hash = request.headers.get("x-amz-content-sha256", hashlib.sha256(request.body).hexdigest())
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed.signed_headers)
    path = "/".join(quote(part, safe="-_.~") for part in request.path.split("/")) or "/"
    canonical = "\n".join(
        [request.method, path, form(request.query), headers, ";".join(signed.signed_headers), payload_hash],
    )
    scope = f"{signed.date}/{signed.region}/{signed.service}/aws4_request"
    to_sign = "\n".join([ALGORITHM, signed.timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for word in (signed.date, signed.region, signed.service, "aws4_request"):
        key = hmac.digest(key, word.encode(), hashlib.sha256)
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    return [(name, value) for name, value in pairs if name != "X-Amz-Signature"]


def decoded_query(query: str) -> str:
    """Return the documented canonical form: parts decoded, then percent-encoded and sorted; ``+`` stays ``+``."""
    pairs = [(quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")) for name, value in _pairs(query)]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def go_query(query: str) -> str:
    """Return the canonical form of the official plugin's signer, which reads ``+`` as a space."""
    pairs = [
        (quote(unquote_plus(name), safe="-_.~"), quote(unquote_plus(value), safe="-_.~"))
        for name, value in _pairs(query)
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def verbatim_query(query: str) -> str:
    """Return the canonical form of botocore: the parts unchanged and sorted."""
    return "&".join(f"{name}={value}" for name, value in sorted(_pairs(query)))


def _basic(now: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
