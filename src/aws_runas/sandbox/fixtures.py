"""Contents of a sandbox: one user with an MFA device, roles of every kind, instances and a KMS key.

The contents are fixed, so that documentation and tests can name them. Only keys and seeds are new in each sandbox.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.policy import account_root
from aws_runas.sandbox.services.principals import ACCOUNT, ALPHABET, Principal, new_identifier

if TYPE_CHECKING:
    from moto.ec2.models import EC2Backend
    from moto.iam.models import IAMBackend

USER = "sandbox-user"
USER_PROFILE = "my-profile-user"  # has the user's own keys
MFA_SERIAL = f"arn:aws:iam::{ACCOUNT}:mfa/{USER}"
EXTERNAL_ID = "sandbox-external-id"
WEB_IDENTITY_ROLE = "my-role"  # the only role that trusts web identities
FLEET_ROLE = "deploy-fleet"  # in the other account; the group's policy lets the user assume deploy-* anywhere
KMS_ALIAS = "alias/sandbox"
HOUR = 3600
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """IAM role.

    Args:
        condition: the condition of the trust policy.
        longest: MaxSessionDuration in seconds.
        principal: ARN of the principal that may assume the role; "" for every principal of the account.
        permissions: policy document of the role.
    """

    name: str
    condition: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    longest: int = 12 * HOUR
    principal: str = ""
    permissions: Mapping[str, object] = field(default_factory=lambda: EVERYTHING)


def role_arn(name: str) -> str:
    """Return the ARN of a role of the sandbox."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


READING_ACTIONS = ("ec2:Describe*", "iam:Get*", "iam:List*", "sts:GetCallerIdentity")
READING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": list(READING_ACTIONS), "Resource": "*"}],
}
ROLES = (
    RoleSpec("my-role-mfa", {"Bool": {"aws:MultiFactorAuthPresent": "true"}}),
    RoleSpec("my-role"),
    RoleSpec("my-role-external", {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}),
    RoleSpec("my-role-short", longest=HOUR),
    RoleSpec("my-role-chained", principal=role_arn("my-role")),
    RoleSpec("my-role-reader", permissions=READING),
    RoleSpec("deploy-test"),
)
ASSUMABLE = tuple(role.name for role in ROLES if role.name not in ("my-role-chained", "deploy-test"))


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """EC2 instance.

    Args:
        agent: True if an SSM agent is online.
        programs: "" for the programs of this machine, or ``busybox``, ``no-python`` or ``distroless``.
    """

    instance_id: str
    name: str
    private_ip: str
    public_ip: str | None = None
    running: bool = True
    agent: bool = True
    tags: dict[str, str] = field(default_factory=dict)
    programs: str = ""


INSTANCES = (
    InstanceSpec("i-deadbeef", "web", "10.0.0.10", "203.0.113.10", tags={"Env": "test", "Role": "web"}),
    InstanceSpec(
        "i-0123456789abcdef0", "bastion", "10.0.0.11", "203.0.113.11", tags={"Env": "test", "Role": "bastion"}
    ),
    InstanceSpec("i-0aaaaaaaaaaaaaaa1", "worker", "10.0.0.21", tags={"Env": "prod", "Role": "worker"}),
    InstanceSpec("i-0aaaaaaaaaaaaaaa2", "worker", "10.0.0.22", tags={"Env": "prod", "Role": "worker"}),
    InstanceSpec("i-0bbbbbbbbbbbbbbb1", "stopped", "10.0.0.31", running=False, agent=False, tags={"Env": "test"}),
    InstanceSpec("i-0ccccccccccccccc1", "no-agent", "10.0.0.32", agent=False, tags={"Env": "test"}),
    InstanceSpec("i-0ddddddddddddddd1", "busybox", "10.0.0.41", programs="busybox"),
    InstanceSpec("i-0ddddddddddddddd2", "no-python", "10.0.0.42", programs="no-python"),
    InstanceSpec("i-0ddddddddddddddd3", "distroless", "10.0.0.43", programs="distroless"),
)


def fleet_instances(count: int) -> tuple[InstanceSpec, ...]:
    """Return additional instances for Run Command.

    Args:
        count: number of working instances. If it is not 0, there is also one that is offline, one that hangs, one that
            runs Windows, and one that is listed as online but no longer exists.
    """
    if not count:
        return ()
    tags = {"Fleet": "yes"}
    working = [
        InstanceSpec(
            f"i-0f1ee7{number:011d}", f"fleet-{number:03d}", f"10.1.{number // 250}.{number % 250 + 1}", tags=tags
        )
        for number in range(count)
    ]
    special = [
        InstanceSpec("i-0f1ee7ff000000001", "odd-offline", "10.2.0.1", agent=False, tags={"Odd": "offline"}),
        InstanceSpec("i-0f1ee7ff000000002", "odd-hangs", "10.2.0.2", tags={"Odd": "hangs"}),
        InstanceSpec("i-0f1ee7ff000000003", "odd-windows", "10.2.0.3", tags={"Odd": "windows"}),
        InstanceSpec("i-0f1ee7ff000000004", "odd-vanished", "10.2.0.4", tags={"Odd": "vanished"}),
    ]
    return (*working, *special)


