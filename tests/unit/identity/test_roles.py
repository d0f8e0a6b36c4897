"""The walk over a user's policies, with IAM played by moto and every call written down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from aws_runas.errors import CredentialsError
from aws_runas.identity.roles import caller_of, mfa_devices, own_roles
from tests.support.moto_world import ACCOUNT, MotoWorld


def role(name: str, account: str = "111111111111") -> str:
    return f"arn:aws:iam::{account}:role/{name}"


def document(resources: str | Iterable[str], effect: str = "Allow") -> str:
    listed = [resources] if isinstance(resources, str) else list(resources)
    statement = {"Effect": effect, "Action": "sts:AssumeRole", "Resource": listed}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class User:
    """A user in moto's IAM with keys of their own."""

    def __init__(self, world: MotoWorld, name: str = "ann", path: str = "/") -> None:
        self.iam = world.client("iam")
        self.name = name
        self.arn = self.iam.create_user(UserName=name, Path=path)["User"]["Arn"]
        self.key = self.iam.create_access_key(UserName=name)["AccessKey"]

    def environ(self, world: MotoWorld) -> dict[str, str]:
        variables = world.environ(
            AWS_ACCESS_KEY_ID=self.key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=self.key["SecretAccessKey"]
        )
        del variables["AWS_SESSION_TOKEN"]
        return variables

    def inline(self, name: str, text: str) -> None:
        self.iam.put_user_policy(UserName=self.name, PolicyName=name, PolicyDocument=text)

    def managed(self, name: str, text: str) -> str:
        arn: str = self.iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"]
        return arn

    def group(self, name: str) -> str:
        self.iam.create_group(GroupName=name)
        self.iam.add_user_to_group(GroupName=name, UserName=self.name)
        return name


@pytest.fixture
def ann(world: MotoWorld) -> User:
    return User(world)


def listed(world: MotoWorld, user: User) -> list[str]:
    return list(own_roles(world.access(environ=user.environ(world)))[1].roles)


def test_every_place_where_a_policy_can_be_is_read(world: MotoWorld, ann: User) -> None:
    ann.inline("inline", document(role("a")))
    ann.iam.attach_user_policy(UserName="ann", PolicyArn=ann.managed("attached", document(role("b"))))
    group = ann.group("team")
    ann.iam.put_group_policy(GroupName=group, PolicyName="inline", PolicyDocument=document(role("c")))
    ann.iam.attach_group_policy(GroupName=group, PolicyArn=ann.managed("shared", document(role("d"))))
    assert listed(world, ann) == [role("a"), role("b"), role("c"), role("d")]
    assert Counter(world.calls) == Counter(
        {
            "sts GetCallerIdentity": 1,
            "iam ListGroupsForUser": 1,
            "iam ListUserPolicies": 1,
            "iam ListAttachedUserPolicies": 1,
            "iam ListGroupPolicies": 1,
            "iam ListAttachedGroupPolicies": 1,
            "iam GetUserPolicy": 1,
            "iam GetGroupPolicy": 1,
            "iam GetPolicy": 2,
            "iam GetPolicyVersion": 2,
        }
    )


def test_the_version_in_force_counts_and_no_other(world: MotoWorld, ann: User) -> None:
    arn = ann.managed("p", document(role("old")))
    ann.iam.attach_user_policy(UserName="ann", PolicyArn=arn)
    ann.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(role("new")), SetAsDefault=True)
    ann.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(role("draft")), SetAsDefault=False)
    assert listed(world, ann) == [role("new")]


def test_a_deny_in_a_group_takes_away_what_the_user_was_given(world: MotoWorld, ann: User) -> None:
    ann.inline("inline", document([role("a"), role("b")]))
    ann.iam.put_group_policy(GroupName=ann.group("g"), PolicyName="no", PolicyDocument=document(role("a"), "Deny"))
    assert listed(world, ann) == [role("b")]


def test_a_policy_that_two_groups_share_is_fetched_once(world: MotoWorld, ann: User) -> None:
    arn = ann.managed("shared", document(role("a")))
    for name in ("g1", "g2"):
        ann.iam.attach_group_policy(GroupName=ann.group(name), PolicyArn=arn)
    assert listed(world, ann) == [role("a")]
    assert Counter(world.calls)["iam GetPolicyVersion"] == 1


def test_all_pages_are_read(world: MotoWorld, ann: User) -> None:
    for number in range(101):  # moto's page holds 100
        ann.iam.attach_user_policy(UserName="ann", PolicyArn=ann.managed(f"p{number}", document(role(f"r{number:03}"))))
    assert listed(world, ann) == [role(f"r{number:03}") for number in range(101)]
    assert Counter(world.calls)["iam ListAttachedUserPolicies"] == 2


