"""STS: the calls that make credentials."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aws_runas.aws.credentials import Credentials
from aws_runas.aws.errors import translate
from aws_runas.config.profile import Role


def get_session_token(
    client: Any, duration: int, mfa_serial: str | None, mfa_code: str | None, now: float
) -> Credentials:
    """Trade a user's own keys for temporary ones.

    Args:
        client: signs with the user's keys.
        duration: seconds.
        now: seconds since the epoch, becomes ``issued``.
    """
    parameters: dict[str, Any] = {"DurationSeconds": duration}
    if mfa_serial and mfa_code:
        parameters |= {"SerialNumber": mfa_serial, "TokenCode": mfa_code}
    with translate("sts", "GetSessionToken"):
        reply = client.get_session_token(**parameters)
    return _credentials(reply, now)


def assume_role(client: Any, role: Role, mfa_serial: str | None, mfa_code: str | None, now: float) -> Credentials:
    """Assume a role.

    Args:
        client: signs with the credentials that may assume it.
        mfa_serial, mfa_code: given where the caller's own keys sign.
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
    with translate("sts", "AssumeRole"):
        reply = client.assume_role(**parameters)
    return _credentials(reply, now)


def _credentials(reply: Any, now: float) -> Credentials:
    found = reply["Credentials"]
    return Credentials(
        access_key_id=found["AccessKeyId"],
        secret_access_key=found["SecretAccessKey"],
        session_token=found["SessionToken"],
        expiration=found["Expiration"].astimezone(UTC),
        issued=datetime.fromtimestamp(now, UTC),
    )
