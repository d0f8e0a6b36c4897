"""Translation of AWS and network errors into AwsRunasError.

`translate` is a context manager around one call. STS and IAM failures become CredentialsError; modules of other
services choose the class with ``kind``.
"""

from __future__ import annotations

import contextlib
import email.utils
import os
import re
import socket
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aws_runas.aws.reply import MAX_PAGES, EndlessListError
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

CLOCK_LIMIT = 300  # seconds; AWS refuses signatures with a larger clock difference
SET_CLOCK = "set the clock; AWS allows five minutes"
MESSAGE_LENGTH = 600  # characters of AWS's message that are shown

# urllib3's errors for a proxy address; by name, to avoid the import
_BAD_PROXY = ("InvalidSchema", "ProxySchemeUnknown", "ProxySchemeUnsupported", "LocationParseError", "InvalidURL")
# what went wrong, by the name of the error of urllib3 or http.client, to avoid the imports
_REASONS = {
    "RemoteDisconnected": "",  # the message says it already
    "IncompleteRead": "the answer ended too early",
    "LocationParseError": "the answer leads to an invalid address",
}
_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_BAD_KEY = ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "ForbiddenException")
_THROTTLED = ("429", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException")


@contextlib.contextmanager
def translate(service: str, operation: str, kind: type[AwsRunasError] = CredentialsError) -> Iterator[None]:
    """Turn botocore's exceptions into ours.

    Args:
        service: botocore's name.
        operation: as AWS spells it.
        kind: the class for errors that are not about credentials or configuration.

    Raises:
        AwsRunasError: the call failed. Its ``__cause__`` is botocore's error, which `aws_code` reads if AWS answered.
    """
    try:
        yield
    except AwsRunasError:
        raise
    except Exception as error:  # a malformed reply makes botocore and our readers fail in many ways
        ours, cause = _translated(service, operation, kind, error)
    else:
        return
    raise ours from cause  # outside the except block: the original must not become the context


def _translated(
    service: str, operation: str, kind: type[AwsRunasError], error: Exception
) -> tuple[AwsRunasError, Exception]:
    """Return our error and its cause. botocore is imported here, because a call that succeeds may not need it."""
    from botocore import exceptions

    if not isinstance(error, exceptions.ClientError):
        return _failed(service, operation, kind, error), error
    answer = error.response.get("Error") or {}
    code, message = str(answer.get("Code", "")), scrub(str(answer.get("Message", "")))
    # the cause keeps AWS's response for `aws_code` and the Date header, without possible secrets in its text
    cause = exceptions.ClientError(error.response | {"Error": {"Code": code, "Message": message}}, operation)
    ours = _answered(service, operation, kind, code, message=message)
    if ours.code == "aws-error":
        ours = _skewed(f"{service} {operation}", error, message) or ours
    return ours, cause


def date_of_answer(answer: Any) -> datetime | None:
    """Return the time in the Date header of a response, None if it has none.

    Args:
        answer: botocore's response, also that of a ClientError.
    """
    try:
        return email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def _skewed(call: str, error: ClientError, message: str) -> CredentialsError | None:
    """Return an error about the local clock, if the Date header of the response shows that the clock is wrong.

    Not every service names the clock as the reason: the sign-in service only calls a proof with the wrong time invalid.
    """
    there = date_of_answer(error.response)
    offset = time.time() - there.timestamp() if there else 0
    if abs(offset) < CLOCK_LIMIT:
        return None
    minutes, side = round(abs(offset) / 60), "ahead" if offset > 0 else "behind"
    return CredentialsError(
        f"{call}: this machine's clock is {minutes} minutes {side}: {message}", code="clock-skew", hint=SET_CLOCK
    )


def scrub(message: str) -> str:
    """Return AWS's text on one line, without the canonical request that some responses quote (it contains a token)."""
    for start in ("The Canonical String", "The String-to-Sign"):
        message = message.partition(start)[0]
    return " ".join(message.split())[:MESSAGE_LENGTH]


def aws_code(error: AwsRunasError) -> str:
    """Return AWS's code of the error behind one of ours, ``""`` if AWS did not answer."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def answer_was_lost(error: AwsRunasError) -> bool:
    """Return True if the request behind one of our errors was sent, and perhaps executed, but not answered."""
    from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

    return isinstance(error.__cause__, (ConnectionClosedError, ReadTimeoutError))


def aws_message(error: AwsRunasError) -> str:
    """Return AWS's message of the error behind one of ours."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Message", ""))


def _answered(service: str, operation: str, kind: type[AwsRunasError], code: str, *, message: str) -> AwsRunasError:
    call = f"{service} {operation}"
    if code in _EXPIRED:
        return CredentialsError(
            f"{call}: the credentials have expired",
            code="credentials-expired",
            hint="get new ones, or use -r, which ignores the cache",
        )
    if code in _BAD_KEY:
        return CredentialsError(
            f"{call}: AWS does not know this access key",
            code="access-key-unknown",
            hint="check aws_access_key_id and aws_session_token: "
            "the key may be deleted, disabled, mistyped or of another partition",
        )
    if code in ("SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidSignatureException"):
        return _signature(call, message, code)
    if code in _DENIED:
        hint = f"the identity needs the permission {service}:{operation}"  # EC2's messages often do not name it
        return kind(f"{call}: access denied: {message}", code="access-denied", hint=hint)
    if code in _THROTTLED:
        return kind(f"{call}: AWS asks to slow down ({code})", code="throttled", hint="try again in a moment")
    if code == "RegionDisabledException":
        return ConfigError(
            f"{call}: {message}", code="region-disabled", hint="enable STS for the region or choose another region"
        )
    if code.isdigit() and (code < "500" or not message or message.lstrip().startswith("<")):  # a proxy, a portal
        return _not_aws(f"{call}: HTTP status {code}", kind)
    return kind(f"{call}: {message or 'failed'} ({code or 'no code'})", code="aws-error")


def _signature(call: str, message: str, code: str) -> CredentialsError:
    skew = code == "RequestTimeTooSkewed" or "expired" in message or "not yet current" in message
    if skew:
        return CredentialsError(
            f"{call}: this machine's clock is wrong: {message}",
            code="clock-skew",
            hint=SET_CLOCK,
        )
    return CredentialsError(
        f"{call}: the secret access key does not match the access key id",
        code="signature-wrong",
        hint="check aws_secret_access_key, and the clock",
    )


def _failed(service: str, operation: str, kind: type[AwsRunasError], error: Exception) -> AwsRunasError:
    from botocore import exceptions

    call = f"{service} {operation}"
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        return connection_failed(call, kind, error, service)
    if isinstance(error, exceptions.ParamValidationError):
        words = " ".join(str(error).split()).removeprefix("Parameter validation failed: ")
        return ConfigError(f"{call}: a value that AWS does not accept: {words}", code="parameter-invalid")
    if isinstance(error, exceptions.BotoCoreError):
        return kind(f"{call}: {' '.join(str(error).split())}", code="aws-error")
    if isinstance(error, OSError):
        return ConfigError(
            f"{call}: {(error.strerror or str(error)).lower()}: {error.filename or ''}".rstrip(": "),
            code="client-setup-failed",
            hint="check AWS_CA_BUNDLE and ca_bundle",
        )
    if isinstance(error, EndlessListError):
        return kind(
            f"{call}: the list does not end: {MAX_PAGES} pages were read",
            code="list-too-long",
            hint="check AWS_ENDPOINT_URL and the proxy",
        )
    return _not_aws(call, kind)  # not XML or JSON, not UTF-8, or a reply without a required field


def _not_aws(call: str, kind: type[AwsRunasError]) -> AwsRunasError:
    return kind(
        f"{call}: the answer is not from AWS",
        code="endpoint-not-aws",
        hint="check AWS_ENDPOINT_URL and the proxy",
    )


def connection_failed(
    call: str, kind: type[AwsRunasError], error: Exception, service: str | None = None, *, source: str = "the region"
) -> AwsRunasError:
    """Return an error for a failed connection.

    Args:
        call: description of the call, for messages.
        kind: the class of the error.
        error: botocore's HTTPClientError or ConnectionError, or a subclass.
        service: botocore's name, to find the variable that sets the endpoint.
        source: the setting that the address comes from if no variable sets it, for the hint.
    """
    from botocore import exceptions

    url = str(getattr(error, "kwargs", {}).get("endpoint_url") or "")
    proxy = str(getattr(error, "kwargs", {}).get("proxy_url") or "")
    # botocore prepends http:// to every address that does not begin with http
    is_odd = any(type(cause).__name__ in _BAD_PROXY for cause in causes(error))
    has_proxy = any(os.environ.get(name) for name in _PROXY_VARIABLES)
    is_odd = proxy.count("://") > 1 or is_odd or any(_is_unreadable(name) for name in _PROXY_VARIABLES)
    if has_proxy and is_odd:
        return _proxy_invalid(call)
    if isinstance(error, exceptions.ProxyConnectionError):
        return _proxy_failed(call, kind, error)
    variable = _endpoint_variable(url, service)
    where = _origin_of(url) + variable
    if isinstance(error, exceptions.SSLError):
        return _tls_failed(call, kind, error, where)
    if isinstance(error, exceptions.ConnectionClosedError):
        reason = reason_of(error)
        return kind(
            f"{call}: {where} ended the connection without an answer{f': {reason}' if reason else ''}",
            code="endpoint-unreachable",
            hint="check network and proxy, and try again",
        )
    if isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)):
        return kind(f"{call}: {where} does not answer in time", code="endpoint-timeout", hint="check network and proxy")
    if any(isinstance(cause, socket.gaierror) for cause in causes(error)):
        host = urllib.parse.urlsplit(url).hostname or url
        named = f"is this machine online, and is the name in{variable.replace('(', '').replace(')', '')} right?"
        return kind(
            f"{call}: cannot resolve {host}{variable}",
            code="endpoint-unreachable",
            hint=named if variable else f"is this machine online, and is {source} right?",
        )
    return kind(
        f"{call}: cannot reach {where or 'the endpoint'}: {reason_of(error)}",
        code="endpoint-unreachable",
        hint=None if variable else f"check the network and {source}",
    )


