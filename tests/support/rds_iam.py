"""The database's side of a token: what RDS checks, with botocore's arithmetic."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable
from datetime import UTC, datetime
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

LIFETIME = 15 * 60  # seconds

SecretOf = Callable[[str], tuple[str, str | None]]


def refusal(token: str, host: str, port: int, user: str, region: str, secret_of: SecretOf, now: float) -> str:
    """Return why a database refuses a token; "" if it accepts it.

    Args:
        host, port, user: what the database knows of itself and of the connection.
        secret_of: access key id -> secret and session token; raises KeyError for a key that nobody has.
        now: seconds since the epoch.
    """
    parts = urlsplit(f"https://{token}")
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if parts.netloc != f"{host}:{port}" or query.get("DBUser") != user or query.get("Action") != "connect":
        return "the token is for another host, port or user"
    key, day, scope_region, service, end = query["X-Amz-Credential"].split("/")
    if (scope_region, service, end) != (region, "rds-db", "aws4_request"):
        return "another scope"
    made = calendar.timegm(time.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
    if not made - 300 <= now <= made + LIFETIME or query["X-Amz-Expires"] != str(LIFETIME):
        return "expired"
    try:
        secret, session_token = secret_of(key)
    except KeyError:
        return "unknown key"
    moment = datetime.fromtimestamp(made, UTC).replace(tzinfo=None)
    request = AWSRequest("GET", f"https://{host}:{port}/", params={"Action": "connect", "DBUser": user})
    with patch.object(botocore.auth, "get_current_datetime", lambda: moment):
        signer = botocore.auth.SigV4QueryAuth(Credentials(key, secret, session_token), service, region, LIFETIME)
        signer.add_auth(request)
    expected = parse_qs(urlsplit(request.url).query)
    same = expected["X-Amz-Signature"] == [query["X-Amz-Signature"]]
    return "" if same and day == query["X-Amz-Date"][:8] else "wrong signature"
