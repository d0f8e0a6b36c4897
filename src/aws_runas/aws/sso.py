"""The portal of IAM Identity Center: accounts, roles, credentials of a role, logout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from aws_runas.aws.credentials import Credentials, checked
from aws_runas.aws.errors import aws_code, translate
from aws_runas.aws.reply import ReplyError, listed, mapping, text, token_pages, word
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError

PAGE_SIZE = 100  # the maximum that the service accepts


@dataclass(frozen=True, slots=True)
class SsoAccount:
    """An account to which the user is assigned."""

    account_id: str
    name: str


def get_role_credentials(client: Any, access_token: str, account_id: str, role_name: str, *, now: float) -> Credentials:
    """Fetch the credentials of a role.

    Args:
        now: seconds since the epoch, becomes ``issued``.

    Raises:
        CredentialsError: ``sso-token-dead``, ``sso-role-denied``, or an error from `translate`.
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
        before_call: called before each page, to respect the service's rate limit.
    """
    with _explained("the accounts"), translate("sso", "ListAccounts"):
        for page in _pages(client.list_accounts, before_call, accessToken=access_token):
            rows = listed(page, "accountList")
            yield from [SsoAccount(word(row, "accountId"), text(row, "accountName", "")) for row in rows]


def list_account_roles(
    client: Any, access_token: str, account_id: str, before_call: Callable[[], None]
) -> Iterator[str]:
    """Yield the names of the user's roles in an account, page by page.

    Args:
        client: of the portal; it does not sign.
        access_token: of the sign-in; a secret.
        account_id: twelve digits.
        before_call: called before each request, to respect its rate limit.
    """
    with _explained(f"the roles of account {account_id}"), translate("sso", "ListAccountRoles"):
        for page in _pages(client.list_account_roles, before_call, accessToken=access_token, accountId=account_id):
            yield from [word(row, "roleName") for row in listed(page, "roleList")]


def _pages(call: Callable[..., Any], before_call: Callable[[], None], **parameters: str) -> Iterator[Mapping[str, Any]]:
    def ask(**more: str) -> Any:
        before_call()
        return call(maxResults=PAGE_SIZE, **parameters, **more)

    return token_pages(ask, "nextToken")


def logout(client: Any, access_token: str) -> None:
    """End the session at the service; a session that has already ended is not an error.

    Args:
        client: botocore's client for ``sso``; not used for anything else.

    Raises:
        CredentialsError: the call failed, or the answer is not from the service.

    Source: Identity Center Portal API reference, Logout: "HTTP 200 response with an empty HTTP body".
    """
    client.meta.events.register("after-call.sso.Logout", _refuse_body)
    try:
        with translate("sso", "Logout"):
            client.logout(accessToken=access_token)
    except CredentialsError as error:
        if aws_code(error) != "UnauthorizedException":
            raise


def _refuse_body(http_response: Any, **_: object) -> None:
    """Refuse a page from a proxy or captive portal instead of the service: the session is still active."""
    if http_response.status_code == 200 and http_response.content.strip() not in (b"", b"{}"):
        raise ReplyError("body")


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
        if code == "ForbiddenException":  # not in the service's model, but the service returns it
            raise CredentialsError(
                f"Identity Center does not give you {self._what}: no access",
                code="sso-role-denied",
                hint="aws-runas sso list shows the accounts and roles that are assigned to you",
            ) from error.__cause__
