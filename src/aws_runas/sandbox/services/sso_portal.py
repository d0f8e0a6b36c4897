"""Portal of single sign-on: accounts, roles, and credentials of a role for a signed-in user."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from urllib.parse import parse_qsl

from aws_runas.sandbox.services.calls import Call, CallLog
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import JsonObject
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import Principal, TemporaryKeys
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.sso_directory import ACCOUNTS, Account, SsoDirectory, find_account, further_accounts
from aws_runas.sandbox.state import SandboxState

CREDENTIALS_LIFETIME = 3600  # seconds; at AWS the permission set decides
MAX_PAGE = 100  # entries; AWS refuses larger pages
DEFAULT_PAGE = 20


class SsoPortal:
    """Service that answers the calls of the portal.

    Args:
        directory: checks tokens.
        moto: provides the roles.
        keys: the store of temporary keys.
        state: faults.
        log: records every call.

    Source: AWS IAM Identity Center portal API reference.
    """

    def __init__(
        self, directory: SsoDirectory, moto: Moto, keys: TemporaryKeys, state: SandboxState, log: CallLog
    ) -> None:
        self._directory = directory
        self._moto = moto
        self._keys = keys
        self._state = state
        self._log = log
        self._listed: deque[float] = deque(maxlen=1000)  # monotonic seconds of list calls
        self._actions: dict[tuple[str, str], tuple[str, Callable[[dict[str, str], str], Reply]]] = {
            ("GET", "/federation/credentials"): ("GetRoleCredentials", self._credentials),
            ("GET", "/assignment/accounts"): ("ListAccounts", self._accounts),
            ("GET", "/assignment/roles"): ("ListAccountRoles", self._roles),
            ("POST", "/logout"): ("Logout", self._logout),
        }

    def serves(self, request: Request) -> bool:
        """Return True if a request is a call of the portal."""
        return (request.method, request.path) in self._actions and "x-amz-sso_bearer_token" in request.headers

    def handle(self, request: Request) -> Reply:
        """Answer one call."""
        action, answer = self._actions[request.method, request.path]
        query = dict(parse_qsl(request.query))
        error = ""
        try:
            token = request.headers["x-amz-sso_bearer_token"]
            if not self._directory.is_valid(token):
                raise ServiceError("UnauthorizedException", "Session token not found or invalid", 401)
            self._throttle(action)
            reply = answer(query, token)
        except ServiceError as problem:
            error = problem.code
            reply = json_reply({"message": problem.message}, problem.status, "application/json")
            reply.headers["x-amzn-ErrorType"] = f"{problem.code}:http://internal.amazon.com/coral/com.amazonaws/"
        self._log.record(Call("sso", action, request, query), error)
        return reply

    def _throttle(self, action: str) -> None:
        rate = self._state.faults.sso_rate
        limited = action.startswith("List") or rate == 0
        if action == "Logout" or not limited:
            return
        now = time.monotonic()
        self._listed.append(now)
        if sum(now - moment < 1.0 for moment in self._listed) > rate:
            raise ServiceError("TooManyRequestsException", "HTTP 429 Unknown Code", 429)

    def _all_accounts(self) -> tuple[Account, ...]:
        return (*ACCOUNTS, *further_accounts(self._state.faults.sso_accounts))

    def _accounts(self, query: dict[str, str], _token: str) -> Reply:
        entries = [
            {"accountId": account.account_id, "accountName": account.name, "emailAddress": account.email}
            for account in self._all_accounts()
        ]
        return _page("accountList", entries, query)

    def _roles(self, query: dict[str, str], _token: str) -> Reply:
        account = find_account(self._all_accounts(), query.get("account_id", ""))
        if account is None:
            raise ServiceError("ForbiddenException", "No access", 403)
        entries = [{"roleName": role, "accountId": account.account_id} for role in account.roles]
        return _page("roleList", entries, query)

    def _credentials(self, query: dict[str, str], _token: str) -> Reply:
        account = find_account(self._all_accounts(), query.get("account_id", ""))
        name = query.get("role_name", "")
        role = next((role for role in list(self._moto.iam.roles.values()) if role.name == name), None)
        if account is None or name not in account.roles or role is None:
            raise ServiceError("ForbiddenException", "No access", 403)
        arn = f"arn:aws:sts::{account.account_id}:assumed-role/{name}/sandbox-user"
        principal = Principal(arn, f"{role.id}:sandbox-user", role_name=name)
        clock = self._directory.clock
        key = self._keys.issue(principal, clock.now() + clock.lifetime(CREDENTIALS_LIFETIME), clock.now())
        values = {
            "accessKeyId": key.access_key_id,
            "secretAccessKey": key.secret_access_key,
            "sessionToken": key.session_token,
            "expiration": int((key.expiration or 0) * 1000),
        }
        return json_reply({"roleCredentials": values}, content_type="application/json")

    def _logout(self, _query: dict[str, str], token: str) -> Reply:
        self._directory.sign_out(token)
        return Reply(200, b"", {"Content-Type": "application/json"})


def _page(name: str, entries: list[dict[str, str]], query: dict[str, str]) -> Reply:
    """Return one page of a list.

    Raises:
        ServiceError: the page is too large, or the token is not valid.
    """
    size, start = query.get("max_result", str(DEFAULT_PAGE)), query.get("next_token", "0")
    if not size.isdigit() or not 1 <= int(size) <= MAX_PAGE:
        raise ServiceError("InvalidRequestException", "maxResults must be between 1 and 100", 400)
    if not start.isdigit():
        raise ServiceError("InvalidRequestException", "Invalid next token", 400)
    end = int(start) + int(size)
    values: JsonObject = {name: entries[int(start) : end]}
    if end < len(entries):
        values["nextToken"] = str(end)
    return json_reply(values, content_type="application/json")
