"""STS: the calls that issue credentials, and the identity behind credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aws_runas.aws import reply
from aws_runas.aws.credentials import Credentials, checked, parse_time
from aws_runas.aws.errors import answer_was_lost, date_of_answer, translate
from aws_runas.config.profile import Role
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, CredentialsError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


def get_session_token(
    client: Any, duration: int, mfa_serial: str | None, mfa_code: str | None, *, now: float
) -> Credentials:
    """Exchange a user's own keys for temporary ones.

    Args:
        client: signs with the user's keys.
        duration: seconds.
        now: seconds since the epoch, becomes ``issued``.
    """
    parameters: dict[str, Any] = {"DurationSeconds": duration}
    if mfa_serial and mfa_code:
        parameters |= {"SerialNumber": mfa_serial, "TokenCode": mfa_code}
    with _spending(mfa_code), translate("sts", "GetSessionToken"):
        return _credentials(client.get_session_token(**parameters), now)


@contextmanager
def _spending(mfa_code: str | None) -> Iterator[None]:
    """Tell the user that a code may be used up, if the answer to the call was lost."""
    try:
        yield
    except CredentialsError as error:
        if mfa_code and answer_was_lost(error):
            error.hint = "check network and proxy, and wait for the next MFA code: this one may be used up"
        raise


def assume_role(client: Any, role: Role, mfa_serial: str | None, mfa_code: str | None, *, now: float) -> Credentials:
    """Assume a role.

    Args:
        client: signs with the credentials that may assume it.
        mfa_serial, mfa_code: given if the caller's own keys sign.
        now: seconds since the epoch, becomes ``issued``.
    """
    parameters: dict[str, Any] = {
        "RoleArn": role.arn,
        "RoleSessionName": role.session_name,
        "DurationSeconds": role.duration.value,
    }
    if role.external_id:
        parameters["ExternalId"] = role.external_id
    if role.source_identity:
        parameters["SourceIdentity"] = role.source_identity
    if role.tags:
        parameters["Tags"] = [{"Key": key, "Value": value} for key, value in role.tags]
    if role.transitive_tags:
        parameters["TransitiveTagKeys"] = list(role.transitive_tags)
    if role.policy:
        parameters["Policy"] = role.policy
    if role.policy_arns:
        parameters["PolicyArns"] = [{"arn": arn} for arn in role.policy_arns]
    if mfa_serial and mfa_code:
        parameters |= {"SerialNumber": mfa_serial, "TokenCode": mfa_code}
    with _spending(mfa_code), translate("sts", "AssumeRole"):
        return _credentials(client.assume_role(**parameters), now)


def assume_role_with_saml(
    client: Any, role_arn: str, principal_arn: str, response: str, *, duration: int, now: float
) -> Credentials:
    """Assume a role with a SAML response; the call is not signed.

    Args:
        principal_arn: of the SAML provider in IAM.
        response: base64.
        duration: seconds.
        now: seconds since the epoch, becomes ``issued``.
    """
    with translate("sts", "AssumeRoleWithSAML"):
        reply = client.assume_role_with_saml(
            RoleArn=role_arn, PrincipalArn=principal_arn, SAMLAssertion=response, DurationSeconds=duration
        )
        return _credentials(reply, now)


def assume_role_with_web_identity(client: Any, role: Role, token: str, duration: int, *, now: float) -> Credentials:
    """Assume a role with an ID token; the call is not signed.

    Args:
        duration: seconds.
        now: seconds since the epoch, becomes ``issued``.
    """
    parameters: dict[str, Any] = {
        "RoleArn": role.arn,
        "RoleSessionName": role.session_name,
        "WebIdentityToken": token,
        "DurationSeconds": duration,
    }
    if role.policy:
        parameters["Policy"] = role.policy
    if role.policy_arns:
        parameters["PolicyArns"] = [{"arn": arn} for arn in role.policy_arns]
    with translate("sts", "AssumeRoleWithWebIdentity"):
        return _credentials(client.assume_role_with_web_identity(**parameters), now)


def get_federation_token(client: Any, name: str, policy: str, duration: int, *, now: float) -> Credentials:
    """Get credentials of a federated user, which can sign in to the console.

    Args:
        client: signs with a user's own keys; session tokens are refused.
        name: of the federated user, 2 to 32 characters.
        policy: JSON; the session may do what both this policy and the user's policies allow.
        duration: seconds.
        now: seconds since the epoch, becomes ``issued``.
    """
    with translate("sts", "GetFederationToken"):
        return _credentials(client.get_federation_token(Name=name, Policy=policy, DurationSeconds=duration), now)


def _credentials(reply: Any, now: float) -> Credentials:
    """Read a reply; a malformed one raises an error that `translate` reports as an endpoint that is not AWS."""
    found = reply["Credentials"]
    if not found["SessionToken"]:
        raise ValueError("no session token")
    return checked(
        found["AccessKeyId"],
        found["SecretAccessKey"],
        found["SessionToken"],
        expiration=parse_time(found["Expiration"].isoformat()),
        now=now,
    )


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """The identity that STS reports for the credentials that signed.

    Args:
        account: twelve digits.
        arn: of the user or of the role session.
        user_id: ``AIDA...``, or ``AROA...:session``.
        date: the time of the response, None if it has none.
    """

    account: str
    arn: str
    user_id: str
    date: datetime | None = None


def caller_identity(access: Access, *, user: bool = False) -> CallerIdentity:
    """Ask STS for our identity.

    Args:
        access: its credentials sign the call.
        user: sign with the user's own keys instead of the role's.

    Source: AWS API reference, sts GetCallerIdentity. No policy can deny it.
    """
    client = access.user_client("sts") if user else access.client("sts")
    with translate("sts", "GetCallerIdentity"):
        answer = client.get_caller_identity()
        values = (reply.text(answer, "Account"), reply.text(answer, "Arn"), reply.text(answer, "UserId"))
        return CallerIdentity(*values, date_of_answer(answer))


def date_of(error: AwsRunasError) -> datetime | None:
    """Return the time of the response behind one of our errors. Refused calls have it too."""
    return date_of_answer(getattr(error.__cause__, "response", None) or {})
