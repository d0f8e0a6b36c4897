"""ECS: the running tasks of a service, and a command in one of their containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_runas.aws import reply
from aws_runas.aws.errors import translate
from aws_runas.aws.session import StartedSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

TASKS_AT_ONCE = 100  # the maximum of one DescribeTasks call


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a running task.

    Args:
        cluster: name of the cluster.
        task_arn: of the task.
        name: of the container in the task definition.
        runtime_id: id of the container, used in SSM target names.
        address: the task's private address, "" if it has none.
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
        """Return the last part of the task's ARN."""
        return self.task_arn.rpartition("/")[2]

    @property
    def target(self) -> str:
        """Return the name of this container as an SSM target."""
        return f"ecs:{self.cluster}_{self.task_id}_{self.runtime_id}"


def list_tasks(access: Access, cluster: str, service: str) -> list[str]:
    """List the ARNs of a service's running tasks, over all pages, sorted.

    Args:
        access: its credentials sign the call.
        cluster: name or ARN.
        service: its name.

    Source: AWS API reference, ecs ListTasks.
    """
    arns: list[str] = []
    with translate("ecs", "ListTasks", TargetError):
        pages = access.client("ecs").get_paginator("list_tasks")
        for page in reply.limited(pages.paginate(cluster=cluster, serviceName=service, desiredStatus="RUNNING")):
            arns += reply.texts(page, "taskArns")
    return sorted(arns)


def describe_containers(access: Access, cluster: str, tasks: Sequence[str]) -> list[Container]:
    """List the running containers of tasks, in the order of the tasks.

    Args:
        access: its credentials and region are used for the call.
        cluster: name of the cluster.
        tasks: ARNs or ids.

    Source: AWS API reference, ecs DescribeTasks.
    """
    found: list[Container] = []
    for start in range(0, len(tasks), TASKS_AT_ONCE):
        with translate("ecs", "DescribeTasks", TargetError):
            answer = access.client("ecs").describe_tasks(
                cluster=cluster, tasks=list(tasks[start : start + TASKS_AT_ONCE])
            )
            for task in reply.mappings(answer, "tasks"):
                found += _containers(cluster, task)
    return found


def execute_command(access: Access, container: Container, command: str) -> StartedSession:
    """Start a program in a container and open a session to it.

    Args:
        access: its credentials and region are used for the call.
        container: where the program runs.
        command: the program to run; ECS only has interactive sessions.

    Source: AWS API reference, ecs ExecuteCommand.
    """
    with translate("ecs", "ExecuteCommand", TargetError):
        answer = access.client("ecs").execute_command(
            cluster=container.cluster,
            task=container.task_arn,
            container=container.name,
            command=command,
            interactive=True,
        )
        session = reply.mapping(answer, "session")
        return StartedSession(
            session_id=reply.text(session, "sessionId"),
            stream_url=reply.text(session, "streamUrl"),
            token=reply.text(session, "tokenValue"),
            target=container.target,
        )


def _containers(cluster: str, task: Mapping[str, Any]) -> Iterator[Container]:
    for container in reply.mappings(task, "containers"):
        if container.get("lastStatus") != "RUNNING" or not container.get("runtimeId"):
            continue
        agents = [
            agent for agent in reply.mappings(container, "managedAgents") if agent.get("name") == "ExecuteCommandAgent"
        ]
        interfaces = reply.mappings(container, "networkInterfaces")
        addresses = [reply.text(interface, "privateIpv4Address", "") for interface in interfaces]
        yield Container(
            cluster=cluster,
            task_arn=reply.text(task, "taskArn"),
            name=reply.text(container, "name"),
            runtime_id=reply.text(container, "runtimeId"),
            address=next((address for address in addresses if address), ""),
            zone=reply.text(task, "availabilityZone", ""),
            agent=reply.text(agents[0], "lastStatus", "") if agents else "",
        )
