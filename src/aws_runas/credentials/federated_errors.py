"""Errors for STS calls with SAML responses and ID tokens, with messages that name the value and the rule."""

from __future__ import annotations

from collections.abc import Sequence

from aws_runas.aws.errors import aws_code, aws_message
from aws_runas.config.durations import format_duration
from aws_runas.config.profile import Setting
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError


@dataclass(frozen=True, slots=True)
class Sent:
    """Values sent in a call, for messages.

    Args:
        what: "SAML response" or "ID token".
        role_arn: the requested role.
        duration: the requested duration, in seconds.
        facts: lines such as ``audience urn:amazon:webservices`` with values that trust policies compare.
    """

    what: str
    role_arn: str
    duration: Setting[int]
    facts: Sequence[str]


def explain(error: CredentialsError, sent: Sent) -> CredentialsError:
    """Return an error that tells the user what to fix.

    Args:
        error: from `aws.sts`, with AWS's error as its cause.
    """
    code, message = aws_code(error), aws_message(error)
    facts = tuple(f"sent: {fact}" for fact in sent.facts)
    if code == "ExpiredTokenException":
        return CredentialsError(
            f"AWS says that the {sent.what} has expired: {message}",
            code="assertion-expired",
            hint="sign in again; if that does not help, set this machine's clock",
        )
    if code == "IDPRejectedClaim":
        return CredentialsError(
            f"the identity provider rejected the {sent.what}: {message}",
            code="identity-rejected",
            hint="sign in again, or ask the provider's administrators",
            details=facts,
        )
    if code == "InvalidIdentityToken":
        return CredentialsError(
            f"AWS does not accept the {sent.what}: {message}",
            code="identity-invalid",
            hint="compare what was sent with the provider in IAM: its ARN, audience and certificate",
            details=facts,
        )
    if code == "IDPCommunicationError":
        return CredentialsError(
            f"AWS cannot reach the identity provider: {message}", code="idp-unreachable", hint="try again in a moment"
        )
    if code == "AccessDenied":
        return CredentialsError(
            f"not allowed to assume {sent.role_arn} with this {sent.what}: {message}",
            code="role-denied",
            hint="the role's trust policy must name the provider, and its conditions must match",
            details=facts,
        )
    return _limits(error, sent, code, message)


def _limits(error: CredentialsError, sent: Sent, code: str, message: str) -> CredentialsError:
    if code == "PackedPolicyTooLarge":
        return CredentialsError(
            f"session policies and tags are too large: {message}",
            code="packed-policy-too-large",
            hint="use shorter policies, or have the identity provider send fewer tags",
        )
    if "MaxSessionDuration" in message or "DurationSeconds" in message:
        wanted = format_duration(sent.duration.value)
        return CredentialsError(
            f"{sent.role_arn} does not allow {wanted} ({sent.duration.origin}): {message}",
            code="role-duration-refused",
            hint="ask for less with -a, or raise the role's maximum session duration",
        )
    return error