def _tls_failed(call: str, kind: type[AwsRunasError], error: Exception, where: str) -> AwsRunasError:
    """Distinguish an unreadable bundle, an untrusted certificate, and a server without TLS."""
    for cause in causes(error):
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno and cause.strerror:
            return _bundle_invalid(call, cause.strerror.lower())
    words = " ".join(str(cause) for cause in causes(error))
    if "NO_CERTIFICATE_OR_CRL_FOUND" in words:
        return _bundle_invalid(call, "it holds no certificate")
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes(error)):
        return kind(
            f"{call}: the certificate of {where} is not trusted: {reason_of(error)}",
            code="certificate-untrusted",
            hint="name your own authority's certificates in AWS_CA_BUNDLE",
        )
    reason = "the server there does not speak TLS" if "WRONG_VERSION_NUMBER" in words else "the TLS handshake failed"
    return kind(
        f"{call}: cannot reach {where}: {reason}",
        code="endpoint-unreachable",
        hint="is the address http:// instead of https://, or does a firewall cut the connection?",
    )


def _bundle_invalid(call: str, reason: str) -> ConfigError:
    name = next((name for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE") if os.environ.get(name)), "")
    bundle = f"{name}={os.environ[name]}" if name else "ca_bundle of the profile"
    return ConfigError(
        f"{call}: {bundle} cannot be used: {reason}",
        code="ca-bundle-invalid",
        hint="name a file with certificates in PEM form",
    )


def _origin_of(url: str) -> str:
    """Return an address without path and query, which the reader cannot change anyway."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else url


def _proxy_failed(call: str, kind: type[AwsRunasError], error: Exception) -> AwsRunasError:
    proxy = _shown_proxy(error)
    words = " ".join(str(cause) for cause in causes(error))
    answer = re.search(r"Tunnel connection failed: (\d{3}) ?([\w .-]*)", words)
    if proxy == "http://":
        return _proxy_invalid(call)
    if answer is None:
        return kind(
            f"{call}: the proxy {proxy} does not answer: {reason_of(error)}",
            code="proxy-failed",
            hint="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        )
    hint = "check NO_PROXY, and which hosts the proxy allows"
    if answer[1] == "407":
        hint = "it needs a user and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
    return kind(f"{call}: the proxy {proxy} answers {answer[1]} {answer[2]}".rstrip(), code="proxy-refused", hint=hint)


def _shown_proxy(error: Exception) -> str:
    """Return the proxy's address without user and password. botocore's masked address can show part of the password."""
    masked = str(getattr(error, "kwargs", {}).get("proxy_url") or "")
    host = masked.rpartition("@")[2].rpartition("//")[2]
    return f"http://{host}" if masked.startswith(("http://", "htt*")) or "@" in masked else masked or "(unnamed)"


def _proxy_invalid(call: str) -> ConfigError:
    unreadable = [name for name in _PROXY_VARIABLES if _is_unreadable(name)]
    name = next((name for name in (*unreadable, *_PROXY_VARIABLES) if os.environ.get(name)), "HTTPS_PROXY")
    value = re.sub(r"//[^/@]*@", "//", os.environ.get(name, ""))  # without user and password
    return ConfigError(
        f"{call}: {name}={value} is not the address of an HTTP proxy",
        code="proxy-invalid",
        hint="write http://HOST:PORT; SOCKS proxies do not work",
    )


def _is_unreadable(name: str) -> bool:
    """Return True if the value of a variable is not an address, such as ``http://[::1`` or ``http://user:word@``."""
    value = os.environ.get(name, "")
    try:
        return bool(value) and not urllib.parse.urlsplit(value if "://" in value else f"http://{value}").hostname
    except ValueError:
        return True


def _endpoint_variable(url: str, service: str | None) -> str:
    """Return the variable that sets an endpoint, in parentheses; "" if none does."""
    names = ["AWS_ENDPOINT_URL"]
    if service:
        names.insert(0, f"AWS_ENDPOINT_URL_{service.replace('-', '_').upper()}")
    for name in names:
        value = os.environ.get(name, "").rstrip("/")
        if value and url.startswith(value):
            return f" ({name})"
    return ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors behind a botocore error: the error, its arguments, and their causes."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [getattr(cause, "kwargs", {}).get("error"), *cause.args, getattr(cause, "reason", None)]
            waiting += [cause.__cause__, cause.__context__]


def reason_of(error: Exception) -> str:
    """Return the reason for a failed connection: the system's, ours, else the library's without Python objects.

    Args:
        error: an error of botocore, urllib3 or the standard library.
    """
    from http.client import HTTPException

    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno and cause.strerror and not isinstance(cause, ssl.SSLError):
            return cause.strerror.lower()
        if (ours := _REASONS.get(type(cause).__name__)) is not None:
            return ours
        if isinstance(cause, HTTPException):
            return " ".join(str(cause).split())
    inner = getattr(error, "kwargs", {}).get("error", error)
    text = re.sub(r"<[^>]*>:? ?|\w+\(host=[^)]*\):? ?", "", str(inner))
    return " ".join(text.split())
