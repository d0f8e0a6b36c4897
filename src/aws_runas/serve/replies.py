"""Responses of the servers: credentials, errors and others."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from aws_runas.aws.credentials import Credentials
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError
from aws_runas.serve.http import Response

AUTHENTICATION_TYPE = "X-AwsRunas-Authentication-Type"
# SDKs need an expiry time. For keys that do not expire, this one makes them ask again.
ENDLESS = 3600  # seconds

# Codes that mean that the user must type an MFA code first.
MFA_CODES = frozenset({"mfa-required", "mfa-code-refused", "mfa-code-invalid"})
# Codes that mean that the user must sign in or open the keyring; the page has a button for it.
SIGN_IN_CODES = frozenset(
    {
        "login-needed",
        "login-denied",
        "login-timeout",
        "login-state-mismatch",
        "idp-password-wrong",
        "idp-code-refused",
        "keyring-locked",
        "keyring-passphrase-wrong",
        "sign-in-given-up",
    }
)


def json_response(status: int, value: object, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return a JSON document as a response.

    Args:
        status: HTTP status.
        value: the document.
        headers: more headers.
    """
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, "application/json", headers)


def text(value: str, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return plain text as a response.

    Args:
        value: the text.
        status: HTTP status.
        headers: more headers.
    """
    return Response(status, value.encode(), headers=headers)


def error(status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return an error in the form that SDKs print: a code and a message.

    Args:
        status: HTTP status.
        code: stable name.
        message: for users.
        headers: more headers.
    """
    return json_response(status, {"code": code, "message": message}, headers)


def failure(cause: AwsRunasError) -> Response:
    """Return the response for credentials that could not be fetched.

    Args:
        cause: the error.
    """
    headers: tuple[tuple[str, str], ...] = ()
    if cause.code in MFA_CODES:
        status = 401
        headers = ((AUTHENTICATION_TYPE, "MFA"),)
    elif cause.code in SIGN_IN_CODES:
        status = 401
        headers = ((AUTHENTICATION_TYPE, "SignIn"),)
    elif cause.code == "profile-not-found":
        status = 404
    elif cause.code == "arn-not-a-role":
        status = 400
    elif isinstance(cause, (ConfigError, CredentialsError)):
        status = 500
    else:
        status = 503
    value = {"code": cause.code, "message": cause.message}
    if cause.hint:
        value["hint"] = cause.hint
    return json_response(status, value, headers)


def timestamp(moment: datetime) -> str:
    """Format a time as AWS does: UTC, whole seconds, ``Z``.

    Args:
        moment: a time with a time zone.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def credentials_document(credentials: Credentials, *, now: float) -> dict[str, object]:
    """Return the members that IMDS and the container endpoint have in common.

    Args:
        credentials: to serve.
        now: seconds since the epoch, for keys that do not expire.
    """
    expiration = credentials.expiration or datetime.fromtimestamp(now + ENDLESS, UTC)
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token or "",
        "Expiration": timestamp(expiration),
    }
