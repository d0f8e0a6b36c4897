"""The cluster's side of a token: what aws-iam-authenticator checks before and after it asks STS.

Written from aws-iam-authenticator, pkg/token/token.go (tokenVerifier.Verify).
"""

from __future__ import annotations

import base64
import binascii
import calendar
import json
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

PREFIX = "k8s-aws-v1."
MAX_TOKEN = 1024 * 4  # characters
PRESIGNED_LIFETIME = 15 * 60  # seconds
ALLOWED = {
    "action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-security-token",
    "x-amz-signature", "x-amz-signedheaders",
}  # fmt: skip

Get = Callable[[str, Mapping[str, str]], tuple[int, bytes]]


class Refused(Exception):  # noqa: N818 - as an answer, not as a fault of the judge
    """The token is none, or STS refused it."""


def verify(token: str, cluster: str, hosts: set[str], get: Get, now: float) -> str:
    """Return the ARN that a token stands for.

    Args:
        cluster: name of the cluster that was asked.
        hosts: addresses of STS that are trusted.
        get: address and headers of a GET -> status and body.
        now: seconds since the epoch.

    Raises:
        Refused: it opens nothing.
    """
    if len(token) > MAX_TOKEN or not token.startswith(PREFIX):
        raise Refused("no token of this kind")
    text = token.removeprefix(PREFIX)
    if "=" in text:
        raise Refused("padded")
    try:
        address = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refused(str(error)) from error
    parts = urlsplit(address)
    if parts.netloc not in hosts or parts.path not in ("", "/") or parts.fragment:
        raise Refused(f"unexpected address {parts.netloc}{parts.path}")
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
    query = {name.lower(): value for name, value in pairs}
    if len(query) != len(pairs) or not set(query) <= ALLOWED:
        raise Refused("a parameter twice, or one that is not allowed")
    if query.get("action") != "GetCallerIdentity":
        raise Refused("another action")
    if "x-k8s-aws-id" not in query.get("x-amz-signedheaders", "").split(";"):
        raise Refused("the cluster is not signed")
    if not 0 <= int(query.get("x-amz-expires", "-1")) <= PRESIGNED_LIFETIME:
        raise Refused("expires")
    made = calendar.timegm(time.strptime(query["x-amz-date"], "%Y%m%dT%H%M%SZ"))
    if now > made + PRESIGNED_LIFETIME:
        raise Refused("expired")
    status, body = get(address, {"x-k8s-aws-id": cluster, "accept": "application/json"})
    if status != 200:
        raise Refused(f"STS answers {status}")
    arn: str = json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]["Arn"]
    return arn
