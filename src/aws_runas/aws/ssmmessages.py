"""The signature of the data channel's opening request (spec 13.1).

The address holds raw base64 in its query. It is dialled byte for byte, but the service checks the signature over a
query that was parsed and quoted again. So a request with the rebuilt query is signed, and only its headers are used.
"""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, quote, urlsplit

from aws_runas.aws.credentials import Credentials
from aws_runas.aws.sigv4 import sign

SERVICE = "ssmmessages"


def is_signed(url: str) -> bool:
    """Return True if an address carries its own signature."""
    return any(name.lower().startswith("x-amz-") for name, _ in _pairs(url))


def sign_stream_request(url: str, credentials: Credentials, region: str, now: float) -> list[tuple[str, str]]:
    """Return the headers that sign a GET of this address.

    Args:
        url: ``wss://...``, as it will be dialled.
        credentials: to sign with.
        region: of the service.
        now: seconds since the epoch.

    Returns:
        X-Amz-Date, X-Amz-Security-Token where there is one, and Authorization; [] where the address is signed already.
    """
    if is_signed(url):
        return []
    parts = urlsplit(url)
    query = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in sorted(_pairs(url), key=_quoted))
    headers = sign(
        "GET",
        quote(parts.path or "/", safe="/-_.~"),
        query,
        {"host": parts.netloc},
        b"",
        credentials=credentials,
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
