"""docs/reference/permissions.md names every call that we make, and no other."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aws_runas.aws.access import Access
from aws_runas.aws.iam import Iam
from aws_runas.aws.sts import caller_identity
from aws_runas.errors import AwsRunasError
from aws_runas.identity.roles import mfa_devices, own_roles
from aws_runas.targets.resolve import resolve_target
from tests.support.moto_fixtures import moto_url, world
from tests.support.moto_world import ACCOUNT, MotoWorld

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "permissions.md"
_CALL = re.compile(r"`([a-z0-9-]+:[A-Z][A-Za-z0-9]+)`")
# Not calls that we make: the stream, a permission behind a call, and what a database asks for.
OTHERS = {"s3:ListBucket", "ssmmessages:OpenDataChannel", "sts:GetServiceBearerToken", "rds-db:connect"}


def page() -> dict[str, set[str]]:
    """Feature -> the calls of its row."""
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3:
            rows[cells[0]] = set(_CALL.findall(cells[2]))
    return rows


def in_sources() -> set[str]:
    """Every call that stands in a translate(...), and those of the class for IAM."""
    found = set()
    for path in (ROOT / "src" / "aws_runas").rglob("*.py"):
        if "sandbox" in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "translate":
                words = [str(one.value) for one in node.args[:2] if isinstance(one, ast.Constant)]
                if len(words) == 2:
                    found.add(f"{words[0]}:{words[1]}")
    documented = " ".join(method.__doc__ or "" for method in vars(Iam).values() if callable(method))
    for names in re.findall(r"Source: iam ([^.]+)\.", documented):
        for name in names.split(", "):
            front, brace, rest = name.partition("{")
            kinds, _, back = rest.partition("}")
            found |= {f"iam:{front}{kind}{back}" for kind in kinds.split(",")} if brace else {f"iam:{name}"}
    return found


def test_every_call_of_the_sources_is_on_the_page_and_no_other() -> None:
    listed = set().union(*page().values()) - OTHERS
    assert listed == in_sources()


__all__ = ["moto_url", "world"]


@pytest.fixture
def populated(world: MotoWorld) -> MotoWorld:
    """A user with every kind of policy."""
    iam = world.client("iam")
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="team")
    iam.add_user_to_group(GroupName="team", UserName="ann")
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": f"arn:aws:iam::{ACCOUNT}:role/x"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_policy(PolicyName="managed", PolicyDocument=document)["Policy"]["Arn"]
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document)
    iam.attach_user_policy(UserName="ann", PolicyArn=arn)
    iam.put_group_policy(GroupName="team", PolicyName="p", PolicyDocument=document)
    iam.attach_group_policy(GroupName="team", PolicyArn=arn)
    return world


@pytest.fixture
def access(populated: MotoWorld) -> Access:
    world = populated
    key = world.client("iam").create_access_key(UserName="ann")["AccessKey"]
    environ = world.environ(AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"])
    del environ["AWS_SESSION_TOKEN"]
    return world.access(environ=environ)


def _change_password(access: Access) -> None:
    caller_identity(access, user=True)
    Iam(access).change_password("a", "b")


FEATURES: dict[str, tuple[str, Callable[[Access], object]]] = {
    "whoami": ("`whoami`, `-w`", caller_identity),
    "roles": ("`list roles`, `-l`, `-c`", own_roles),
    "mfa": ("`list mfa`, `-m`", mfa_devices),
    "password": ("`password`", _change_password),
    "id": ("target: instance id, `ecs:cluster_task_runtimeid`", lambda access: resolve_target("i-deadbeef", access)),
    "tag": ("target: `tag:value`, IP address, Name tag", lambda access: resolve_target("a:b", access)),
    "address": ("target: `tag:value`, IP address, Name tag", lambda access: resolve_target("10.9.9.9", access)),
    "name": ("target: `tag:value`, IP address, Name tag", lambda access: resolve_target("a b", access)),
}


@pytest.mark.slow
@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_makes_the_calls_of_its_row(world: MotoWorld, access: Access, feature: str) -> None:
    row, work = FEATURES[feature]
    with contextlib.suppress(AwsRunasError):  # no such instance, and moto changes no password: it is asked all the same
        work(access)
    made = {call.replace(" ", ":") for call in world.calls if not call.endswith("GetSessionToken")}
    assert made == page()[row]
