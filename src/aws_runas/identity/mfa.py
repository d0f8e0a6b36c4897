"""The MFA devices of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.caller import caller_identity
from aws_runas.aws.iam import Iam
from aws_runas.errors import CredentialsError
from aws_runas.identity.roles import caller_of

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


def mfa_devices(access: Access) -> list[str]:
    """List the ARNs (serial numbers, of hardware devices) that belong to the user behind a profile, sorted.

    Raises:
        CredentialsError: a role or a federated user is behind it, who have none.
    """
    arn = caller_identity(access, user=True).arn
    if arn.endswith(":root"):
        return Iam(access).mfa_devices(None)
    holder = caller_of(arn).holder
    if holder.kind != "user":
        raise CredentialsError(
            f"{arn} is a role, and roles have no MFA devices",
            code="caller-not-a-user",
            hint="use a profile with the access keys of an IAM user",
        )
    return Iam(access).mfa_devices(holder.name)
