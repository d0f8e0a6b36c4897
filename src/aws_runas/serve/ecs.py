"""Container credential endpoint, as a pure function of request and credentials.

Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

from aws_runas.aws.credentials import Credentials
from aws_runas.serve import replies
from aws_runas.serve.http import Request, Response

PATH = "/credentials"


def wanted_profile(request: Request) -> str | None:
    """Return the profile that a request asks for: "" for the active one, a name, or None if it is not for credentials.

    Args:
        request: as received.
    """
    if request.path in (PATH, PATH + "/"):
        return ""
    if request.path.startswith(PATH + "/"):
        return request.path.removeprefix(PATH + "/")
    return None


def account_of(role_arn: str | None) -> str | None:
    """Return the account number in an ARN, or None.

    Args:
        role_arn: None if there is none.
    """
    parts = (role_arn or "").split(":")
    return parts[4] if len(parts) >= 6 and parts[4] else None


def render(credentials: Credentials, *, now: float, role_arn: str | None = None) -> Response:
    """Return credentials as SDKs expect them from a container endpoint.

    Args:
        credentials: to serve.
        now: seconds since the epoch.
        role_arn: the role of the credentials, if known.
    """
    document = replies.credentials_document(credentials, now=now)
    if role_arn:
        document["RoleArn"] = role_arn
    if account := account_of(role_arn):
        document["AccountId"] = account
    return replies.json_response(200, document)
