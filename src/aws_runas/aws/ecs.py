"""ECS: the running tasks of a service, and a command in one of their containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_runas.aws.errors import translate
from aws_runas.aws.session import StartedSession
from aws_runas.errors import TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

TASKS_AT_ONCE = 100  # the most that one DescribeTasks takes


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a running task.

    Args:
        cluster: name of the cluster.
        task_arn: of the task.
        name: of the container in the task definition.
        runtime_id: the container's own id, which SSM's targets hold.
        address: the task's private address, "" where it has none.
        zone: availability zone.
        agent: status of its ExecuteCommand agent, "" where ExecuteCommand is not enabled.
    """

    cluster: str
    task_arn: str
    name: str
    runtime_id: str
    address: str = ""
    zone: str = ""
    agent: str = ""

    @property
    def task_id(self) -> str:
        """Last part of the task's ARN."""
        return self.task_arn.rpartition("/")[2]

    @property
    def target(self) -> str:
        """What SSM calls this container."""
        return f"ecs:{self.cluster}_{self.task_id}_{self.runtime_id}"


def list_tasks(access: Access, cluster: str, service: str) -> list[str]:
    """List the ARNs of a service's running tasks, over all pages, sorted.

    Source: AWS API reference, ecs ListTasks.
    """
    arns: list[str] = []
    with translate("ecs", "ListTasks", TargetError):
        pages = access.client("ecs").get_paginator("list_tasks")
        for page in pages.paginate(cluster=cluster, serviceName=service, desiredStatus="RUNNING"):
            arns += page.get("taskArns", [])
    return sorted(arns)


def describe_containers(access: Access, cluster: str, tasks: Sequence[str]) -> list[Container]:
    """List the running containers of tasks, in the order of the tasks.

    Args:
        access: whose credentials and region ask.
        cluster: name of the cluster.
        tasks: ARNs or ids.

    Source: AWS API reference, ecs DescribeTasks.
    """
    found: list[Container] = []
    for start in range(0, len(tasks), TASKS_AT_ONCE):
        with translate("ecs", "DescribeTasks", TargetError):
            reply = access.client("ecs").describe_tasks(
                cluster=cluster, tasks=list(tasks[start : start + TASKS_AT_ONCE])
            )
        for task in reply.get("tasks", []):
            found += _containers(cluster, task)
    return found


def execute_command(access: Access, container: Container, command: str) -> StartedSession:
    """Start a program in a container and open a session to it.

    Args:
        access: whose credentials and region ask.
        container: where.
        command: what is run; ECS only knows interactive sessions.

    Source: AWS API reference, ecs ExecuteCommand.
    """
    with translate("ecs", "ExecuteCommand", TargetError):
        reply = access.client("ecs").execute_command(
            cluster=container.cluster,
            task=container.task_arn,
            container=container.name,
            command=command,
            interactive=True,
        )
    session = reply["session"]
    return StartedSession(
        session_id=session["sessionId"],
        stream_url=session["streamUrl"],
        token=session["tokenValue"],
        target=container.target,
    )


def _containers(cluster: str, task: Mapping[str, Any]) -> Iterator[Container]:
    for container in task.get("containers", []):
        if container.get("lastStatus") != "RUNNING" or not container.get("runtimeId"):
            continue
        agents = [one for one in container.get("managedAgents", []) if one.get("name") == "ExecuteCommandAgent"]
        addresses = [one.get("privateIpv4Address", "") for one in container.get("networkInterfaces", [])]
        yield Container(
            cluster=cluster,
            task_arn=task["taskArn"],
            name=container["name"],
            runtime_id=container["runtimeId"],
            address=next((one for one in addresses if one), ""),
            zone=task.get("availabilityZone", ""),
            agent=agents[0].get("lastStatus", "") if agents else "",
        )
