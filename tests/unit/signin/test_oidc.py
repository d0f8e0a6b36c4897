"""OpenID Connect without a network: addresses, forms and answers."""

from __future__ import annotations

import base64
import dataclasses
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.errors import CredentialsError
from aws_runas.signin import oidc

ISSUER = "https://idp.example/realms/corp"
PROVIDER = oidc.IdentityProvider(ISSUER, f"{ISSUER}/auth", f"{ISSUER}/token", f"{ISSUER}/device")
CLIENT = oidc.Client("client", ("openid",))


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        ("https://login.microsoftonline.com/T/oauth2/v2.0", "https://login.microsoftonline.com/T/v2.0"),
        ("https://login.partner.microsoftonline.cn/T/oauth2/v2.0", "https://login.partner.microsoftonline.cn/T/v2.0"),
        ("https://login.microsoftonline.com/T/v2.0", "https://login.microsoftonline.com/T/v2.0"),
        ("https://corp.okta.com/oauth2", "https://corp.okta.com"),
        ("https://corp.okta.com/oauth2/default", "https://corp.okta.com/oauth2/default"),
        ("https://corp.onelogin.com/oidc/2?token=Y2FuYXJ5", "https://corp.onelogin.com/oidc/2"),
        ("https://kc.example/auth/realms/r/", "https://kc.example/auth/realms/r"),
    ],
)
def test_addresses_of_the_go_tool_become_issuers(url: str, issuer: str) -> None:
    assert oidc.issuer_of(url) == issuer


def document(**more: object) -> str:
    return json.dumps({"issuer": ISSUER, "authorization_endpoint": "https://a/", "token_endpoint": "https://t/"} | more)


def test_discovery_is_read() -> None:
    found = oidc.read_discovery(200, document(device_authorization_endpoint="https://d/"), ISSUER)
    assert (found.issuer, found.token_endpoint, found.device_endpoint) == (ISSUER, "https://t/", "https://d/")


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (404, "", "answers 404"),
        (200, "<html>", "not JSON"),
        (200, document(issuer="https://evil.example"), "configuration of https://evil.example"),
        (200, document(token_endpoint="https://t/\r\nX: y"), "no https address as token_endpoint"),
        (200, document(token_endpoint="https://t/\ud800"), "not JSON"),
        (200, document(token_endpoint="http://t/"), "no https address as token_endpoint"),
        (200, document(authorization_endpoint=None), "no https address as authorization_endpoint"),
        (200, document(device_authorization_endpoint="http://d/"), "device_endpoint"),
    ],
)
def test_a_wrong_configuration_shows_what_was_asked(status: int, text: str, words: str) -> None:
    with pytest.raises(CredentialsError, match=words) as caught:
        oidc.read_discovery(status, text, ISSUER)
    assert caught.value.code == "oidc-discovery-failed"
    assert caught.value.hint == "check web_identity_auth_url, or set web_identity_issuer to the provider's issuer"
    assert f"{ISSUER}/.well-known/openid-configuration" in caught.value.message


def test_the_request_always_has_state_nonce_and_challenge() -> None:
    address = oidc.authorization_address(
        PROVIDER, CLIENT, "http://127.0.0.1:9/cb", state="s", nonce="n", challenge="c", login_hint="jane@example"
    )
    values = {name: value[0] for name, value in parse_qs(urlsplit(address).query).items()}
    assert values == {
        "response_type": "code", "client_id": "client", "redirect_uri": "http://127.0.0.1:9/cb", "scope": "openid",
        "state": "s", "nonce": "n", "code_challenge": "c", "code_challenge_method": "S256",
        "login_hint": "jane@example",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("issuer", "prompt"),
    [
        (ISSUER, ["consent"]),
        ("https://login.microsoftonline.com/T/v2.0", None),
        ("https://login.microsoftonline.us/T/v2.0", None),
        ("https://login.partner.microsoftonline.cn/T/v2.0", None),
        ("https://microsoftonline.com.example/T", ["consent"]),
    ],
)
def test_consent_is_asked_for_a_refresh_token_except_where_users_cannot_give_it(
    issuer: str, prompt: list[str] | None
) -> None:
    provider = dataclasses.replace(PROVIDER, issuer=issuer)
    client = oidc.Client("client", ("openid", "offline_access"))
    address = oidc.authorization_address(provider, client, "http://127.0.0.1:9/", state="s", nonce="n", challenge="c")
    assert parse_qs(urlsplit(address).query).get("prompt") == prompt


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (["client_secret_post", "client_secret_basic", "none"], ("client_secret_basic", "client_secret_post")),
        (["client_secret_basic"], ("client_secret_basic",)),
        (["client_secret_post"], ("client_secret_post",)),
        (["private_key_jwt"], ("client_secret_post",)),
        ([], ("client_secret_post",)),
        (None, ("client_secret_basic", "client_secret_post")),
    ],
)
def test_a_client_secret_is_tried_where_the_provider_reads_it(methods: object, expected: tuple[str, ...]) -> None:
    found = oidc.read_discovery(200, document(token_endpoint_auth_methods_supported=methods), ISSUER)
    assert found.auth_methods == expected


