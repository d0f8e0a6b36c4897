"""Resolver for containers of ECS tasks: ``ecs:cluster/service[/container]`` and ``ecs:cluster_task_runtimeid``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws import ecs
from aws_runas.aws.ec2 import Instance
from aws_runas.aws.errors import aws_code
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, TargetError
from aws_runas.targets.model import matches

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.session import StartedSession
    from aws_runas.targets.model import Pick

SHELL = "/bin/sh"  # any image with a shell has this one
_NOT_THERE = ("ClusterNotFoundException", "ServiceNotFoundException")
_HOW = "write it as ecs:cluster/service, ecs:cluster/service/container or ecs:cluster_task_runtimeid"


@dataclass(frozen=True, slots=True)
class EcsTarget:
    """Container under the name that SSM uses.

    Args:
        target: ``ecs:cluster_task_runtimeid``.
        container: the other data from ECS; None if the user gave the raw form, which is not looked up.
    """

    target: str
    container: ecs.Container | None = None


def find_task(text: str, access: Access, *, pick: Pick | None = None) -> EcsTarget:
    """Find the container that a target names.

    Args:
        text: ``ecs:cluster/service[/container]``, or the raw form, which is used unchanged and not looked up.
        access: the credentials and region for the calls.
        pick: asks the user if several match; without it, several matches are an error.

    Raises:
        TargetError: no container matches, or several do.
        AwsRunasError: ECS refused the call.
    """
    words = text[len("ecs:") :]
    if "/" not in words:
        _raw(text)
        return EcsTarget(f"ecs:{words}")
    cluster, service, *more = words.split("/")
    if not cluster or not service or len(more) > 1 or more == [""]:
        raise TargetError(f"{text!r} names no ECS container", code="ecs-target-invalid", hint=_HOW)
    try:
        tasks = ecs.list_tasks(access, cluster, service)
    except AwsRunasError as error:
        if aws_code(error) not in _NOT_THERE:
            raise
        what = f"cluster {cluster!r}" if aws_code(error) == _NOT_THERE[0] else f"service {service!r} in {cluster!r}"
        raise TargetError(
            f"there is no ECS {what} in {access.region()}",
            code="target-not-found",
            hint="check name, region and account",
        ) from error
    containers = ecs.describe_containers(access, cluster, tasks)
    if not containers:
        raise TargetError(
            f"service {service!r} in cluster {cluster!r} has no running container in {access.region()}",
            code="target-not-found",
            hint="check the cluster, the service and the region",
        )
    named = [one for one in containers if not more or one.name == more[0]]
    if not named:
        names = ", ".join(sorted({one.name for one in containers}))
        raise TargetError(
            f"service {service!r} in cluster {cluster!r} has no running container {more[0]!r}",
            code="target-not-found",
            hint=f"its containers are: {names}",
        )
    chosen = named[0] if len(named) == 1 else _choose(text, named, pick)
    return EcsTarget(chosen.target, chosen)


def execute_command(text: str, access: Access, *, command: str = SHELL, pick: Pick | None = None) -> StartedSession:
    """Start a program, a shell by default, in the container that a target names, and open a session to it.

    Args:
        text: either form of an ECS target.
        access: the credentials and region for the calls.
        command: the program and its arguments, in one string, as ECS expects it.
        pick: asks the user if several containers match.

    Raises:
        TargetError: no container matches, several do, or ExecuteCommand is off in it.
        AwsRunasError: ECS refused the call.
    """
    found = find_task(text, access, pick=pick)
    container = found.container or _described(found.target, access)
    if container.agent != "RUNNING":
        state = f"is {container.agent}" if container.agent else "is not there"
        raise TargetError(
            f"container {container.name!r} of task {container.task_id} accepts no commands: its agent {state}",
            code="ecs-execute-command-off",
            hint="start the task again with --enable-execute-command and a task role that allows ssmmessages",
        )
    return ecs.execute_command(access, container, command)


def _raw(text: str) -> tuple[str, str, str]:
    parts = text[len("ecs:") :].rsplit("_", 2)  # the cluster name may contain _
    if len(parts) != 3 or not all(parts):
        raise TargetError(f"{text!r} names no ECS container", code="ecs-target-invalid", hint=_HOW)
    return parts[0], parts[1], parts[2]


def _described(target: str, access: Access) -> ecs.Container:
    cluster, task, runtime_id = _raw(target)
    for container in ecs.describe_containers(access, cluster, [task]):
        if container.runtime_id == runtime_id:
            return container
    raise TargetError(
        f"no running container {runtime_id!r} in task {task!r} of cluster {cluster!r}",
        code="target-not-found",
        hint="the task may have ended; ecs:cluster/service finds the one that runs now",
    )


def _choose(text: str, containers: list[ecs.Container], pick: Pick | None) -> ecs.Container:
    rows = [
        Instance(one.target, f"{one.name}", (one.address,) if one.address else (), one.zone)
        for one in sorted(containers, key=lambda one: (one.task_arn, one.name))
    ]
    if pick is None:
        raise TargetError(
            f"{text!r} matches {len(rows)} containers",
            code="target-ambiguous",
            details=matches(rows),
            hint="give one of these targets, add the container's name, or choose with --pick",
        )
    chosen = pick(rows)
    if chosen is None:
        raise TargetError("no container was picked", code="target-not-picked")
    return next(one for one in containers if one.target == chosen.instance_id)
