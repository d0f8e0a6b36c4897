"""Presigned URLs: Signature Version 4 in the query of a GET. On the cached path: nothing expensive is imported.

Importing hashlib, hmac and urllib.parse takes longer than signing, so the few lines needed are here. A test compares
every URL with that of botocore, byte by byte.

Source: AWS, "Create a signed AWS API request", query parameters.
"""

import time

try:
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]  # CPython 3.12 and later
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import sha256

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALGORITHM = "AWS4-HMAC-SHA256"
BLOCK = 64  # bytes of a block of SHA-256, for HMAC (RFC 2104)
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


def presign(
    url: str,
    parameters: "Iterable[tuple[str, str]]",
    headers: dict[str, str],
    *,
    credentials: "Mapping[str, str]",
    service: str,
    region: str,
    now: float,
    expires: int,
) -> str:
    """Return the URL of a GET with its signature in the query.

    Args:
        url: ``https://HOST[:PORT][/PATH]`` or the same with ``http``; the path is percent-encoded.
        parameters: the parameters of the call, not encoded, in the order of the URL.
        headers: further signed headers, which the request must carry; names in lower case, without ``host``.
        credentials: ``key``, ``secret`` and ``token``; token "" for keys without one.
        service: signing name, for instance ``sts``.
        region: the signing region.
        now: seconds since the epoch.
        expires: validity in seconds, as written in the URL.
    """
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    path = "/" + path
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    signed = {name: " ".join(value.split()) for name, value in headers.items()}
    signed["host"] = _host_header(scheme, host)
    names = ";".join(sorted(signed))
    pairs = [(quote(name), quote(value)) for name, value in parameters]
    pairs += [("X-Amz-Algorithm", ALGORITHM), ("X-Amz-Credential", quote(f"{credentials['key']}/{scope}"))]
    pairs += [("X-Amz-Date", timestamp), ("X-Amz-Expires", str(expires)), ("X-Amz-SignedHeaders", quote(names))]
    if credentials["token"]:
        pairs.append(("X-Amz-Security-Token", quote(credentials["token"])))
    canonical_query = "&".join([f"{name}={value}" for name, value in sorted(pairs)])
    canonical_headers = "".join([f"{name}:{signed[name]}\n" for name in sorted(signed)])
    canonical = "\n".join(("GET", path, canonical_query, canonical_headers, names, sha256(b"").hexdigest()))
    text = "\n".join((ALGORITHM, timestamp, scope, sha256(canonical.encode()).hexdigest()))
    signing_key = b"AWS4" + credentials["secret"].encode()
    for part in scope.split("/"):
        signing_key = hmac_sha256(signing_key, part.encode())
    signature = hmac_sha256(signing_key, text.encode()).hex()
    query = "&".join([f"{name}={value}" for name, value in pairs])
    return f"{scheme}://{host}{path}?{query}&X-Amz-Signature={signature}"


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the HMAC of a message (RFC 2104)."""
    if len(key) > BLOCK:
        key = sha256(key).digest()
    key = key.ljust(BLOCK, b"\0")
    inner = sha256(key.translate(_INNER) + message).digest()
    digest: bytes = sha256(key.translate(_OUTER) + inner).digest()
    return digest


def quote(text: str) -> str:
    """Percent-encode text as AWS requires: every byte except letters, digits and ``-_.~``."""
    return "".join(
        [chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape")]
    )


def _host_header(scheme: str, host: str) -> str:
    """Return the Host header without the default port of the scheme, as HTTP clients send it."""
    default = ":443" if scheme == "https" else ":80"
    return host[: -len(default)] if host.endswith(default) else host
