"""The IAM user of access keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.caller import caller_identity
from aws_runas.errors import CredentialsError
from aws_runas.identity.roles import caller_of

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


def user_of(access: Access) -> str:
    """Return the name of the IAM user whose keys an access has.

    Raises:
        CredentialsError: it is no user, or AWS refused the keys.
    """
    caller = caller_of(caller_identity(access, user=True).arn)
    if caller.holder.kind != "user":
        raise CredentialsError(
            f"{caller.arn} is a role, and roles have no access keys of their own",
            code="caller-not-a-user",
            hint="name the profile of an IAM user",
        )
    return caller.holder.name
