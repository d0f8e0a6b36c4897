"""The federation endpoint of AWS sign-in: exchanges credentials for a token with which a browser signs in.

This endpoint has no API model, so the request is made by hand, over botocore's HTTP: proxies, certificates and
timeouts are those of every other call. No error raised here contains the query, which holds the keys in a GET.

Source: AWS IAM User Guide, "Enable custom identity broker access to the AWS console".
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

from botocore import exceptions
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from aws_runas.aws.client import CONNECT_TIMEOUT, READ_TIMEOUT
from aws_runas.aws.credentials import Credentials
from aws_runas.aws.direct import ca_bundle
from aws_runas.aws.errors import connection_failed
from aws_runas.config.profile import Profile
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError

CALL = "getSigninToken"
MESSAGE_LENGTH = 300  # characters of the endpoint's message
NOT_BY_POST = (405, 501)
_FORM = "application/x-www-form-urlencoded"


def get_signin_token(profile: Profile, address: str, credentials: Credentials, duration: int | None) -> str:
    """Exchange temporary credentials for a sign-in token.

    Args:
        profile: gives the certificates to trust.
        address: of the endpoint, without a query.
        credentials: of a role or a federated user.
        duration: seconds of the console session; None if it must not be requested.

    Raises:
        CredentialsError: the endpoint refused, or did not answer.
    """
    session = {
        "sessionId": credentials.access_key_id,
        "sessionKey": credentials.secret_access_key,
        "sessionToken": credentials.session_token,
    }
    form = {"Action": CALL, "Session": json.dumps(session)}
    if duration is not None:
        form["SessionDuration"] = str(duration)
    failed: AwsRunasError | None = None
    try:
        status, body = _ask(profile, address, urlencode(form, quote_via=quote))
    except Exception as error:
        failed = _failure(address, error)
    if failed is not None:
        raise failed  # outside the except block: the original may hold the query, and must not be the context
    token = _token(body) if status == 200 else None
    if token is None:
        raise _refusal(status, body, duration, session)
    return token


def _ask(profile: Profile, address: str, query: str) -> tuple[int, bytes]:
    """Send the form by POST, which keeps the keys out of proxy logs, or by GET if POST is not accepted."""
    http = URLLib3Session(
        verify=ca_bundle(profile) or True,
        proxies=get_environ_proxies(address),
        timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
    )
    try:
        headers = {"Content-Type": _FORM, "Accept": "application/json"}
        reply: Any = http.send(AWSRequest("POST", address, headers, query.encode()).prepare())
        if reply.status_code in NOT_BY_POST:
            reply = http.send(AWSRequest("GET", f"{address}?{query}", {"Accept": "application/json"}).prepare())
        return int(reply.status_code), bytes(reply.content)
    finally:
        http.close()


def _failure(address: str, error: Exception) -> AwsRunasError:
    """Return an error for a request without a response, without the query."""
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        error.kwargs["endpoint_url"] = address
        worded = connection_failed(CALL, CredentialsError, error)
        worded.message = re.sub(r"\?\S*", "", worded.message)
        return worded
    if isinstance(error, OSError):  # about the certificates
        return ConfigError(
            f"{CALL}: the certificates cannot be read: {(error.strerror or str(error)).lower()}",
            code="client-setup-failed",
            hint="check AWS_CA_BUNDLE and ca_bundle",
        )
    return CredentialsError(
        f"{CALL}: the server at {address} is not AWS ({type(error).__name__})",
        code="endpoint-not-aws",
        hint="check RUNAS_SIGNIN_URL and the proxy",
    )


def _token(body: bytes) -> str | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    token = found.get("SigninToken") if isinstance(found, dict) else None
    return token if isinstance(token, str) and token and token.isascii() and token.isprintable() else None


def _refusal(status: int, body: bytes, duration: int | None, secrets: dict[str, str | None]) -> CredentialsError:
    if status == 200:
        return CredentialsError(
            f"{CALL}: the endpoint answered without a token",
            code="endpoint-not-aws",
            hint="check RUNAS_SIGNIN_URL and the proxy",
        )
    if status == 400 and duration is not None:
        hint = f"it may refuse a session of {duration} s with these credentials: try without -d, or a shorter one"
    elif status in (400, 401, 403):
        hint = "the credentials may have expired (try -r), or be of a kind that cannot sign in"
    else:
        hint = "try again in a moment"
    text = _words(body, [value for value in secrets.values() if value])
    return CredentialsError(
        f"the console refused to sign in: {status} {text}".rstrip(), code="console-refused", hint=hint
    )


def _words(body: bytes, secrets: list[str]) -> str:
    """Return the text of an error page, without markup and without the request's values."""
    text = body.decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style|head)\b.*?</\1>|<[^>]*>", " ", text)
    text = unescape(text)
    for secret in secrets:
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, "...")
    return " ".join(re.sub(r"\?\S*", "", text).split())[:MESSAGE_LENGTH]