def test_patterns_come_with_the_policy_that_has_them(world: MotoWorld, ann: User) -> None:
    ann.inline("wide", document([role("*"), role("a")]))
    found = own_roles(world.access(environ=ann.environ(world)))[1]
    assert found.roles == (role("a"),)
    assert [(one.resource, one.policies) for one in found.patterns] == [(role("*"), ("user ann: wide",))]


def test_a_user_in_a_path_is_known_by_the_last_part(world: MotoWorld) -> None:
    bob = User(world, "bob", "/team/blue/")
    bob.inline("p", document(role("${aws:username}-admin")))
    assert listed(world, bob) == [role("bob-admin")]


def test_a_user_without_policies_may_assume_nothing(world: MotoWorld, ann: User) -> None:
    assert listed(world, ann) == []


def test_for_a_role_profile_its_user_is_asked_about_with_the_users_own_keys(world: MotoWorld, ann: User) -> None:
    ann.inline("p", document(role("a")))
    config = world.home / ".aws" / "config"
    config.parent.mkdir()
    config.write_text(
        f"[profile ann]\naws_access_key_id={ann.key['AccessKeyId']}\n"
        f"aws_secret_access_key={ann.key['SecretAccessKey']}\n"
        f"[profile admin]\nrole_arn={role('a')}\nsource_profile=ann\n"
    )
    access = world.access("admin")
    assert own_roles(access)[1].roles == (role("a"),)
    assert "sts AssumeRole" not in world.calls


@pytest.mark.parametrize(
    ("arn", "kind", "name"),
    [
        ("arn:aws:iam::123456789012:user/ann", "user", "ann"),
        ("arn:aws:iam::123456789012:user/a/b/ann", "user", "ann"),
        ("arn:aws-cn:iam::123456789012:user/ann", "user", "ann"),
        ("arn:aws:sts::123456789012:assumed-role/Admin/session", "role", "Admin"),
    ],
)
def test_the_holder_of_policies_is_told_from_the_arn(arn: str, kind: str, name: str) -> None:
    caller = caller_of(arn)
    assert (caller.holder.kind, caller.holder.name, caller.account) == (kind, name, ACCOUNT)


@pytest.mark.parametrize(
    "arn", ["arn:aws:iam::123456789012:root", "arn:aws:sts::123456789012:federated-user/ann", "nonsense"]
)
def test_who_holds_no_policies_is_told_so(arn: str) -> None:
    with pytest.raises(CredentialsError) as raised:
        caller_of(arn)
    assert raised.value.code == "caller-not-a-user"


def test_the_devices_of_the_user_are_listed_sorted(world: MotoWorld, ann: User) -> None:
    assert mfa_devices(world.access(environ=ann.environ(world))) == []
    serials = []
    for name in ("phone", "key"):
        device: Any = ann.iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
        serials.append(device["SerialNumber"])
        ann.iam.enable_mfa_device(
            UserName="ann",
            SerialNumber=device["SerialNumber"],
            AuthenticationCode1="123456",
            AuthenticationCode2="654321",
        )
    assert mfa_devices(world.access(environ=ann.environ(world))) == sorted(serials)


def test_where_a_role_is_the_first_source_its_own_policies_are_read(world: MotoWorld, ann: User) -> None:
    trust = document("*").replace('"Resource": ["*"]', '"Principal": {"AWS": "*"}')
    own = ann.iam.create_role(RoleName="sso", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    ann.iam.put_role_policy(RoleName="sso", PolicyName="inline", PolicyDocument=document(role("a")))
    ann.iam.attach_role_policy(RoleName="sso", PolicyArn=ann.managed("attached", document(role("b"))))
    got = world.client("sts").assume_role(RoleArn=own, RoleSessionName="session")["Credentials"]
    environ = world.environ(
        AWS_ACCESS_KEY_ID=got["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=got["SecretAccessKey"],
        AWS_SESSION_TOKEN=got["SessionToken"],
    )
    caller, found = own_roles(world.access(environ=environ))
    assert (caller.holder.kind, caller.holder.name) == ("role", "sso")
    assert found.roles == (role("a"), role("b"))
    with pytest.raises(CredentialsError, match="roles have no MFA devices"):
        mfa_devices(world.access(environ=environ))


def test_a_refused_call_is_an_error_and_not_a_shorter_list(world: MotoWorld, ann: User) -> None:
    ann.inline("p", document(role("a")))
    access = world.access(environ=ann.environ(world))

    def refuse(model: Any, **_: Any) -> tuple[Any, dict[str, Any]] | None:
        if model.name != "ListAttachedUserPolicies":
            return None
        answer = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        return type("Http", (), {"status_code": 403})(), answer

    access.user_client("iam").meta.events.register("before-call", refuse)
    with pytest.raises(CredentialsError) as raised:
        own_roles(access)
    assert raised.value.hint == "the identity needs the permission iam:ListAttachedUserPolicies"
