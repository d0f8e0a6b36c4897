"""The portal of IAM Identity Center: accounts, roles, credentials of a role, logout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aws_runas.aws.credentials import Credentials, checked
from aws_runas.aws.errors import aws_code, translate
from aws_runas.aws.reply import ReplyError, listed, mapping, next_page, text, word
from aws_runas.errors import CredentialsError

PAGE_SIZE = 100  # the service refuses more


@dataclass(frozen=True, slots=True)
class SsoAccount:
    """An account that the user is assigned to."""

    account_id: str
    name: str


def get_role_credentials(client: Any, access_token: str, account_id: str, role_name: str, now: float) -> Credentials:
    """Fetch the credentials of a role.

    Args:
        now: seconds since the epoch, becomes ``issued``.

    Raises:
        CredentialsError: ``sso-token-dead``, ``sso-role-denied``, or what `translate` makes of it.
    """
    with _explained(f"role {role_name} in account {account_id}"), translate("sso", "GetRoleCredentials"):
        reply = client.get_role_credentials(roleName=role_name, accountId=account_id, accessToken=access_token)
        values = mapping(reply, "roleCredentials")
        milliseconds = values.get("expiration")
        if isinstance(milliseconds, bool) or not isinstance(milliseconds, int) or not 0 < milliseconds < 2**53:
            raise ReplyError("expiration")
        expiration = datetime.fromtimestamp(milliseconds / 1000, UTC)
        return checked(
            values.get("accessKeyId"),
            values.get("secretAccessKey"),
            text(values, "sessionToken"),
            expiration=expiration,
            now=now,
        )


def list_accounts(client: Any, access_token: str, before_call: Callable[[], None]) -> Iterator[SsoAccount]:
    """Yield every account of the user, page by page.

    Args:
        before_call: called before each page, to keep the service's pace.
    """
    parameters = {"accessToken": access_token, "maxResults": PAGE_SIZE}
    while True:
        before_call()
        with _explained("the accounts"), translate("sso", "ListAccounts"):
            reply = client.list_accounts(**parameters)
            accounts = [
                SsoAccount(word(each, "accountId"), text(each, "accountName", ""))
                for each in listed(reply, "accountList")
            ]
            following = next_page(reply, "nextToken", str(parameters.get("nextToken", "")))
        yield from accounts
        if not following:
            return
        parameters["nextToken"] = following


def list_account_roles(
    client: Any, access_token: str, account_id: str, before_call: Callable[[], None]
) -> Iterator[str]:
    """Yield the names of the user's roles in an account, page by page."""
    parameters = {"accessToken": access_token, "accountId": account_id, "maxResults": PAGE_SIZE}
    while True:
        before_call()
        with _explained(f"the roles of account {account_id}"), translate("sso", "ListAccountRoles"):
            reply = client.list_account_roles(**parameters)
            roles = [word(each, "roleName") for each in listed(reply, "roleList")]
            following = next_page(reply, "nextToken", str(parameters.get("nextToken", "")))
        yield from roles
        if not following:
            return
        parameters["nextToken"] = following


def logout(client: Any, access_token: str) -> None:
    """End the session at the service; one that has ended already is no error.

    Raises:
        CredentialsError: the service could not be asked.
    """
    try:
        with translate("sso", "Logout"):
            client.logout(accessToken=access_token)
    except CredentialsError as error:
        if aws_code(error) != "UnauthorizedException":
            raise


class _explained:  # noqa: N801 - used like a function
    """Give the portal's own errors their codes."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, CredentialsError):
            return
        code = aws_code(error)
        if code == "UnauthorizedException":
            raise CredentialsError(
                "Identity Center no longer accepts the sign-in",
                code="sso-token-dead",
                hint="sign in again with aws-runas login",
            ) from error.__cause__
        if code == "ForbiddenException":  # not in the service's model, but what it answers
            raise CredentialsError(
                f"Identity Center does not give you {self._what}: no access",
                code="sso-role-denied",
                hint="aws-runas sso list shows the accounts and roles that are assigned to you",
            ) from error.__cause__
