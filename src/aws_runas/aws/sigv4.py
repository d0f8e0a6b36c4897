"""AWS Signature Version 4 of one request, without botocore, whose import takes longer than the call that is signed.

Source: AWS, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from aws_runas.aws.credentials import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"


def sign(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    service: str,
    region: str,
    timestamp: str,
) -> dict[str, str]:
    """Return the headers that sign a request.

    Args:
        method: ``GET``, ``POST``...
        path: canonical, percent-encoded; at least ``/``.
        query: canonical: pairs percent-encoded and sorted; may be empty.
        headers: to be signed, with ``host``; names in lower case.
        body: of the request.
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
    signed = {name: " ".join(value.split()) for name, value in headers.items()}
    signed |= {name.lower(): value for name, value in added.items()}
    names = ";".join(sorted(signed))
    canonical_headers = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = "\n".join((method, path, query, canonical_headers, names, hashlib.sha256(body).hexdigest()))
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((ALGORITHM, timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + credentials.secret_access_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    authorization = f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}"
    return added | {"Authorization": f"{authorization}, Signature={signature}"}
