"""STS as a real SDK meets it in the sandbox: codes, roles, limits, errors in AWS's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_runas.sandbox.fixtures import EXTERNAL_ID, MFA_SERIAL, role_arn
from aws_runas.sandbox.services.sts import code_at
from aws_runas.sandbox.world import Sandbox

from .clients import client, refusal, user_client

WRONG_CODE = "MultiFactorAuthentication failed with invalid MFA one time pass code."


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return refusal(caught.value)


def test_user_is_who_the_keys_belong_to(sandbox: Sandbox) -> None:
    identity = user_client(sandbox, "sts").get_caller_identity()
    assert identity["Arn"] == "arn:aws:iam::123456789012:user/sandbox-user"
    assert identity["UserId"].startswith("AIDA")


def test_session_token_without_a_code_is_the_user_and_lasts_twelve_hours(sandbox: Sandbox) -> None:
    keys = user_client(sandbox, "sts").get_session_token()["Credentials"]
    left = keys["Expiration"] - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
    assert client(sandbox, "sts", keys=keys).get_caller_identity()["Arn"].endswith(":user/sandbox-user")


def test_mfa_code_opens_the_role_that_wants_one(sandbox: Sandbox) -> None:
    sts = user_client(sandbox, "sts")
    keys = sts.get_session_token(SerialNumber=MFA_SERIAL, TokenCode=sandbox.mfa_code())["Credentials"]
    role = client(sandbox, "sts", keys=keys).assume_role(RoleArn=role_arn("my-role-mfa"), RoleSessionName="me")
    arn = client(sandbox, "sts", keys=role["Credentials"]).get_caller_identity()["Arn"]
    assert arn == role["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/my-role-mfa/me"


def test_mfa_code_may_be_given_to_assume_role_itself(sandbox: Sandbox) -> None:
    user_client(sandbox, "sts").assume_role(
        RoleArn=role_arn("my-role-mfa"), RoleSessionName="me", SerialNumber=MFA_SERIAL, TokenCode=sandbox.mfa_code()
    )


def test_role_that_wants_mfa_is_refused_without(sandbox: Sandbox) -> None:
    sts = user_client(sandbox, "sts")
    keys = sts.get_session_token()["Credentials"]
    for caller in (sts, client(sandbox, "sts", keys=keys)):
        code, message = refused(caller.assume_role, RoleArn=role_arn("my-role-mfa"), RoleSessionName="me")
        assert code == "AccessDenied"
        assert message.startswith("User: arn:aws:iam::123456789012:user/sandbox-user is not authorized to perform: ")


def test_wrong_code_is_refused_as_aws_words_it(sandbox: Sandbox) -> None:
    good = sandbox.mfa_code()
    wrong = f"{(int(good) + 1) % 1_000_000:06d}"
    sts = user_client(sandbox, "sts")
    assert refused(sts.get_session_token, SerialNumber=MFA_SERIAL, TokenCode=wrong) == ("AccessDenied", WRONG_CODE)


def test_code_is_accepted_once(sandbox: Sandbox) -> None:
    code = sandbox.mfa_code()
    sts = user_client(sandbox, "sts")
    sts.get_session_token(SerialNumber=MFA_SERIAL, TokenCode=code)
    assert refused(sts.get_session_token, SerialNumber=MFA_SERIAL, TokenCode=code) == ("AccessDenied", WRONG_CODE)


def test_code_of_the_present_is_that_of_the_seed(make_sandbox: Any) -> None:
    sandbox = make_sandbox()
    code = code_at(sandbox.mfa_seed, int(datetime.now(UTC).timestamp()) // 30)
    user_client(sandbox, "sts").get_session_token(SerialNumber=MFA_SERIAL, TokenCode=code)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"SerialNumber": MFA_SERIAL + "x", "TokenCode": "123456"}, "unable to validate MFA code"),
        ({"SerialNumber": MFA_SERIAL}, "must provide both MFA serial number and one time pass code"),
    ],
)
def test_unknown_device_and_missing_code_are_told_apart(
    sandbox: Sandbox, arguments: dict[str, str], words: str
) -> None:
    code, message = refused(user_client(sandbox, "sts").get_session_token, **arguments)
    assert code == "AccessDenied"
    assert words in message


def test_role_that_does_not_exist_is_access_denied(sandbox: Sandbox) -> None:
    code, message = refused(
        user_client(sandbox, "sts").assume_role, RoleArn=role_arn("no-such-role"), RoleSessionName="me"
    )
    assert code == "AccessDenied"
    assert message.endswith(f"is not authorized to perform: sts:AssumeRole on resource: {role_arn('no-such-role')}")


def test_external_id_is_demanded_where_the_trust_policy_does(sandbox: Sandbox) -> None:
    sts = user_client(sandbox, "sts")
    wanted = {"RoleArn": role_arn("my-role-external"), "RoleSessionName": "me"}
    assert refused(sts.assume_role, **wanted)[0] == "AccessDenied"
    assert refused(sts.assume_role, **wanted, ExternalId="wrong")[0] == "AccessDenied"
    sts.assume_role(**wanted, ExternalId=EXTERNAL_ID)


def test_chained_role_is_for_the_role_that_may_and_for_an_hour(sandbox: Sandbox) -> None:
    wanted = {"RoleArn": role_arn("my-role-chained"), "RoleSessionName": "me"}
    assert refused(user_client(sandbox, "sts").assume_role, **wanted)[0] == "AccessDenied"
    first = user_client(sandbox, "sts").assume_role(RoleArn=role_arn("my-role"), RoleSessionName="me")
    sts = client(sandbox, "sts", keys=first["Credentials"])
    assert sts.assume_role(**wanted, DurationSeconds=3600)["AssumedRoleUser"]["Arn"].endswith("my-role-chained/me")
    code, message = refused(sts.assume_role, **wanted, DurationSeconds=3601)
    assert (code, "1 hour session limit for roles assumed by role chaining" in message) == ("ValidationError", True)


@pytest.mark.parametrize(
    ("role", "seconds", "words"),
    [
        ("my-role", 899, "Member must have value greater than or equal to 900"),
        ("my-role", 43201, "Member must have value less than or equal to 43200"),
        ("my-role-short", 3601, "exceeds the MaxSessionDuration set for this role"),
    ],
)
def test_durations_out_of_range_are_refused(sandbox: Sandbox, role: str, seconds: int, words: str) -> None:
    code, message = refused(
        user_client(sandbox, "sts").assume_role,
        RoleArn=role_arn(role),
        RoleSessionName="me",
        DurationSeconds=seconds,
    )
    assert code == "ValidationError"
    assert words in message


def test_session_credentials_make_no_other_session_token(sandbox: Sandbox) -> None:
    keys = user_client(sandbox, "sts").get_session_token()["Credentials"]
    code, message = refused(client(sandbox, "sts", keys=keys).get_session_token)
    assert (code, message) == ("AccessDenied", "Cannot call GetSessionToken with session credentials")


def test_session_policy_narrows_the_role(sandbox: Sandbox) -> None:
    only_ec2 = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*"}}'
    role = user_client(sandbox, "sts").assume_role(RoleArn=role_arn("my-role"), RoleSessionName="me", Policy=only_ec2)
    keys = role["Credentials"]
    assert client(sandbox, "ec2", keys=keys).describe_instances()["Reservations"]
    assert refused(client(sandbox, "iam", keys=keys).list_roles)[0] == "AccessDenied"


def test_damaged_policy_and_duplicate_tags_are_refused(sandbox: Sandbox) -> None:
    sts = user_client(sandbox, "sts")
    wanted = {"RoleArn": role_arn("my-role"), "RoleSessionName": "me"}
    assert refused(sts.assume_role, **wanted, Policy="{}}")[0] == "MalformedPolicyDocument"
    tags = [{"Key": "team", "Value": "a"}, {"Key": "Team", "Value": "b"}]
    assert refused(sts.assume_role, **wanted, Tags=tags)[0] == "InvalidParameterValue"
    sts.assume_role(**wanted, Tags=tags[:1], TransitiveTagKeys=["team"], SourceIdentity="me")


@pytest.mark.parametrize(
    ("service", "call", "unknown"),
    [
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("iam", "list_users", "InvalidClientTokenId"),
        ("ec2", "describe_instances", "AuthFailure"),
        ("ssm", "describe_instance_information", "UnrecognizedClientException"),
        ("kms", "list_keys", "UnrecognizedClientException"),
    ],
)
def test_unknown_keys_are_refused_by_every_service_in_its_own_words(
    sandbox: Sandbox, service: str, call: str, unknown: str
) -> None:
    keys = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x"}
    assert refused(getattr(client(sandbox, service, keys=keys), call))[0] == unknown


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("ssm", "describe_instance_information", "InvalidSignatureException"),
    ],
)
def test_wrong_secret_is_a_wrong_signature(sandbox: Sandbox, service: str, call: str, code: str) -> None:
    keys = user_client(sandbox, "sts").get_session_token()["Credentials"]
    assert refused(getattr(client(sandbox, service, keys=keys | {"SecretAccessKey": "x"}), call))[0] == code


def test_temporary_keys_want_their_own_token(sandbox: Sandbox) -> None:
    keys = user_client(sandbox, "sts").get_session_token()["Credentials"]
    code, _ = refused(client(sandbox, "sts", keys=keys | {"SessionToken": "x"}).get_caller_identity)
    assert code == "InvalidClientTokenId"


def test_credentials_expire_sooner_when_the_clock_runs_faster(make_sandbox: Any) -> None:
    sandbox = make_sandbox(clock_speed=1e9)
    keys = user_client(sandbox, "sts").get_session_token()["Credentials"]
    assert refused(client(sandbox, "sts", keys=keys).get_caller_identity)[0] == "ExpiredToken"
    assert refused(client(sandbox, "ec2", keys=keys).describe_instances)[0] == "RequestExpired"
    assert refused(client(sandbox, "ssm", keys=keys).describe_instance_information)[0] == "ExpiredTokenException"


def test_clock_that_is_ahead_refuses_our_signatures_and_shows_in_the_date(make_sandbox: Any) -> None:
    sandbox = make_sandbox(clock_offset=600)
    with pytest.raises(ClientError) as caught:
        user_client(sandbox, "sts").get_caller_identity()
    assert refusal(caught.value)[1].startswith("Signature expired")
    date = caught.value.response["ResponseMetadata"]["HTTPHeaders"]["date"]
    ahead = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(minutes=9) < ahead < timedelta(minutes=11)


def test_calls_are_counted(make_sandbox: Any) -> None:
    sandbox = make_sandbox()
    user_client(sandbox, "sts").get_caller_identity()
    assert sandbox.count("GetCallerIdentity") == 1
    assert [(call["service"], call["error"]) for call in sandbox.calls] == [("sts", "")]
    sandbox.forget_calls()
    assert sandbox.calls == []


def test_web_identity_gives_a_role(sandbox: Sandbox) -> None:
    token = (sandbox.directory / "home" / "web-identity-token").read_text()
    role = user_client(sandbox, "sts").assume_role_with_web_identity(
        RoleArn=role_arn("my-role"), RoleSessionName="web", WebIdentityToken=token
    )
    assert role["AssumedRoleUser"]["Arn"].endswith("assumed-role/my-role/web")
