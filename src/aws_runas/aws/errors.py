"""What AWS and the network answer, put into our own errors.

`translate` is a context manager around one call. STS and IAM failures become CredentialsError; other services raise
what their own module makes of it, through ``kind``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError

MESSAGE_LENGTH = 600  # characters of AWS's words that are shown

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_BAD_KEY = ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_THROTTLED = ("Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException")


@contextlib.contextmanager
def translate(service: str, operation: str, kind: type[AwsRunasError] = CredentialsError) -> Iterator[None]:
    """Turn botocore's exceptions into ours.

    Args:
        service: botocore's name.
        operation: as AWS spells it.
        kind: the class of errors that are not about credentials or configuration.

    Raises:
        AwsRunasError: the call failed; ``aws_code`` of the cause, if AWS answered, is in ``__cause__``.
    """
    from botocore import exceptions, parsers

    try:
        yield
    except exceptions.ClientError as error:
        answer = error.response.get("Error", {})
        code, message = str(answer.get("Code", "")), scrub(str(answer.get("Message", "")))
        # the cause keeps AWS's answer for `aws_code` and the Date header, less what may be secret in its text
        cause = exceptions.ClientError(error.response | {"Error": {"Code": code, "Message": message}}, operation)
        ours = _answered(service, operation, kind, code, message)
    except (exceptions.BotoCoreError, parsers.ResponseParserError, KeyError, OSError) as error:
        raise _failed(service, operation, kind, error) from error
    else:
        return
    raise ours from cause  # outside the except block: the original must not hang on as the context


def scrub(message: str) -> str:
    """AWS's words on one line, without the canonical request that some answers quote: it holds the session token."""
    for start in ("The Canonical String", "The String-to-Sign"):
        message = message.partition(start)[0]
    return " ".join(message.split())[:MESSAGE_LENGTH]


def aws_code(error: AwsRunasError) -> str:
    """AWS's own name for the error behind one of ours, ``""`` where AWS did not answer."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def aws_message(error: AwsRunasError) -> str:
    """AWS's own words behind one of our errors."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Message", ""))


def _answered(service: str, operation: str, kind: type[AwsRunasError], code: str, message: str) -> AwsRunasError:
    call = f"{service} {operation}"
    if code in _EXPIRED:
        return CredentialsError(
            f"{call}: the credentials have expired",
            code="credentials-expired",
            hint="get new ones; with -r aws-runas does not use its cache",
        )
    if code in _BAD_KEY:
        return CredentialsError(
            f"{call}: AWS does not know this access key",
            code="access-key-unknown",
            hint="the key may be deleted, disabled, mistyped, or of another partition",
        )
    if code in ("SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidSignatureException"):
        return _signature(call, message, code)
    if code in _DENIED:
        hint = f"the identity needs the permission {service}:{operation}"  # EC2's own words often do not name it
        return kind(f"{call}: access denied: {message}", code="access-denied", hint=hint)
    if code in _THROTTLED:
        return kind(f"{call}: AWS asks to slow down ({code})", code="throttled", hint="try again in a moment")
    if code == "RegionDisabledException":
        return ConfigError(
            f"{call}: {message}", code="region-disabled", hint="enable STS for the region or choose another region"
        )
    return kind(f"{call}: {message or 'failed'} ({code or 'no code'})", code="aws-error")


def _signature(call: str, message: str, code: str) -> CredentialsError:
    skew = code == "RequestTimeTooSkewed" or "expired" in message or "not yet current" in message
    if skew:
        return CredentialsError(
            f"{call}: this machine's clock is wrong: {message}",
            code="clock-skew",
            hint="set the clock; AWS allows five minutes",
        )
    return CredentialsError(
        f"{call}: the secret access key does not fit the access key id",
        code="signature-wrong",
        hint="check aws_secret_access_key, and the clock",
    )


def _failed(service: str, operation: str, kind: type[AwsRunasError], error: Exception) -> AwsRunasError:
    from botocore import exceptions, parsers

    call = f"{service} {operation}"
    if isinstance(error, (parsers.ResponseParserError, KeyError)):  # not XML, or XML without what the reply must have
        return kind(
            f"{call}: what answers there is not AWS",
            code="endpoint-not-aws",
            hint="check AWS_ENDPOINT_URL and the proxy",
        )
    if isinstance(error, OSError) and not isinstance(error, exceptions.BotoCoreError):  # some of botocore's are both
        return ConfigError(
            f"{call}: {error.strerror or error}: {error.filename or ''}".rstrip(": "),
            code="client-setup-failed",
            hint="check AWS_CA_BUNDLE and ca_bundle",
        )
    url = getattr(error, "kwargs", {}).get("endpoint_url", "")
    if isinstance(error, exceptions.ProxyConnectionError):
        return kind(
            f"{call}: the proxy does not answer", code="proxy-failed", hint="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
        )
    if isinstance(error, exceptions.SSLError):
        return kind(
            f"{call}: the certificate of {url} is not trusted: {_reason(error)}",
            code="certificate-untrusted",
            hint="name your own authority's certificates in AWS_CA_BUNDLE",
        )
    if isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)):
        return kind(f"{call}: {url} does not answer in time", code="endpoint-timeout", hint="check network and proxy")
    if isinstance(
        error, (exceptions.EndpointConnectionError, exceptions.ConnectionClosedError, exceptions.HTTPClientError)
    ):
        return kind(
            f"{call}: cannot reach {url or 'the endpoint'}: {_reason(error)}",
            code="endpoint-unreachable",
            hint="check the network, the region and AWS_ENDPOINT_URL",
        )
    if isinstance(error, exceptions.ParamValidationError):
        return ConfigError(f"{call}: {' '.join(str(error).split())}", code="parameter-invalid")
    return kind(f"{call}: {' '.join(str(error).split())}", code="aws-error")


def _reason(error: Exception) -> str:
    inner = getattr(error, "kwargs", {}).get("error", error)
    return " ".join(str(inner).split())