def test_a_client_secret_is_in_the_header_or_in_the_form() -> None:
    client = oidc.Client("my client", ("openid",), "s:é", "client_secret_basic")
    form = parse_qs(oidc.code_grant(client, "c", "http://127.0.0.1/", "v"))
    assert (form["client_id"], "client_secret" in form) == (["my client"], False)
    scheme, _, pair = client.headers()["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"my+client:s%3A%C3%A9")  # RFC 6749, 2.3.1

    client = dataclasses.replace(client, auth_method="client_secret_post")
    form = parse_qs(oidc.code_grant(client, "c", "http://127.0.0.1/", "v"))
    assert (form["client_secret"], "Authorization" in client.headers()) == (["s:é"], False)
    assert "Authorization" not in oidc.Client("public", ("openid",)).headers()


@pytest.mark.parametrize(
    ("status", "text", "refused"),
    [
        (401, '{"error": "invalid_client"}', True),
        (400, '{"error": "unauthorized_client"}', True),
        (400, '{"error": "invalid_grant"}', False),
        (401, "", False),
        (503, '{"error": "invalid_client"}', False),
        (200, '{"error": "invalid_client"}', False),
    ],
)
def test_a_refused_client_is_told_from_a_refused_code(status: int, text: str, refused: bool) -> None:
    assert oidc.is_client_refused(status, text) is refused


def test_the_redirect_is_believed_with_the_right_state_only() -> None:
    assert oidc.read_redirect("app:/cb?code=c&state=s", "s") == "c"
    for address in ("app:/cb?code=c&state=t", "app:/cb?code=c", "app:/cb"):
        with pytest.raises(CredentialsError) as caught:
            oidc.read_redirect(address, "s")
        assert caught.value.code == "login-state-mismatch"
    with pytest.raises(CredentialsError, match="no\\\\x1b thanks") as caught:
        oidc.read_redirect("app:/cb?error=access_denied&error_description=no%1b+thanks&state=s", "s")
    assert caught.value.code == "login-denied"


def test_a_refusal_of_the_token_endpoint_has_its_words() -> None:
    answer = json.dumps({"error": "invalid_client", "error_description": "secret\n needed"})
    with pytest.raises(CredentialsError, match="secret needed") as caught:
        oidc.read_tokens(401, answer)
    assert caught.value.code == "oidc-token-refused"
    with pytest.raises(CredentialsError, match="the answer has none"):
        oidc.read_tokens(200, json.dumps({"access_token": "a"}))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("http://127.0.0.1/cb", True), ("http://localhost:8080/", True), ("https://localhost/", False),
     ("app:/callback", False), ("http://evil.example/", False), ("http://[", False)],
)  # fmt: skip
def test_only_http_on_this_machine_is_listened_for(uri: str, expected: bool) -> None:
    assert oidc.is_loopback(uri) is expected


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.integers(100, 599))
def test_any_answer_is_read_or_refused(text: str, status: int) -> None:
    for read in (
        lambda: oidc.read_tokens(status, text),
        lambda: oidc.read_discovery(status, text, ISSUER),
    ):
        with pytest.raises(CredentialsError):
            read()
