"""AWS Signature Version 4 without botocore, whose import takes longer than the signed call.

Signs API requests, and the opening request of a data channel (spec 13.1).

Source: AWS, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from aws_runas.aws.credentials import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"


class Request(NamedTuple):
    """A request to sign.

    Args:
        method: ``GET``, ``POST``...
        headers: to sign, with ``host``; names in lower case.
        body: of the request.
        path: canonical, percent-encoded; at least ``/``.
        query: canonical: pairs percent-encoded and sorted; may be empty.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes = b""
    path: str = "/"
    query: str = ""


def sign(request: Request, credentials: Credentials, *, service: str, region: str, timestamp: str) -> dict[str, str]:
    """Return the headers that sign a request.

    Args:
        request: the request to sign.
        credentials: to sign with.
        service: signing name, for instance ``ssm``.
        region: of the service.
        timestamp: UTC, as ``20231114T221320Z``.

    Returns:
        X-Amz-Date, Authorization, and X-Amz-Security-Token if the credentials have a token.
    """
    added = {"X-Amz-Date": timestamp}
    if credentials.session_token:
        added["X-Amz-Security-Token"] = credentials.session_token
    signed = {name: " ".join(value.split()) for name, value in request.headers.items()}
    signed |= {name.lower(): value for name, value in added.items()}
    names = ";".join(sorted(signed))
    canonical_headers = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    digest = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join((request.method, request.path, request.query, canonical_headers, names, digest))
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((ALGORITHM, timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + credentials.secret_access_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}"
    return added | {"Authorization": f"{authorization}, Signature={signature}"}


SERVICE = "ssmmessages"


def is_signed(url: str) -> bool:
    """Return True if an address contains its own signature."""
    return any(name.lower().startswith("x-amz-") for name, _ in _pairs(url))


def sign_stream_request(url: str, credentials: Credentials, region: str, now: float) -> list[tuple[str, str]]:
    """Return the headers that sign a GET of this address.

    Args:
        url: ``wss://...``, as it will be opened.
        credentials: to sign with.
        region: of the service.
        now: seconds since the epoch.

    Returns:
        X-Amz-Date, X-Amz-Security-Token if there is one, and Authorization; [] if the address is already signed.
    """
    if is_signed(url):
        return []
    parts = urlsplit(url)
    query = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in sorted(_pairs(url), key=_quoted))
    path = quote(parts.path or "/", safe="/-_.~")
    headers = sign(
        Request("GET", {"host": parts.netloc}, path=path, query=query),
        credentials,
        service=SERVICE,
        region=region,
        timestamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)),
    )
    return list(headers.items())


def _pairs(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _quote(text: str) -> str:
    return quote(text, safe="-_.~")


def _quoted(pair: tuple[str, str]) -> tuple[str, str]:
    return _quote(pair[0]), _quote(pair[1])
