"""The sandbox's single sign-on services, judged by botocore."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from aws_runas.sandbox.world import Sandbox
from tests.support.portal_browser import OPENER, final_address

SCOPES = ["sso:account:access"]
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def client(sandbox: Sandbox, service: str) -> Any:
    return botocore.session.Session().create_client(
        service,
        region_name="us-east-1",
        endpoint_url=sandbox.endpoint,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


def start_url(sandbox: Sandbox) -> str:
    found = re.search(r"sso_start_url = (\S+)", sandbox.config_file.read_text())
    assert found is not None
    return found[1]


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


class Login:
    """A sign-in with a code, step by step."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.oidc = client(sandbox, "sso-oidc")
        self.verifier = secrets.token_urlsafe(48)
        self.client = self.oidc.register_client(
            clientName="test",
            clientType="public",
            scopes=SCOPES,
            grantTypes=["authorization_code", "refresh_token"],
            redirectUris=["http://127.0.0.1/oauth/callback"],
            issuerUrl=start_url(sandbox),
        )
        digest = hashlib.sha256(self.verifier.encode()).digest()
        self.query = {
            "response_type": "code",
            "client_id": self.client["clientId"],
            "redirect_uri": "http://127.0.0.1:1/oauth/callback",
            "state": "s",
            "code_challenge_method": "S256",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "scopes": " ".join(SCOPES),
        }
        self.page = f"{sandbox.endpoint}/authorize"

    def address(self, **changes: str) -> str:
        return f"{self.page}?{urllib.parse.urlencode(self.query | changes)}"

    def code(self) -> str:
        answer = urllib.parse.urlsplit(final_address(self.address()))
        fields = dict(urllib.parse.parse_qsl(answer.query))
        assert (answer.netloc, fields["state"]) == ("127.0.0.1:1", "s")
        return fields["code"]

    def token(self, grant: str = "authorization_code", **values: str) -> Any:
        known = {"clientId": self.client["clientId"], "clientSecret": self.client["clientSecret"]}
        return self.oidc.create_token(**(known | {"grantType": grant} | values))

    def by_code(self, **changes: str) -> Any:
        values = {"code": self.code(), "codeVerifier": self.verifier, "redirectUri": self.query["redirect_uri"]}
        return self.token(**(values | changes))


@pytest.fixture
def login(sandbox: Sandbox) -> Login:
    return Login(sandbox)


def test_a_code_gives_tokens_that_the_portal_accepts(sandbox: Sandbox, login: Login) -> None:
    token = login.by_code()
    assert token["expiresIn"] == 8 * 3600
    portal = client(sandbox, "sso")
    accounts = portal.list_accounts(accessToken=token["accessToken"])["accountList"]
    assert [(account["accountId"], account["accountName"]) for account in accounts] == [
        ("123456789012", "sandbox"),
        ("210987654321", "sandbox"),
    ]
    roles = portal.list_account_roles(accessToken=token["accessToken"], accountId="123456789012")["roleList"]
    assert [role["roleName"] for role in roles] == ["my-role", "my-role-reader"]
    with pytest.raises(ClientError) as error:
        portal.get_role_credentials(accessToken=token["accessToken"], accountId="123456789012", roleName="deploy-test")
    assert code_of(error) == ("ForbiddenException", 403)


@pytest.mark.parametrize("changes", [{"codeVerifier": "x" * 64}, {"redirectUri": "http://127.0.0.1:2/oauth/callback"}])
def test_a_code_needs_its_verifier_and_its_address(login: Login, changes: dict[str, str]) -> None:
    with pytest.raises(ClientError) as error:
        login.by_code(**changes)
    assert code_of(error) == ("InvalidGrantException", 400)


def test_a_code_is_good_once_and_a_client_needs_its_secret(login: Login) -> None:
    code = login.code()
    values = {"code": code, "codeVerifier": login.verifier, "redirectUri": login.query["redirect_uri"]}
    with pytest.raises(ClientError) as error:
        login.token(**(values | {"clientSecret": "wrong"}))
    assert code_of(error) == ("InvalidClientException", 401)
    login.token(**values)
    with pytest.raises(ClientError) as error:
        login.token(**values)
    assert code_of(error) == ("InvalidGrantException", 400)


def test_a_refresh_token_dies_with_its_first_use(login: Login) -> None:
    first = login.by_code()
    second = login.token("refresh_token", refreshToken=first["refreshToken"])
    assert second["accessToken"] != first["accessToken"]
    with pytest.raises(ClientError) as error:
        login.token("refresh_token", refreshToken=first["refreshToken"])
    assert code_of(error) == ("InvalidGrantException", 400)
    login.token("refresh_token", refreshToken=second["refreshToken"])


def test_a_logout_ends_every_token_of_the_session(sandbox: Sandbox, login: Login) -> None:
    token = login.by_code()
    portal = client(sandbox, "sso")
    portal.logout(accessToken=token["accessToken"])
    for call in (portal.logout, portal.list_accounts):
        with pytest.raises(ClientError) as error:
            call(accessToken=token["accessToken"])
        assert code_of(error) == ("UnauthorizedException", 401)
    with pytest.raises(ClientError) as error:
        login.token("refresh_token", refreshToken=token["refreshToken"])
    assert code_of(error) == ("InvalidGrantException", 400)


