"""Identity Center's replies, if the server is not AWS: an error, and nothing of them in a file or browser."""

from __future__ import annotations

from typing import Any

import pytest

from aws_runas.aws import sso, sso_oidc
from aws_runas.errors import CredentialsError

ROLE = {"roleName": "Admin", "accountId": "111111111111"}
ACCOUNT = {"accountId": "111111111111", "accountName": "Dev"}
DEVICE = {"deviceCode": "d", "userCode": "ABCD", "verificationUri": "https://device.example/"}
CLIENT = {"clientId": "c", "clientSecret": "s", "clientSecretExpiresAt": 1.0}


class Answering:
    """Client that answers everything with one reply."""

    def __init__(self, reply: dict[str, Any]) -> None:
        self._reply = reply
        self.calls = 0

    def _answer(self, **_values: Any) -> dict[str, Any]:
        self.calls += 1
        return self._reply if self.calls < 9 else {"accountList": [], "roleList": []}

    list_accounts = list_account_roles = register_client = start_device_authorization = create_token = _answer


def nothing() -> None:
    """Keep no pace."""


@pytest.mark.parametrize("name", ["R\ncredential_process = x", "x]\r[profile evil]", " R", "\ud800", "\x1b[31m"])
def test_a_name_that_would_be_more_than_a_line_of_a_file_is_refused(name: str) -> None:
    with pytest.raises(CredentialsError, match="not from AWS"):
        list(sso.list_account_roles(Answering({"roleList": [ROLE | {"roleName": name}]}), "t", "1", nothing))
    with pytest.raises(CredentialsError, match="not from AWS"):
        list(sso.list_accounts(Answering({"accountList": [ACCOUNT | {"accountId": name}]}), "t", nothing))


def test_a_reply_without_a_list_is_not_an_empty_list() -> None:
    with pytest.raises(CredentialsError, match="not from AWS"):
        list(sso.list_accounts(Answering({}), "t", nothing))
    with pytest.raises(CredentialsError, match="not from AWS"):
        list(sso.list_account_roles(Answering({}), "t", "1", nothing))
    assert list(sso.list_accounts(Answering({"accountList": []}), "t", nothing)) == []


def test_a_page_that_leads_to_itself_is_an_error() -> None:
    portal = Answering({"accountList": [ACCOUNT], "roleList": [ROLE], "nextToken": "x"})
    with pytest.raises(CredentialsError, match="not from AWS"):
        list(sso.list_accounts(portal, "t", nothing))
    with pytest.raises(CredentialsError, match="not from AWS"):
        list(sso.list_account_roles(portal, "t", "1", nothing))
    assert portal.calls == 4


@pytest.mark.parametrize(
    "address",
    ["file:///etc/passwd", "javascript:alert(1)", "--help", "http://host.example/", "https://[", "https://a b/", "x"],
)
def test_only_web_addresses_reach_a_browser(address: str) -> None:
    for changed in ({"verificationUri": address}, {"verificationUriComplete": address}):
        with pytest.raises(CredentialsError, match="not from AWS"):
            sso_oidc.start_device_authorization(Answering(DEVICE | changed), "c", "s", "https://start.example")
    with pytest.raises(CredentialsError, match="not from AWS"):
        sso_oidc.register_client(Answering(CLIENT | {"authorizationEndpoint": address}), ())


def test_a_client_id_that_no_address_can_hold_is_refused() -> None:
    with pytest.raises(CredentialsError, match="not from AWS"):
        sso_oidc.register_client(Answering(CLIENT | {"clientId": "\ud800"}), ())


@pytest.mark.parametrize("seconds", [0, -1, 1e11, True, "3600", None])
def test_a_token_that_lives_no_time_or_for_ever_is_refused(seconds: object) -> None:
    with pytest.raises(CredentialsError, match="not from AWS"):
        sso_oidc.create_token(Answering({"accessToken": "t", "expiresIn": seconds}), "c", "s", "refresh_token")
    assert sso_oidc.create_token(Answering({"accessToken": "t", "expiresIn": 60}), "c", "s", "g").expires_in == 60


@pytest.mark.parametrize(("given", "taken"), [(0, 5.0), (None, 5.0), (0.01, 1.0), (1, 1.0), (7, 7.0)])
def test_a_device_code_is_never_polled_without_a_pause(given: object, taken: float) -> None:
    started = sso_oidc.start_device_authorization(
        Answering(DEVICE | {"interval": given, "expiresIn": 0}), "c", "s", "https://start.example"
    )
    assert (started.interval, started.expires_in) == (taken, 600.0)
