"""Why a target is not connected: one cause, one hint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aws_runas.cli.session.open import session_api
from aws_runas.errors import TargetError
from aws_runas.targets.facts import why_not_connected
from tests.support.moto_world import REGION, MotoWorld
from tests.support.scripted_aws import Answer, ScriptedAws, scripted_aws

NOT_CONNECTED: Answer = (400, {"__type": "TargetNotConnected", "message": "i-x is not connected."})


def information(*found: dict[str, Any]) -> list[Answer]:
    return [(200, {"InstanceInformationList": list(found)})]


def hint(target: str, ssm: ScriptedAws, moto_url: str, home: Path) -> str:
    world = MotoWorld(moto_url, home)
    return why_not_connected(target, world.access(environ=world.environ(AWS_ENDPOINT_URL_SSM=ssm.url)))


def started(world: MotoWorld, **more: Any) -> str:
    reply = world.client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, **more)
    instance_id: str = reply["Instances"][0]["InstanceId"]
    return instance_id


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("ConnectionLost", "does not report since 20"),
        ("Inactive", "has not reported since 20"),
        ("Online", "ssmmessages"),
    ],
)
def test_what_systems_manager_knows_decides(world: MotoWorld, tmp_path: Path, state: str, words: str) -> None:
    node = {"InstanceId": "i-deadbeef", "PingStatus": state, "LastPingDateTime": 1_700_000_000}
    with scripted_aws(DescribeInstanceInformation=information(node)) as ssm:
        assert words in hint("i-deadbeef", ssm, world.url, tmp_path)


def test_an_instance_of_another_region_is_told_of(world: MotoWorld, tmp_path: Path) -> None:
    with scripted_aws(DescribeInstanceInformation=information()) as ssm:
        assert hint("i-deadbeef", ssm, world.url, tmp_path).startswith(f"there is no such instance in {REGION}")


def test_a_stopped_instance_is_told_of(world: MotoWorld, tmp_path: Path) -> None:
    instance_id = started(world)
    world.client("ec2").stop_instances(InstanceIds=[instance_id])
    with scripted_aws(DescribeInstanceInformation=information()) as ssm:
        assert hint(instance_id, ssm, world.url, tmp_path) == "the instance is stopped, not running"


def test_an_instance_without_a_profile_is_told_of(world: MotoWorld, tmp_path: Path) -> None:
    with scripted_aws(DescribeInstanceInformation=information()) as ssm:
        assert "has no instance profile" in hint(started(world), ssm, world.url, tmp_path)


def test_an_agent_that_never_came_is_told_of(world: MotoWorld, tmp_path: Path) -> None:
    iam = world.client("iam")
    iam.create_instance_profile(InstanceProfileName="ssm")
    try:
        instance_id = started(world, IamInstanceProfile={"Name": "ssm"})
        with scripted_aws(DescribeInstanceInformation=information()) as ssm:
            assert "never registered" in hint(instance_id, ssm, world.url, tmp_path)
    finally:
        iam.delete_instance_profile(InstanceProfileName="ssm")


def test_a_managed_node_is_not_looked_for_in_ec2(world: MotoWorld, tmp_path: Path) -> None:
    with scripted_aws(DescribeInstanceInformation=information()) as ssm:
        assert "no managed node of that id" in hint("mi-0123456789abcdef0", ssm, world.url, tmp_path)


def test_what_may_not_be_asked_is_left_open(world: MotoWorld, tmp_path: Path) -> None:
    denied: list[Answer] = [(400, {"__type": "AccessDeniedException", "message": "no"})]
    with scripted_aws(DescribeInstanceInformation=denied) as ssm:
        assert hint("i-deadbeef", ssm, world.url, tmp_path).startswith("is it running")


def test_a_refused_session_comes_with_its_cause(world: MotoWorld, tmp_path: Path) -> None:
    with scripted_aws(StartSession=[NOT_CONNECTED], DescribeInstanceInformation=information()) as ssm:
        own = MotoWorld(world.url, tmp_path)
        api = session_api(own.access(environ=own.environ(AWS_ENDPOINT_URL_SSM=ssm.url)))
        with pytest.raises(TargetError) as raised:
            api.start_session("i-deadbeef")
    assert raised.value.code == "target-not-connected"
    assert raised.value.message == f"i-deadbeef is not connected to Systems Manager in {REGION}"
    assert "no such instance" in (raised.value.hint or "")