OTHER_REGION = "eu-west-1"  # of some instances for Run Command; us-east-1 if the sandbox is in eu-west-1
MANAGED_NODE = "mi-0123456789abcdef0"  # a machine outside EC2 that SSM manages


@dataclass(frozen=True, slots=True)
class Fixtures:
    """Values that differ in every sandbox: the user's keys and the seed of the MFA device.

    Args:
        mfa_seed: base32.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    mfa_seed: str = field(repr=False)


def populate_iam(moto: Moto) -> Fixtures:
    """Create the user, its MFA device and keys, the group and the roles."""
    iam = moto.iam
    iam.create_user(moto.region, USER).id = new_identifier("AIDA")
    key = iam.create_access_key(USER)
    device = iam.create_virtual_mfa_device(USER, "/")
    device.base32_string_seed = "".join(secrets.choice(ALPHABET) for _ in range(32))
    iam.enable_mfa_device(USER, device.serial_number, "000000", "000000")
    for spec in ROLES:
        _make_role(moto.iam, spec)
    _make_role(moto.other_iam, RoleSpec(FLEET_ROLE))
    actions = [*READING_ACTIONS, "ssm:*", "ssmmessages:*", "kms:*", "ecs:*", "ec2-instance-connect:*"]
    actions += ["iam:ChangePassword", "sts:GetFederationToken"]
    own = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    iam.put_user_policy(USER, "reading", json.dumps({"Version": "2012-10-17", "Statement": [own]}))
    key_actions = ["iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey"]
    own_keys = {"Effect": "Allow", "Action": key_actions, "Resource": f"arn:aws:iam::{ACCOUNT}:user/{USER}"}
    iam.put_user_policy(USER, "own-keys", json.dumps({"Version": "2012-10-17", "Statement": [own_keys]}))
    assume = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]}
    roles = {**assume, "Resource": [role_arn(name) for name in ASSUMABLE]}
    policy = iam.create_policy(
        "", "/", json.dumps({"Version": "2012-10-17", "Statement": [roles]}), "assume-sandbox-roles", []
    )
    iam.attach_user_policy(policy.arn, USER)
    iam.create_group("developers")
    deploy = {**assume, "Resource": [role_arn("deploy-test"), "arn:aws:iam::*:role/deploy-*"]}
    iam.put_group_policy("developers", "deploy", json.dumps({"Version": "2012-10-17", "Statement": [deploy]}))
    iam.add_user_to_group("developers", USER)
    return Fixtures(key.access_key_id, key.secret_access_key, device.base32_string_seed)


def user_principal(moto: Moto) -> Principal:
    """Return the user as a principal of the services."""
    user = moto.iam.users[USER]
    return Principal(user.arn, user.id, user_name=USER)


def _make_role(iam: IAMBackend, spec: RoleSpec) -> None:
    trust: dict[str, object] = {
        "Effect": "Allow",
        "Principal": {"AWS": spec.principal or account_root()},
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
    }
    statements = [trust]
    federated: dict[str, object] = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/sandbox.example"},
        "Action": "sts:AssumeRoleWithWebIdentity",
    }
    if spec.condition:
        trust["Condition"] = spec.condition
    if spec.name == WEB_IDENTITY_ROLE:
        statements.append(federated)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.create_role(spec.name, document, "/", None, "", [], str(spec.longest))
    iam.put_role_policy(spec.name, "permissions", json.dumps(spec.permissions))


def populate_ec2(moto: Moto, more: Sequence[InstanceSpec] = ()) -> None:
    """Create the instances.

    Args:
        more: instances in addition to `INSTANCES`.
    """
    from unittest.mock import patch

    from moto.ec2.models import instances

    ec2 = moto.ec2()
    for spec in (*INSTANCES, *more):
        with patch.object(instances, "random_instance_id", partial(str, spec.instance_id)):
            _make_instance(ec2, spec)


def _make_instance(ec2: EC2Backend, spec: InstanceSpec) -> None:
    reservation = ec2.run_instances(
        "ami-12c6146b",
        1,
        None,
        [],
        instance_type="t3.micro",
        is_instance_type_default=False,
        private_ip=spec.private_ip,
        associate_public_ip=spec.public_ip is not None,
        tags={"instance": {"Name": spec.name, **spec.tags}},
    )
    instance = reservation.instances[0]
    interface = instance.nics[0]
    interface.private_ip_address = spec.private_ip
    interface.public_ip = spec.public_ip
    if not spec.running:
        instance.stop()


def populate_kms(moto: Moto) -> str:
    """Create the key for encrypted sessions, and return its ARN."""
    kms = moto.kms()
    key = kms.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "sandbox sessions", [])
    kms.create_alias(key.id, KMS_ALIAS)
    return str(key.arn)
