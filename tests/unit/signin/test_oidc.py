"""OpenID Connect without a network: addresses, claims, answers, and the device flow in virtual time."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.errors import CredentialsError
from aws_runas.signin import oidc

NOW = 1_800_000_000.0
ISSUER = "https://idp.example/realms/corp"
PROVIDER = oidc.IdentityProvider(ISSUER, f"{ISSUER}/auth", f"{ISSUER}/token", f"{ISSUER}/device")
CLIENT = oidc.Client("client", ("openid",))


def token(**claims: Any) -> str:
    whole = {"iss": ISSUER, "aud": "client", "sub": "jane", "exp": NOW + 300, "nonce": "n"} | claims
    body = base64.urlsafe_b64encode(json.dumps({k: v for k, v in whole.items() if v is not None}).encode()).decode()
    return f"e30.{body.rstrip('=')}.c2ln"


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


def test_a_good_id_token_is_taken() -> None:
    found = oidc.check_id_token(token(aud=["client", "other"], azp="client"), PROVIDER, CLIENT, "n", NOW)
    assert (found.issuer, found.audience, found.subject, found.expires) == (ISSUER, "client", "jane", NOW + 300)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://evil.example"}, "iss is https://evil.example"),
        ({"iss": None}, "iss is"),
        ({"aud": "other"}, "aud is other, not client"),
        ({"aud": ["other"]}, "aud is other"),
        ({"aud": ["client", "b"], "azp": "b"}, "azp"),
        ({"exp": NOW - 61}, "expired"),
        ({"exp": None}, "exp is missing"),
        ({"exp": "tomorrow"}, "exp is missing"),
        ({"exp": True}, "exp is missing"),
        ({"nonce": "m"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": 10**400}, "not a JSON web token"),
        ({"exp": math.nan}, "not a JSON web token"),
        ({"sub": "\ud800"}, "not a JSON web token"),
    ],
)
def test_each_claim_is_checked(claims: dict[str, Any], words: str) -> None:
    with pytest.raises(CredentialsError, match=words) as caught:
        oidc.check_id_token(token(**claims), PROVIDER, CLIENT, "n", NOW)
    assert caught.value.code == "id-token-invalid"


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
def test_google_may_leave_the_scheme_out_of_iss(issuer: str) -> None:
    google = dataclasses.replace(PROVIDER, issuer="https://accounts.google.com")
    assert oidc.check_id_token(token(iss=issuer), google, CLIENT, "n", NOW).issuer == issuer
    with pytest.raises(CredentialsError, match=r"iss is accounts\.google\.com"):
        oidc.check_id_token(token(iss="accounts.google.com"), PROVIDER, CLIENT, "n", NOW)


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


@pytest.mark.parametrize("text", ["", "a.b", "a.!.c", "a.e30", "..", "a.W10.c"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(CredentialsError):
        oidc.check_id_token(text, PROVIDER, CLIENT, "n", NOW)


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


CODE = {"device_code": "d", "user_code": "AB-CD", "verification_uri": "https://v/", "expires_in": 600, "interval": 5}


def polling() -> oidc.DevicePolling:
    return oidc.DevicePolling(oidc.read_device_code(200, json.dumps(CODE)), 100.0)


def pending(error: str = "authorization_pending") -> str:
    return json.dumps({"error": error})


def test_the_device_flow_polls_at_its_interval_and_slower_when_asked() -> None:
    machine, moments = polling(), []
    for error in ("authorization_pending", "slow_down", "authorization_pending", "slow_down", "authorization_pending"):
        moments.append(machine.next_timer())
        machine.receive_answer(400, pending(error), moments[-1])
    assert [*moments, machine.next_timer()] == [105, 110, 120, 130, 145, 160]
    machine.receive_answer(200, json.dumps({"id_token": token(), "refresh_token": "r"}), 200.0)
    assert machine.tokens is not None
    assert "r" not in repr(machine.tokens).replace("Tokens(", "")


@pytest.mark.parametrize(
    ("error", "now", "code"),
    [("access_denied", 105.0, "login-denied"), ("expired_token", 105.0, "login-timeout"),
     ("authorization_pending", 701.0, "login-timeout"), ("invalid_grant", 105.0, "login-denied")],
)  # fmt: skip
def test_the_device_flow_ends(error: str, now: float, code: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        polling().receive_answer(400, pending(error), now)
    assert caught.value.code == code


def test_a_server_that_fails_for_a_moment_is_asked_again() -> None:
    machine = polling()
    machine.receive_answer(503, "busy", 105.0)
    assert machine.next_timer() == 110.0
    machine.receive_answer(500, pending("server_error"), 110.0)
    assert machine.next_timer() == 115.0
    machine.receive_answer(429, "too many requests", 115.0)  # slower from here on
    assert machine.next_timer() == 125.0
    machine.receive_failure(125.0)
    assert machine.next_timer() == 135.0
    with pytest.raises(CredentialsError) as caught:
        machine.receive_failure(701.0)
    assert caught.value.code == "login-timeout"


@pytest.mark.parametrize(
    "change",
    [{"verification_uri": "javascript:x"}, {"device_code": None}, {"verification_uri": ""}, {"device_code": "\ud800"},
     {"verification_uri": "https://a b/"}, {"interval": math.nan}, {"expires_in": 10**400}],
)  # fmt: skip
def test_a_device_answer_without_what_it_needs_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CredentialsError):
        oidc.read_device_code(200, json.dumps(CODE | change))


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
        lambda: oidc.read_device_code(status, text),
        lambda: oidc.read_discovery(status, text, ISSUER),
        lambda: oidc.check_id_token(text, PROVIDER, CLIENT, None, NOW),
    ):
        with pytest.raises(CredentialsError):
            read()
