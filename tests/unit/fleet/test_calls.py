"""The calls of a fleet run against a scripted AWS: lost answers, vanished instances."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aws_runas.aws.access import Access
from aws_runas.errors import AwsRunasError
from aws_runas.fleet.calls import AwsCalls, Script
from aws_runas.fleet.model import Host, InstancesGoneError, Pair
from tests.support.moto_world import MotoWorld
from tests.support.scripted_aws import LOST, ScriptedAws, scripted_aws

PAIR = Pair("p", "us-east-1")
HOSTS = [Host(PAIR, f"i-0000000{number}") for number in range(3)]
MINE, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
COMMENT = "aws-runas fleet 0123456789ab"
MakeAccess = Callable[[ScriptedAws], Access]


def calls(access: Access, waits: list[float] | None = None) -> AwsCalls:
    sleep = (waits if waits is not None else []).append
    return AwsCalls(access, Script("true", "nonce"), 120, 3600, COMMENT, sleep)


def sent(command_id: str) -> dict[str, object]:
    return {"Command": {"CommandId": command_id, "Comment": COMMENT}}


def row(command_id: str, comment: str) -> dict[str, object]:
    return {"CommandId": command_id, "Comment": comment, "InstanceIds": [host.instance_id for host in HOSTS]}


def test_a_command_whose_answer_was_lost_is_found_and_not_sent_twice(scripted_access: MakeAccess) -> None:
    listed = {"Commands": [row(OTHER, f"{COMMENT} 1"), row("short", f"{COMMENT} 0"), row(MINE, f"{COMMENT} 0")]}
    with scripted_aws(SendCommand=[(LOST, {})], ListCommands=[(200, {"Commands": []}), (200, listed)]) as aws:
        waits: list[float] = []
        assert calls(scripted_access(aws), waits).send(HOSTS, 0) == MINE
        assert aws.operations() == ["SendCommand", "ListCommands", "ListCommands"]
        assert len(waits) == 1  # it could not be seen at once


def test_a_lost_answer_without_a_command_is_an_error(scripted_access: MakeAccess) -> None:
    with scripted_aws(SendCommand=[(LOST, {})], ListCommands=[(200, {"Commands": []})]) as aws:
        with pytest.raises(AwsRunasError) as caught:
            calls(scripted_access(aws)).send(HOSTS, 0)
        assert caught.value.code == "endpoint-unreachable"
        assert aws.operations().count("SendCommand") == 1


@pytest.mark.parametrize("command_id", ["", "a", "x" * 37, "1111111-2222-3333-4444-55555555555\x1b"])
def test_a_command_id_that_cannot_be_right_is_an_error_at_once(scripted_access: MakeAccess, command_id: str) -> None:
    waits: list[float] = []
    with scripted_aws(SendCommand=[(200, sent(command_id))]) as aws:
        with pytest.raises(AwsRunasError) as caught:
            calls(scripted_access(aws), waits).send(HOSTS, 0)
        assert (caught.value.code, caught.value.hint is None) == ("command-id-invalid", False)
        assert (aws.operations(), waits) == (["SendCommand"], [])


@pytest.mark.parametrize(
    ("row", "details"),
    [
        ({"Status": "Success", "StatusDetails": "Odd"}, "Success"),
        ({"Status": "Failed"}, "Failed"),
        ({"Status": "InProgress", "StatusDetails": "Odd"}, "Odd"),
        ({"Status": "Failed", "StatusDetails": "InvalidPlatform"}, "InvalidPlatform"),
    ],
)
def test_an_end_is_seen_although_its_details_are_unknown(
    scripted_access: MakeAccess, row: dict[str, str], details: str
) -> None:
    rows = {"CommandInvocations": [{"InstanceId": "i-00000000", **row}]}
    with scripted_aws(ListCommandInvocations=[(200, rows)]) as aws:
        assert [one.details for one in calls(scripted_access(aws)).poll(MINE)] == [details]


def test_throttled_sending_is_left_to_the_policy(scripted_access: MakeAccess) -> None:
    with scripted_aws(SendCommand=[(400, {"__type": "ThrottlingException", "message": "Rate exceeded"})]) as aws:
        with pytest.raises(AwsRunasError) as caught:
            calls(scripted_access(aws)).send(HOSTS, 0)
        assert caught.value.code == "throttled"
        assert aws.operations() == ["SendCommand"]


@pytest.mark.parametrize(
    ("message", "gone"),
    [
        ("Instances [[i-00000001, i-00000002]] not in a valid state for account 1", {"i-00000001", "i-00000002"}),
        ("", set()),
    ],
)
def test_vanished_instances_are_taken_from_the_message(
    scripted_access: MakeAccess, message: str, gone: set[str]
) -> None:
    with scripted_aws(SendCommand=[(400, {"__type": "InvalidInstanceId", "message": message})]) as aws:
        with pytest.raises(InstancesGoneError) as caught:
            calls(scripted_access(aws)).send(HOSTS, 0)
        assert caught.value.instance_ids == gone


def test_each_call_has_a_comment_of_its_own(scripted_access: MakeAccess) -> None:
    with scripted_aws(SendCommand=[(200, sent(MINE)), (200, sent(OTHER))]) as aws:
        ours = calls(scripted_access(aws))
        assert [ours.send(HOSTS[:1], 0), ours.send(HOSTS[1:], 0)] == [MINE, OTHER]
        assert [parameters["Comment"] for _, parameters in aws.asked] == [f"{COMMENT} 0", f"{COMMENT} 1"]


@pytest.fixture
def scripted_access(tmp_path: Path) -> MakeAccess:
    return lambda aws: MotoWorld(aws.url, tmp_path).access()
