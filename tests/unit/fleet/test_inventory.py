"""Which instances a run asks, with Systems Manager answering from a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aws_runas.errors import TargetError
from aws_runas.fleet.inventory import Inventory, take_inventory
from aws_runas.fleet.model import Pair, State
from aws_runas.fleet.selectors import parse_selectors
from tests.support.moto_world import MotoWorld
from tests.support.scripted_aws import scripted_aws

PAIR = Pair("p", "us-east-1")
PLATFORMS = ("Linux", "Windows", "MacOS", "")


def node(instance_id: str, platform: str = "Linux", status: str = "Online") -> dict[str, Any]:
    return {"InstanceId": instance_id, "PlatformType": platform, "PingStatus": status}


def inventory(tmp_path: Path, *nodes: dict[str, Any], on: str = "all", **options: Any) -> Inventory:
    with scripted_aws(DescribeInstanceInformation=[(200, {"InstanceInformationList": list(nodes)})]) as aws:
        access = MotoWorld(aws.url, tmp_path).access()
        return take_inventory(access, PAIR, parse_selectors([on], lambda _: ""), **options)


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, "Linux MacOS "), ({"powershell": True}, "Windows "), ({"sessions": True}, "Linux ")],
)
def test_only_platforms_that_run_the_command_are_asked(tmp_path: Path, options: dict[str, Any], asked: str) -> None:
    nodes = [node(f"i-0000000{number}", platform) for number, platform in enumerate(PLATFORMS)]
    found = inventory(tmp_path, *nodes, **options)
    assert [PLATFORMS[int(host.instance_id[-1])] for host in found.reachable] == asked.split(" ")
    assert {outcome.state for outcome in found.unreached} == {State.REFUSED}
    assert len(found.reachable) + len(found.unreached) == len(PLATFORMS)


def test_an_offline_and_an_unknown_instance_have_their_reasons(tmp_path: Path) -> None:
    found = inventory(tmp_path, node("i-00000000", status="ConnectionLost"), on="i-00000000,i-00000009")
    assert [(outcome.host.instance_id, outcome.state, outcome.details) for outcome in found.unreached] == [
        ("i-00000000", State.OFFLINE, "its agent is not connected"),
        ("i-00000009", State.OFFLINE, "Systems Manager does not know it in us-east-1"),
    ]


GROUP_ARN = "arn:aws:ec2:us-east-1:123456789012:instance/"
STACK_GONE = {"ErrorCode": "CLOUDFORMATION_STACK_NOT_EXISTING", "Message": ""}
UNSUPPORTED = {"ErrorCode": "RESOURCE_TYPE_NOT_SUPPORTED", "Message": "no"}


def in_group(tmp_path: Path, *answers: Any) -> list[str]:
    nodes = {"InstanceInformationList": [node("i-00000000"), node("i-00000001"), node("i-00000002")]}
    rest: Any = {"list-group-resources": list(answers)}
    with scripted_aws(DescribeInstanceInformation=[(200, nodes)], **rest) as aws:
        access = MotoWorld(aws.url, tmp_path).access()
        found = take_inventory(access, PAIR, parse_selectors(["group:web"], lambda _: ""))
    return [host.instance_id for host in found.reachable]


def test_members_of_a_group_come_from_every_page_and_both_forms(tmp_path: Path) -> None:
    new = {"Resources": [{"Identifier": {"ResourceArn": f"{GROUP_ARN}i-00000000"}, "Status": None}, {}]}
    old = {"ResourceIdentifiers": [{"ResourceArn": f"{GROUP_ARN}i-00000002"}], "QueryErrors": [UNSUPPORTED]}
    assert in_group(tmp_path, (200, new | {"NextToken": "2"}), (200, old)) == ["i-00000000", "i-00000002"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, {"__type": "NotFoundException", "Message": "no"}), "fleet-group-unknown"),
        ((403, {"__type": "ForbiddenException", "Message": "no"}), "access-denied"),
        ((200, {"Resources": [], "QueryErrors": [STACK_GONE]}), "fleet-group-broken"),
        ((200, {"Resources": "x"}), "endpoint-not-aws"),
        ((200, {"NextToken": "again"}), "aws-error"),
    ],
)
def test_a_group_that_is_not_known_is_no_empty_group(tmp_path: Path, answer: Any, code: str) -> None:
    with pytest.raises(TargetError) as caught:
        in_group(tmp_path, answer)
    assert caught.value.code == code


@pytest.mark.parametrize("instance_id", ["../../x", "i-../../../etc", "i-0000000g", "", "i-00000000\n"])
def test_an_id_that_is_none_is_left_out_because_it_becomes_a_file_name(tmp_path: Path, instance_id: str) -> None:
    assert inventory(tmp_path, node(instance_id)) == Inventory((), ())
