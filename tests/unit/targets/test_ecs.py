"""Containers of ECS tasks, with ECS answering from a script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aws_runas.aws.access import Access
from aws_runas.errors import TargetError
from aws_runas.targets.ecs import execute_command
from aws_runas.targets.resolve import resolve_target
from tests.support.moto_world import MotoWorld
from tests.support.scripted_aws import Answer, ScriptedAws, scripted_aws

CLUSTER = "my_prod"
ARN = f"arn:aws:ecs:eu-west-1:123456789012:task/{CLUSTER}"
FIRST, SECOND = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
SESSION = {"sessionId": "ecs-execute-command-1", "streamUrl": "wss://x", "tokenValue": "secret"}


def container(task: str, name: str, *, status: str = "RUNNING", agent: str = "RUNNING") -> dict[str, Any]:
    return {
        "name": name,
        "lastStatus": status,
        "runtimeId": f"{task}-{len(name)}",
        "networkInterfaces": [{"privateIpv4Address": "10.0.0.7"}],
        "managedAgents": [{"name": "ExecuteCommandAgent", "lastStatus": agent}] if agent else [],
    }


def tasks(*found: tuple[str, list[dict[str, Any]]]) -> Answer:
    return 200, {
        "tasks": [
            {"taskArn": f"{ARN}/{task}", "availabilityZone": "eu-west-1a", "containers": containers}
            for task, containers in found
        ]
    }


def listed(*found: str, **more: str) -> Answer:
    return 200, {"taskArns": [f"{ARN}/{task}" for task in found], **more}


def access(world: ScriptedAws, home: Path) -> Access:
    return MotoWorld(world.url, home).access()


def test_a_service_leads_to_its_only_container(tmp_path: Path) -> None:
    with scripted_aws(ListTasks=[listed(FIRST)], DescribeTasks=[tasks((FIRST, [container(FIRST, "web")]))]) as world:
        assert resolve_target(f"ecs:{CLUSTER}/site", access(world, tmp_path)) == f"ecs:{CLUSTER}_{FIRST}_{FIRST}-3"
    assert world.operations() == ["ListTasks", "DescribeTasks"]
    assert world.asked[0][1] == {"cluster": CLUSTER, "serviceName": "site", "desiredStatus": "RUNNING"}


def test_a_container_is_chosen_by_its_name(tmp_path: Path) -> None:
    found = tasks((FIRST, [container(FIRST, "web"), container(FIRST, "proxy")]))
    with scripted_aws(ListTasks=[listed(FIRST)], DescribeTasks=[found]) as world:
        target = resolve_target(f"ecs:{CLUSTER}/site/proxy", access(world, tmp_path))
    assert target == f"ecs:{CLUSTER}_{FIRST}_{FIRST}-5"


def test_every_page_of_tasks_is_read_and_several_are_listed(tmp_path: Path) -> None:
    pages = [listed(FIRST, nextToken="more"), listed(SECOND)]
    found = tasks((FIRST, [container(FIRST, "web")]), (SECOND, [container(SECOND, "web")]))
    with (
        scripted_aws(ListTasks=pages, DescribeTasks=[found]) as world,
        pytest.raises(TargetError) as raised,
    ):
        resolve_target(f"ecs:{CLUSTER}/site", access(world, tmp_path))
    assert raised.value.code == "target-ambiguous"
    assert [line.split() for line in raised.value.details] == [
        [f"ecs:{CLUSTER}_{task}_{task}-3", "web", "10.0.0.7", "eu-west-1a"] for task in (FIRST, SECOND)
    ]
    assert world.asked[-1][1]["tasks"] == [f"{ARN}/{FIRST}", f"{ARN}/{SECOND}"]


def test_a_picker_chooses_among_containers(tmp_path: Path) -> None:
    found = tasks((FIRST, [container(FIRST, "web"), container(FIRST, "proxy")]))
    with scripted_aws(ListTasks=[listed(FIRST)], DescribeTasks=[found]) as world:
        target = resolve_target(f"ecs:{CLUSTER}/site", access(world, tmp_path), pick=lambda rows: rows[0])
    assert target == f"ecs:{CLUSTER}_{FIRST}_{FIRST}-5"  # by name: proxy, web


def test_containers_that_do_not_run_do_not_count(tmp_path: Path) -> None:
    found = tasks((FIRST, [container(FIRST, "web", status="PENDING")]))
    with (
        scripted_aws(ListTasks=[listed(FIRST)], DescribeTasks=[found]) as world,
        pytest.raises(TargetError, match="has no running container") as raised,
    ):
        resolve_target(f"ecs:{CLUSTER}/site", access(world, tmp_path))
    assert raised.value.code == "target-not-found"


def test_an_unknown_container_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    found = tasks((FIRST, [container(FIRST, "web"), container(FIRST, "proxy")]))
    with (
        scripted_aws(ListTasks=[listed(FIRST)], DescribeTasks=[found]) as world,
        pytest.raises(TargetError) as raised,
    ):
        resolve_target(f"ecs:{CLUSTER}/site/nginx", access(world, tmp_path))
    assert raised.value.hint == "its containers are: proxy, web"


@pytest.mark.parametrize(
    "text", ["ecs:x", "ecs:a_b", "ecs:/site", "ecs:a/", "ecs:a/b/", "ecs:a/b/c/d", "ecs:__", "ecs:a__"]
)
def test_what_names_no_container_is_refused_without_asking(tmp_path: Path, text: str) -> None:
    with scripted_aws() as world, pytest.raises(TargetError) as raised:
        resolve_target(text, access(world, tmp_path))
    assert raised.value.code == "ecs-target-invalid"
    assert world.asked == []


@pytest.mark.parametrize("text", [f"ecs:{CLUSTER}/site", f"ecs:{CLUSTER}_{FIRST}_{FIRST}-3"])
def test_a_shell_is_started_by_ecs_in_either_spelling(tmp_path: Path, text: str) -> None:
    answers = {
        "ListTasks": [listed(FIRST)],
        "DescribeTasks": [tasks((FIRST, [container(FIRST, "web"), container(FIRST, "proxy", status="STOPPED")]))],
        "ExecuteCommand": [(200, {"session": SESSION})],
    }
    with scripted_aws(**answers) as world:
        started = execute_command(text, access(world, tmp_path))
    assert (started.session_id, started.stream_url, started.token) == ("ecs-execute-command-1", "wss://x", "secret")
    assert started.target == f"ecs:{CLUSTER}_{FIRST}_{FIRST}-3"
    assert "secret" not in repr(started)
    assert world.asked[-1] == (
        "ExecuteCommand",
        {
            "cluster": CLUSTER,
            "task": f"{ARN}/{FIRST}",
            "container": "web",
            "command": "/bin/sh",
            "interactive": True,
        },
    )


@pytest.mark.parametrize("agent", ["", "STOPPED", "PENDING"])
def test_a_container_that_takes_no_commands_is_told_of(tmp_path: Path, agent: str) -> None:
    found = tasks((FIRST, [container(FIRST, "web", agent=agent)]))
    with (
        scripted_aws(ListTasks=[listed(FIRST)], DescribeTasks=[found]) as world,
        pytest.raises(TargetError) as raised,
    ):
        execute_command(f"ecs:{CLUSTER}/site", access(world, tmp_path))
    assert raised.value.code == "ecs-execute-command-off"
    assert "ExecuteCommand" not in world.operations()


def test_a_task_that_has_ended_is_told_of(tmp_path: Path) -> None:
    with (
        scripted_aws(DescribeTasks=[(200, {"tasks": [], "failures": []})]) as world,
        pytest.raises(TargetError) as raised,
    ):
        execute_command(f"ecs:{CLUSTER}_{FIRST}_{FIRST}-3", access(world, tmp_path))
    assert raised.value.code == "target-not-found"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ClusterNotFoundException", "there is no ECS cluster 'my_prod' in eu-west-1"),
        ("ServiceNotFoundException", "there is no ECS service 'site' in 'my_prod' in eu-west-1"),
    ],
)
def test_what_does_not_exist_is_named(tmp_path: Path, code: str, message: str) -> None:
    with (
        scripted_aws(ListTasks=[(400, {"__type": code, "message": "not found"})]) as world,
        pytest.raises(TargetError) as raised,
    ):
        resolve_target(f"ecs:{CLUSTER}/site", access(world, tmp_path))
    assert (raised.value.code, raised.value.message) == ("target-not-found", message)


def test_throttling_is_waited_out(tmp_path: Path) -> None:
    throttled = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
    answers = {"ListTasks": [throttled, listed(FIRST)], "DescribeTasks": [tasks((FIRST, [container(FIRST, "web")]))]}
    with scripted_aws(**answers) as world:
        assert resolve_target(f"ecs:{CLUSTER}/site", access(world, tmp_path)).endswith("-3")
    assert world.operations() == ["ListTasks", "ListTasks", "DescribeTasks"]


def test_a_missing_permission_is_named(tmp_path: Path) -> None:
    message = "User: arn:aws:iam::1:user/ann is not authorized to perform: ecs:ListTasks on resource: x"
    with (
        scripted_aws(ListTasks=[(400, {"__type": "AccessDeniedException", "message": message})]) as world,
        pytest.raises(TargetError, match="ecs:ListTasks") as raised,
    ):
        resolve_target(f"ecs:{CLUSTER}/site", access(world, tmp_path))
    assert (raised.value.code, raised.value.exit_status) == ("access-denied", 5)