def test_a_device_code_waits_slows_down_and_is_denied(sandbox: Sandbox) -> None:
    oidc = client(sandbox, "sso-oidc")
    made = oidc.register_client(clientName="test", clientType="public", scopes=SCOPES)
    known = {"clientId": made["clientId"], "clientSecret": made["clientSecret"]}
    started = oidc.start_device_authorization(**known, startUrl=start_url(sandbox))
    assert re.fullmatch(r"[A-Z]{4}-[A-Z]{4}", started["userCode"])
    for expected in ("AuthorizationPendingException", "SlowDownException"):
        with pytest.raises(ClientError) as error:
            oidc.create_token(**known, grantType=DEVICE, deviceCode=started["deviceCode"])
        assert code_of(error) == (expected, 400)
    from tests.support.portal_browser import decide

    decide(started["verificationUriComplete"], "deny")
    with pytest.raises(ClientError) as error:
        oidc.create_token(**known, grantType=DEVICE, deviceCode=started["deviceCode"])
    assert code_of(error) == ("AccessDeniedException", 400)


def test_a_registration_is_for_its_grants_only(sandbox: Sandbox, login: Login) -> None:
    known = {"clientId": login.client["clientId"], "clientSecret": login.client["clientSecret"]}
    with pytest.raises(ClientError) as error:
        login.oidc.start_device_authorization(**known, startUrl=start_url(sandbox))
    assert code_of(error) == ("UnauthorizedClientException", 400)


def test_only_who_knows_the_start_url_can_begin(sandbox: Sandbox) -> None:
    oidc = client(sandbox, "sso-oidc")
    wrong = f"{sandbox.endpoint}/start/guess"
    with pytest.raises(ClientError) as error:
        oidc.register_client(
            clientName="test", clientType="public", scopes=SCOPES, grantTypes=["authorization_code"],
            redirectUris=["http://127.0.0.1/oauth/callback"], issuerUrl=wrong,
        )  # fmt: skip
    assert code_of(error) == ("InvalidRequestException", 400)
    made = oidc.register_client(clientName="test", clientType="public")
    with pytest.raises(ClientError) as error:
        oidc.start_device_authorization(clientId=made["clientId"], clientSecret=made["clientSecret"], startUrl=wrong)
    assert code_of(error) == ("InvalidRequestException", 400)


def _status(address: str, data: bytes | None = None, **headers: Any) -> int:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with OPENER.open(urllib.request.Request(address, data, names), timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_consent_page_is_for_a_browser_and_its_form_for_that_page(sandbox: Sandbox, login: Login) -> None:
    page = login.address()
    own = sandbox.endpoint
    navigation: dict[str, Any] = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert _status(page, **navigation, Sec_Fetch_Site="cross-site") == 200
    assert _status(page, **navigation, Sec_Fetch_Site="none") == 200
    assert _status(page, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="image", Sec_Fetch_Site="cross-site") == 403
    assert _status(page, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe", Sec_Fetch_Site="cross-site") == 403
    assert _status(page, Origin="https://evil.example") == 403
    assert _status(page, Host="evil.example") == 421
    form = b"decision=allow&page=guess"
    assert (
        _status(page, form, Origin=own, **navigation, Sec_Fetch_Site="same-origin") == 403
    )  # not the page's own value
    assert _status(page, form, Origin="https://evil.example", **navigation, Sec_Fetch_Site="cross-site") == 403
    assert _status(f"{own}/token", b"{}", Origin=own, **navigation, Sec_Fetch_Site="same-origin") == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "unknown"},
        {"redirect_uri": "http://evil.example/oauth/callback"},
        {"redirect_uri": "http://127.0.0.1:1/other"},
        {"code_challenge_method": "plain"},
        {"scopes": "other"},
        {"state": ""},
    ],
)
def test_a_wrong_authorization_request_is_never_redirected(login: Login, changes: dict[str, str]) -> None:
    assert _status(login.address(**changes)) == 400


def test_lists_come_in_pages_of_at_most_a_hundred(sandbox: Sandbox, login: Login) -> None:
    token = login.by_code()["accessToken"]
    portal = client(sandbox, "sso")
    page = portal.list_accounts(accessToken=token, maxResults=1)
    assert len(page["accountList"]) == 1
    assert len(portal.list_accounts(accessToken=token, nextToken=page["nextToken"])["accountList"]) == 1
    with pytest.raises(ClientError) as error:
        portal.list_accounts(accessToken=token, maxResults=101)
    assert code_of(error) == ("InvalidRequestException", 400)


def test_no_secret_is_in_the_recorded_calls(sandbox: Sandbox, login: Login) -> None:
    token = login.by_code()
    text = str(sandbox.calls)
    assert "CreateToken" in text
    for secret in (token["accessToken"], token["refreshToken"], login.client["clientSecret"], login.verifier):
        assert secret not in text
