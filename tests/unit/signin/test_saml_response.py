"""What is read of a SAML response, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.config.profile import FederatedSource, Role, Setting
from aws_runas.credentials.saml import choose_role
from aws_runas.errors import CredentialsError
from aws_runas.signin.person import Person
from aws_runas.signin.saml_response import OfferedRole, SamlResponse, read_response
from tests.support import saml

NOW = 1_800_000_000.0


def read(*roles: str, **more: object) -> SamlResponse:
    now = datetime.fromtimestamp(NOW, UTC)
    return read_response(saml.response(roles, now=now, sign="", **more), NOW)  # type: ignore[arg-type]


def encoded(text: str, encoding: str = "utf-8") -> str:
    return base64.b64encode(text.encode(encoding)).decode()


def test_roles_are_read_in_both_orders_and_with_spaces() -> None:
    found = read(saml.pair("a"), f" {saml.PROVIDER} , {saml.role('b')} ")
    assert found.roles == tuple(OfferedRole(saml.role(name), saml.PROVIDER) for name in ("a", "b"))


def test_what_messages_need_is_read() -> None:
    more = {"SessionDuration": "900", "SourceIdentity": "jane", "PrincipalTag:Team": "blue"}
    found = read(saml.pair("a"), attributes=more, lifetime=120)
    assert (found.issuer, found.audience, found.recipient) == (saml.ISSUER, saml.AUDIENCE, saml.RECIPIENT)
    assert (found.session_duration, found.source_identity, found.tags) == (900, "jane", (("Team", "blue"),))
    assert (found.session_name, found.usable_until) == ("jane", NOW + 120)


def test_a_response_is_never_used_longer_than_aws_does() -> None:
    assert read(saml.pair("a"), lifetime=86400).usable_until == NOW + 300


@pytest.mark.parametrize("value", ["899", "43201", "soon", "-900", "9" * 30])
def test_a_session_duration_that_aws_would_refuse_is_not_believed(value: str) -> None:
    assert read(saml.pair("a"), attributes={"SessionDuration": value}).session_duration is None


def test_an_encrypted_assertion_shows_nothing() -> None:
    found = read_response(saml.encrypted(), NOW)
    assert (found.encrypted, found.roles) == (True, ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!", "not base64"),
        (encoded("hello"), "not XML"),
        (encoded("<a/>"), "another kind"),
        (encoded(f"<samlp:Response {saml.NAMESPACES}/>"), "no assertion"),
        (encoded("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>"), "document type"),
        # the bytes of UTF-16 have no "<!"; the parser knows better
        (encoded("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "utf-16"), "document type"),
        ("A" * 100_004, "more than AWS takes"),
    ],
)
def test_what_is_no_response_is_refused(text: str, words: str) -> None:
    with pytest.raises(CredentialsError, match=words) as caught:
        read_response(text, NOW)
    assert caught.value.code == "saml-response-invalid"


def test_a_comma_in_the_name_of_a_role_is_a_part_of_it() -> None:
    for value in (f"{saml.role('a,b')},{saml.PROVIDER}", f"{saml.PROVIDER} , {saml.role('a,b')}"):
        assert read(value).roles == (OfferedRole(saml.role("a,b"), saml.PROVIDER),)


def test_roles_of_other_applications_are_left_out() -> None:
    assert read("msiam_access", saml.pair("a"), "User").roles == (OfferedRole(saml.role("a"), saml.PROVIDER),)


def test_each_role_may_be_an_attribute_of_its_own() -> None:
    text = base64.b64decode(saml.response([saml.pair("a"), saml.pair("b")], sign="")).decode()
    apart = text.replace(
        "</saml:AttributeValue><saml:AttributeValue",
        f'</saml:AttributeValue></saml:Attribute><saml:Attribute Name="{saml.AWS}Role"><saml:AttributeValue',
    )
    assert apart != text
    assert [role.role_arn for role in read_response(encoded(apart), NOW).roles] == [saml.role("a"), saml.role("b")]


def test_a_role_without_its_provider_is_refused() -> None:
    with pytest.raises(CredentialsError, match="not a role ARN and a provider ARN"):
        read(saml.role("a"))


def test_the_refusal_of_the_provider_is_shown() -> None:
    status = (
        f"<samlp:Response {saml.NAMESPACES}><samlp:Status><samlp:StatusCode Value='urn:oasis:names:tc:SAML:2.0:status:"
        "Responder'/><samlp:StatusMessage>You may not\x7f</samlp:StatusMessage></samlp:Status></samlp:Response>"
    )
    with pytest.raises(CredentialsError, match="You may not") as caught:
        read_response(encoded(status), NOW)
    assert caught.value.code == "login-denied"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for text in (base64.b64encode(content).decode(), content.decode("latin-1")):
        with contextlib.suppress(CredentialsError):
            read_response(text, time.time())


def source(role: str | None = None, principal: str | None = None) -> FederatedSource:
    wanted = Role(role, "p", "me", Setting(3600, "default")) if role else None
    return FederatedSource(
        "saml", "https://idp.example/", "browser", "browser", "p", "o", wanted, principal_arn=principal
    )


OFFERED = (saml.pair("a"), saml.pair("b"))


def test_the_configured_role_is_chosen() -> None:
    assert choose_role(source(saml.role("b")), read(*OFFERED), Person()).role_arn == saml.role("b")


def test_a_role_that_is_not_offered_lists_those_that_are() -> None:
    with pytest.raises(CredentialsError) as caught:
        choose_role(source(saml.role("c")), read(*OFFERED), Person())
    assert (caught.value.code, caught.value.details) == ("saml-role-not-offered", (saml.role("a"), saml.role("b")))


def test_the_only_role_is_chosen_and_several_are_asked_for() -> None:
    assert choose_role(source(), read(OFFERED[0]), Person()).role_arn == saml.role("a")
    person = Person(choose=lambda _title, rows: list(rows).index(saml.role("b")))
    assert choose_role(source(), read(*OFFERED), person).role_arn == saml.role("b")
    with pytest.raises(CredentialsError) as caught:
        choose_role(source(), read(*OFFERED), Person())
    assert caught.value.code == "saml-role-ambiguous"


def test_no_role_is_an_error_of_its_own() -> None:
    with pytest.raises(CredentialsError) as caught:
        choose_role(source(), read(), Person())
    assert caught.value.code == "saml-no-role"
    assert caught.value.hint == "ask its administrators to assign one to you"


def test_an_encrypted_assertion_needs_role_and_provider() -> None:
    found = read_response(saml.encrypted(), NOW)
    with pytest.raises(CredentialsError, match="must both be set") as caught:
        choose_role(source(saml.role("a")), found, Person())
    assert caught.value.code == "saml-encrypted"
    assert choose_role(source(saml.role("a"), saml.PROVIDER), found, Person()) == OfferedRole(
        saml.role("a"), saml.PROVIDER
    )
