"""Keys, session token, role: which STS calls are made, by whom, with what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aws_runas.config.resolve import Overrides
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError, UsageError
from tests.support.sts_server import MFA, ROLE
from tests.unit.credentials.conftest import World


def test_user_keys_become_a_session_token_and_that_a_role(world: World) -> None:
    world.answers = ["123456"]
    found = world.access("role").provider.credentials()
    assert found.access_key_id.startswith("ASIAROLE")
    session, role = world.sts.calls
    assert session.action == "GetSessionToken"
    assert session.key_id == "AKIAUSEREXAMPLE"
    assert session.parameters["SerialNumber"] == MFA
    assert session.parameters["TokenCode"] == "123456"
    assert session.parameters["DurationSeconds"] == "43200"
    assert role.action == "AssumeRole"
    assert role.key_id.startswith("ASIASESSION")
    assert role.session_token is not None
    assert role.parameters["RoleArn"] == ROLE + "Role"
    assert role.parameters["DurationSeconds"] == "3600"
    assert role.parameters["RoleSessionName"] == "aws-runas-tester"
    assert "TokenCode" not in role.parameters


def test_one_code_serves_all_roles_of_the_user_in_all_regions(world: World) -> None:
    world.answers = ["123456"]
    for name in ("role", "other", "chained"):
        world.access(name).provider.credentials()
    world.access("role", AWS_REGION="ap-south-1").provider.credentials()
    assert world.sts.actions().count("GetSessionToken") == 1
    assert len(world.questions) == 1


def test_a_second_start_asks_nothing(world: World) -> None:
    world.answers = ["123456"]
    first = world.access("role").provider.credentials()
    assert world.access("role").provider.credentials() == first
    assert len(world.sts.calls) == 2


def test_a_user_without_a_role_gets_the_session_token(world: World) -> None:
    world.answers = ["123456"]
    assert world.access("user").provider.credentials().access_key_id.startswith("ASIASESSION")
    assert world.sts.actions() == ["GetSessionToken"]


def test_a_user_without_a_device_is_asked_no_code(world: World) -> None:
    world.access("plainrole").provider.credentials()
    assert world.questions == []
    assert "SerialNumber" not in world.sts.calls[0].parameters


def test_session_flag_gives_the_session_token_of_a_role_profile(world: World) -> None:
    world.answers = ["123456"]
    found = world.access("role", Overrides(use_session_token=True)).provider.credentials()
    assert found.access_key_id.startswith("ASIASESSION")
    assert world.sts.actions() == ["GetSessionToken"]


def test_session_variable_does_the_same(world: World) -> None:
    found = world.access("plainrole", RUNAS_SESSION_CREDENTIALS="yes").provider.credentials()
    assert found.access_key_id.startswith("ASIASESSION")


def test_a_chain_is_assumed_in_order_each_role_by_the_one_before(world: World) -> None:
    world.answers = ["123456"]
    world.access("chained").provider.credentials()
    _session, first, second = world.sts.calls
    assert [first.parameters["RoleArn"], second.parameters["RoleArn"]] == [ROLE + "Role", ROLE + "Chained"]
    assert second.key_id.startswith("ASIAROLE")
    assert second.parameters["ExternalId"] == "of-chained"
    assert "ExternalId" not in first.parameters


def test_temporary_keys_skip_the_session_token(world_with: Callable[[str], World]) -> None:
    world = world_with(
        f"[profile temporary]\naws_access_key_id = ASIAMINE\naws_secret_access_key = s\naws_session_token = t\n"
        f"[profile overtemporary]\nrole_arn = {ROLE}T\nsource_profile = temporary\n"
    )
    world.access("overtemporary").provider.credentials()
    assert world.sts.actions() == ["AssumeRole"]
    assert world.sts.calls[0].key_id == "ASIAMINE"
    assert world.access("temporary").provider.credentials().access_key_id == "ASIAMINE"


def test_a_process_that_prints_own_keys_is_a_user(world_with: Callable[[str], World]) -> None:
    document = '{"Version": 1, "AccessKeyId": "AKIAPROC", "SecretAccessKey": "s"}'
    world = world_with(
        f"[profile process]\ncredential_process = echo '{document}'\n"
        f"[profile overprocess]\nrole_arn = {ROLE}P\nsource_profile = process\n"
    )
    world.access("overprocess").provider.credentials()
    assert world.sts.actions() == ["GetSessionToken", "AssumeRole"]
    assert world.sts.calls[0].key_id == "AKIAPROC"


def test_a_process_that_prints_temporary_keys_skips_the_session_token(world_with: Callable[[str], World]) -> None:
    document = (
        '{"Version": 1, "AccessKeyId": "ASIAPROC", "SecretAccessKey": "s", "SessionToken": "t",'
        ' "Expiration": "2099-01-01T00:00:00Z"}'
    )
    world = world_with(
        f"[profile process]\ncredential_process = echo '{document}'\n"
        f"[profile overprocess]\nrole_arn = {ROLE}P\nsource_profile = process\n"
    )
    world.access("overprocess").provider.credentials()
    assert world.sts.actions() == ["AssumeRole"]
    assert world.access("process").provider.credentials().access_key_id == "ASIAPROC"


def test_more_than_an_hour_is_assumed_with_the_users_own_keys(world: World) -> None:
    world.answers = ["123456"]
    found = world.access("role", Overrides(role_duration=7200)).provider.credentials()
    (call,) = world.sts.calls
    assert call.key_id == "AKIAUSEREXAMPLE"
    assert call.parameters["DurationSeconds"] == "7200"
    assert call.parameters["TokenCode"] == "123456"
    assert found.expiration is not None


@pytest.mark.parametrize(
    ("overrides", "environ", "kind"),
    [
        (Overrides(role_duration=3601), {}, UsageError),
        (Overrides(), {"CREDENTIALS_DURATION": "2h"}, ConfigError),
    ],
)
def test_more_than_an_hour_on_a_chain_is_refused_before_anybody_is_asked(
    world: World, overrides: Overrides, environ: dict[str, str], kind: type[AwsRunasError]
) -> None:
    access = world.access("chained", overrides, **environ)
    with pytest.raises(kind, match="caps roles assumed with another role at 1h"):
        access.provider.credentials()
    assert world.sts.calls == []
    assert world.questions == []


def test_more_than_an_hour_with_temporary_keys_is_refused(world: World) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "ASIAENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    access = world.access(ROLE + "X", Overrides(role_duration=7200), **environ)
    with pytest.raises(UsageError, match="temporary keys at 1h"):
        access.provider.credentials()
    assert world.sts.calls == []


def test_refresh_fetches_session_token_and_role_anew(world: World) -> None:
    world.sts.codes = {"111111", "222222"}
    world.answers = ["111111", "222222"]
    first = world.access("role").provider.credentials()
    second = world.access("role", Overrides(refresh=True)).provider.credentials()
    assert first != second
    assert world.sts.actions() == ["GetSessionToken", "AssumeRole"] * 2
    assert world.access("role").provider.credentials() == second


def test_a_cached_session_token_that_aws_forgot_is_fetched_anew(world: World) -> None:
    world.sts.codes = {"111111", "222222"}
    world.answers = ["111111", "222222"]
    world.access("role").provider.credentials()
    world.sts.dead_keys = {world.sts.calls[1].key_id}
    world.access("other").provider.credentials()
    assert world.sts.actions()[2:] == ["AssumeRole", "GetSessionToken", "AssumeRole"]


def test_every_parameter_of_a_session_is_sent(world: World) -> None:
    overrides = Overrides(
        role_session_name="bob",
        external_id="ext",
        session_tags=(("Team", "blue"), ("Cost", "42")),
        transitive_tags=("Team",),
        source_identity="bob@example.com",
        policy='{"Version": "2012-10-17", "Statement": []}',
        policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
    )
    world.access("plainrole", overrides).provider.credentials()
    sent = world.sts.calls[-1].parameters
    assert sent["RoleSessionName"] == "bob"
    assert sent["ExternalId"] == "ext"
    assert (sent["Tags.member.1.Key"], sent["Tags.member.1.Value"]) == ("Team", "blue")
    assert (sent["Tags.member.2.Key"], sent["Tags.member.2.Value"]) == ("Cost", "42")
    assert sent["TransitiveTagKeys.member.1"] == "Team"
    assert sent["SourceIdentity"] == "bob@example.com"
    assert sent["Policy"] == '{"Version":"2012-10-17","Statement":[]}'
    assert sent["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/ReadOnlyAccess"


def test_the_users_own_keys_sign_for_iam(world: World) -> None:
    assert world.access("role").user_provider.credentials().access_key_id == "AKIAUSEREXAMPLE"
    assert world.sts.calls == []


def test_a_client_signs_with_the_role_and_asks_where_the_profile_says(world: World) -> None:
    access = world.access("plainrole")
    access.client("sts").get_caller_identity()
    assert world.sts.calls[-1].key_id.startswith("ASIAROLE")
    assert access.region() == "us-east-1"


def test_what_needs_a_region_says_how_to_set_one(world: World) -> None:
    (world.home / ".aws" / "config").write_text("")
    access = world.access("plain")
    with pytest.raises(ConfigError, match="no region") as caught:
        access.client("ec2")
    assert caught.value.code == "region-missing"
    assert "AWS_REGION" in (caught.value.hint or "")
    access.user_client("iam")


def test_no_credentials_is_an_error_that_says_what_to_do(world: World) -> None:
    with pytest.raises(CredentialsError) as caught:
        world.access().provider.credentials()
    assert caught.value.code == "credentials-missing"
    assert "AWS_ACCESS_KEY_ID" in (caught.value.hint or "")
