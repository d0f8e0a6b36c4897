"""What STS refuses, in our words; a kept answer that has gone stale; and who may sign in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aws_runas.aws.access import Access
from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.errors import AwsRunasError
from aws_runas.signin.context import RunContext
from tests.support import saml
from tests.support.sts_server import Sts, running_sts

DENIED = "Not authorized to perform sts:AssumeRoleWithSAML"


@pytest.fixture(scope="module")
def server() -> Iterator[Sts]:
    with running_sts() as running:
        yield running


@pytest.fixture
def sts(server: Sts) -> Sts:
    server.errors.clear()
    server.calls.clear()
    return server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir(mode=0o700)
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\ncat {tmp_path}/response\n")
    program.chmod(0o755)
    (tmp_path / "response").write_text(saml.response([saml.pair("a"), saml.pair("b")], sign=""))
    (tmp_path / ".aws" / "config").write_text(
        f"[profile p]\nregion = us-east-1\nsaml_process = {program}\nrole_arn = {saml.role('a')}\n"
        f"[profile q]\nregion = us-east-1\nsaml_process = {program}\nrole_arn = {saml.role('b')}\n"
        f"[profile w]\nregion = us-east-1\nsaml_auth_url = https://idp.invalid/\nrole_arn = {saml.role('a')}\n"
    )
    return tmp_path


def access(home: Path, sts: Sts, name: str = "p", **overrides: Any) -> Access:
    environ = {"HOME": str(home), "AWS_ENDPOINT_URL_STS": sts.url}
    return open_access(
        name,
        Overrides(**overrides),
        RunContext(environ=environ, home=home, now=time.time, warn=lambda _: None),
        Prompts(lambda _: ""),
    )


def runs(home: Path) -> int:
    path = home / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_the_call_is_unsigned_and_has_what_was_configured(home: Path, sts: Sts) -> None:
    access(home, sts, role_duration=1800).provider.credentials()
    (call,) = sts.calls
    assert (call.action, call.key_id, call.session_token) == ("AssumeRoleWithSAML", "", None)
    assert call.parameters["RoleArn"] == saml.role("a")
    assert call.parameters["PrincipalArn"] == saml.PROVIDER
    assert call.parameters["DurationSeconds"] == "1800"


def test_the_assertion_may_shorten_the_session(home: Path, sts: Sts) -> None:
    short = saml.response([saml.pair("a")], sign="", attributes={"SessionDuration": "900"})
    (home / "response").write_text(short)
    access(home, sts).provider.credentials()
    assert sts.calls[0].parameters["DurationSeconds"] == "900"


def test_two_roles_cost_one_sign_in_and_cached_credentials_none(home: Path, sts: Sts) -> None:
    for name in ("p", "q", "p", "q"):
        access(home, sts, name).provider.credentials()
    assert runs(home) == 1
    assert [call.parameters["RoleArn"] for call in sts.calls] == [saml.role("a"), saml.role("b")]


@pytest.mark.parametrize(
    ("aws", "message", "code", "words"),
    [
        ("IDPRejectedClaim", "no", "identity-rejected", ["rejected"]),
        ("InvalidIdentityToken", "bad", "identity-invalid", [f"sent: provider {saml.PROVIDER}"]),
        ("AccessDenied", DENIED, "role-denied", [f"sent: audience {saml.AUDIENCE}", f"sent: issuer {saml.ISSUER}"]),
        ("PackedPolicyTooLarge", "too big", "packed-policy-too-large", []),
        ("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
         "role-duration-refused", ["1h (default)"]),
        ("MalformedInput", "odd", "aws-error", ["odd"]),
    ],
)  # fmt: skip
def test_each_refusal_has_its_words(home: Path, sts: Sts, aws: str, message: str, code: str, words: list[str]) -> None:
    sts.errors["AssumeRoleWithSAML"] = (400, aws, message)
    with pytest.raises(AwsRunasError) as caught:
        access(home, sts).provider.credentials()
    assert (caught.value.code, caught.value.exit_status) == (code, 4)
    shown = "\n".join([caught.value.message, *caught.value.details])
    for word in words:
        assert word in shown
    assert "SAMLAssertion" not in shown


def test_an_answer_that_aws_calls_expired_is_replaced_once(home: Path, sts: Sts) -> None:
    sts.errors["AssumeRoleWithSAML"] = (400, "ExpiredTokenException", "Token must be redeemed within 5 minutes")
    with pytest.raises(AwsRunasError) as caught:
        access(home, sts).provider.credentials()
    assert caught.value.code == "assertion-expired"
    assert runs(home) == 2


def test_a_provider_that_aws_cannot_reach_is_asked_for_three_times_at_least(home: Path, sts: Sts) -> None:
    sts.errors["AssumeRoleWithSAML"] = (400, "IDPCommunicationError", "unreachable")
    with pytest.raises(AwsRunasError) as caught:
        access(home, sts).provider.credentials()
    assert caught.value.code == "idp-unreachable"
    assert caught.value.hint == "try again in a moment"
    assert len(sts.calls) >= 3


def test_nobody_signs_in_where_nobody_can_be_asked(home: Path, sts: Sts) -> None:
    with pytest.raises(AwsRunasError) as caught:
        access(home, sts, "w").provider.credentials()
    assert (caught.value.code, caught.value.hint) == ("login-needed", "run: aws-runas login w")
    assert sts.calls == []


def test_an_entry_of_one_duration_is_not_that_of_another(home: Path, sts: Sts) -> None:
    access(home, sts).provider.credentials()
    access(home, sts, role_duration=1800).provider.credentials()
    assert len(sts.calls) == 2
