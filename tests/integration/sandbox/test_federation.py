"""AssumeRoleWithSAML and AssumeRoleWithWebIdentity in the sandbox, called by a real SDK without any keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from joserfc.jwk import RSAKey

from aws_runas.sandbox.world import Sandbox
from tests.support import oidc, saml

from .clients import client, refusal, user_client


@pytest.fixture(scope="module")
def issuer() -> Iterator[oidc.Issuer]:
    with oidc.running_issuer() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _providers(sandbox: Sandbox, issuer: oidc.Issuer) -> None:
    """Register both providers through IAM, as a user does, and the roles that trust them."""
    admin = user_client(sandbox, "sts").assume_role(RoleArn=saml.role("my-role"), RoleSessionName="admin")
    iam = client(sandbox, "iam", keys=admin["Credentials"])
    iam.create_saml_provider(Name="idp", SAMLMetadataDocument=saml.metadata())
    arn = iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=["client"])["OpenIDConnectProviderArn"]
    name = issuer.url.removeprefix("http://")
    signin = {"StringEquals": {"SAML:aud": saml.RECIPIENT, "SAML:iss": saml.ISSUER}}
    make_role(iam, "saml-role", "sts:AssumeRoleWithSAML", saml.PROVIDER, signin)
    make_role(iam, "saml-other", "sts:AssumeRoleWithSAML", saml.PROVIDER, {"StringEquals": {"SAML:sub": "john"}})
    make_role(iam, "saml-plain", ["sts:AssumeRoleWithSAML"], saml.PROVIDER, {})
    tagging = ["sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"]
    make_role(iam, "saml-tags", tagging, saml.PROVIDER, {})
    make_role(iam, "web-role", "sts:AssumeRoleWithWebIdentity", arn, {"StringEquals": {f"{name}:sub": "jane"}})


def make_role(iam: Any, name: str, action: object, principal: str, condition: object) -> None:
    statement = {"Effect": "Allow", "Action": action, "Principal": {"Federated": principal}, "Condition": condition}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document), MaxSessionDuration=7200)


@pytest.fixture
def sts(sandbox: Sandbox) -> Any:
    session = botocore.session.Session()
    config = Config(signature_version=UNSIGNED, retries={"max_attempts": 1}, parameter_validation=False)
    return session.create_client("sts", region_name="us-east-1", endpoint_url=sandbox.endpoint, config=config)


def assume(sts: Any, response: str, role: str = "saml-role", **more: Any) -> Any:
    return sts.assume_role_with_saml(
        RoleArn=saml.role(role), PrincipalArn=saml.PROVIDER, SAMLAssertion=response, **more
    )


def refused(sts: Any, response: str, role: str = "saml-role", **more: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        assume(sts, response, role, **more)
    return refusal(caught.value)


ALL = [saml.pair(name) for name in ("saml-role", "saml-other", "saml-plain", "saml-tags", "my-role")]


@pytest.mark.parametrize("sign", ["response", "assertion"])
def test_signed_response_opens_the_role(sandbox: Sandbox, sts: Any, sign: str) -> None:
    answer = assume(sts, saml.response(ALL, sign=sign))
    assert (answer["Issuer"], answer["Audience"], answer["Subject"]) == (saml.ISSUER, saml.RECIPIENT, "jane")
    caller = client(sandbox, "sts", keys=answer["Credentials"]).get_caller_identity()
    assert caller["Arn"] == "arn:aws:sts::123456789012:assumed-role/saml-role/jane"


def test_role_and_provider_may_stand_in_either_order(sts: Any) -> None:
    assume(sts, saml.response([f"{saml.PROVIDER} , {saml.role('saml-role')}"]))


def test_unsigned_changed_and_foreign_responses_are_refused(sts: Any) -> None:
    good = saml.response(ALL)
    for response in (
        saml.response(ALL, sign=""),
        saml.changed(good, ">jane<", ">john<"),
        saml.response(ALL, common_name="somebody else"),
    ):
        assert refused(sts, response) == ("InvalidIdentityToken", "Response signature invalid")
    half = saml.changed(saml.response(ALL, sign="assertion"), ">jane<", ">john<")
    assert refused(sts, half) == ("InvalidIdentityToken", "SAML Assertion signature is invalid")


def test_assertion_beside_the_signed_one_is_refused(sts: Any) -> None:
    forged = '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_x"/></samlp:Response>'
    wrapped = saml.changed(saml.response(ALL), "</samlp:Response>", forged)
    assert refused(sts, wrapped)[0] == "InvalidIdentityToken"


def test_times_are_checked(sts: Any) -> None:
    old = saml.response(ALL, now=datetime.now(UTC) - timedelta(minutes=6), lifetime=3600)
    assert refused(sts, old) == ("ExpiredTokenException", "Token must be redeemed within 5 minutes of issuance")
    ended = saml.response(ALL, now=datetime.now(UTC) - timedelta(minutes=1), lifetime=30)
    assert refused(sts, ended)[0] == "ExpiredTokenException"
    future = saml.response(ALL, now=datetime.now(UTC) + timedelta(minutes=10))
    assert refused(sts, future)[0] == "InvalidIdentityToken"


def test_audience_issuer_and_provider_are_checked(sts: Any) -> None:
    assert "audience" in refused(sts, saml.response(ALL, audience="https://sp.example"))[1]
    assert "Issuer" in refused(sts, saml.response(ALL, issuer="https://elsewhere.example"))[1]
    with pytest.raises(ClientError, match="Specified provider doesn't exist"):
        sts.assume_role_with_saml(
            RoleArn=saml.role("saml-role"), PrincipalArn=f"{saml.PROVIDER}-2", SAMLAssertion=saml.response(ALL)
        )


def test_trust_policy_and_the_offered_roles_decide(sts: Any) -> None:
    denied = ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML")
    assert refused(sts, saml.response([saml.pair("saml-plain")]), "saml-role") == denied  # not offered
    assert refused(sts, saml.response(ALL), "saml-other") == denied  # SAML:sub
    assert refused(sts, saml.response(ALL), "my-role") == denied  # trusts no provider
    assert refused(sts, saml.response(ALL, recipient="https://signin.amazonaws.cn/saml")) == denied  # SAML:aud


def test_durations_are_checked(sts: Any) -> None:
    code, message = refused(sts, saml.response(ALL), DurationSeconds=10800)
    assert (code, message) == (
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    )
    short = assume(sts, saml.response(ALL, attributes={"SessionDuration": "900"}), DurationSeconds=3600)
    assert short["Credentials"]["Expiration"] - datetime.now(UTC) <= timedelta(seconds=900)


def test_source_identity_and_tags_need_their_permission(sts: Any) -> None:
    brought = saml.response(ALL, attributes={"SourceIdentity": "jane", "PrincipalTag:Team": "blue"})
    assert refused(sts, brought)[0] == "AccessDenied"
    assert assume(sts, brought, "saml-tags")["SourceIdentity"] == "jane"


def test_session_name_is_required(sts: Any) -> None:
    nameless = saml.response(ALL, attributes={"RoleSessionName": "no spaces please"})
    assert "RoleSessionName" in refused(sts, nameless)[1]


def web(sts: Any, token: str, role: str = "web-role") -> Any:
    return sts.assume_role_with_web_identity(RoleArn=saml.role(role), RoleSessionName="jane", WebIdentityToken=token)


def test_id_token_opens_the_role(sandbox: Sandbox, sts: Any, issuer: oidc.Issuer) -> None:
    answer = web(sts, issuer.token())
    assert (answer["SubjectFromWebIdentityToken"], answer["Audience"]) == ("jane", "client")
    caller = client(sandbox, "sts", keys=answer["Credentials"]).get_caller_identity()
    assert caller["Arn"].endswith(":assumed-role/web-role/jane")


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "somebody"}, "InvalidIdentityToken"),
        ({"iss": "http://127.0.0.1:1"}, "InvalidIdentityToken"),
        ({"exp": 1}, "ExpiredTokenException"),
        ({"sub": "john"}, "AccessDenied"),
    ],
)
def test_id_token_with_a_wrong_claim_is_refused(sts: Any, issuer: oidc.Issuer, claims: Any, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        web(sts, issuer.token(**claims))
    assert refusal(caught.value)[0] == code


def test_id_token_of_another_key_is_refused(sts: Any, issuer: oidc.Issuer) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False)
    with pytest.raises(ClientError, match="verify the signature"):
        web(sts, issuer.token(key=stranger))
    header, body, signature = issuer.token().split(".")
    other = issuer.token(sub="john").split(".")[1]
    with pytest.raises(ClientError, match="verify the signature"):
        web(sts, f"{header}.{other}.{signature}")
    assert body != other
