"""ID tokens: which claims are refused, and what is no token at all."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.errors import CredentialsError
from aws_runas.signin.id_token import IdToken, check_id_token

NOW = 1_800_000_000.0
ISSUER = "https://idp.example/realms/corp"


def token(**claims: Any) -> str:
    whole = {"iss": ISSUER, "aud": "client", "sub": "jane", "exp": NOW + 300, "nonce": "n"} | claims
    body = base64.urlsafe_b64encode(json.dumps({k: v for k, v in whole.items() if v is not None}).encode()).decode()
    return f"e30.{body.rstrip('=')}.c2ln"


def check(encoded: str, issuer: str = ISSUER) -> IdToken:
    return check_id_token(encoded, issuer=issuer, client_id="client", nonce="n", now=NOW)


def test_a_good_id_token_is_taken() -> None:
    found = check(token(aud=["client", "other"], azp="client"))
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
        check(token(**claims))
    assert caught.value.code == "id-token-invalid"


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
def test_google_may_leave_the_scheme_out_of_iss(issuer: str) -> None:
    assert check(token(iss=issuer), issuer="https://accounts.google.com").issuer == issuer
    with pytest.raises(CredentialsError, match=r"iss is accounts\.google\.com"):
        check(token(iss="accounts.google.com"))


@pytest.mark.parametrize("text", ["", "a.b", "a.!.c", "a.e30", "..", "a.W10.c"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(CredentialsError):
        check(text)


def test_the_tenant_of_the_token_stands_in_the_issuer_of_a_configuration_for_all_tenants() -> None:
    template, issuer = "https://login.example/{tenantid}/v2.0", "https://login.example/t1/v2.0"
    assert check(token(iss=issuer, tid="t1"), issuer=template).issuer == issuer
    with pytest.raises(CredentialsError, match="iss is"):
        check(token(iss=issuer, tid="t2"), issuer=template)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with pytest.raises(CredentialsError):
        check(text)
