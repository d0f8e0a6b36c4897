"""Small ECS: one cluster, one service, and one task with two containers that accept ExecuteCommand.

Source: Amazon ECS API reference.
"""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import Input, JsonObject, read_flag, read_text, read_texts
from aws_runas.sandbox.services.principals import ACCOUNT, Key
from aws_runas.sandbox.services.session import Plan

CLUSTER, SERVICE, CONTAINERS = "sandbox", "web", ("app", "sidecar")
TASK = "0123456789abcdef0123456789abcdef"
OpenSession = Callable[[Plan, Key], dict[str, str]]


class Ecs:
    """ECS.

    Args:
        region: the region of the cluster.
        open_session: opens an SSM session.
    """

    def __init__(self, region: str, open_session: OpenSession) -> None:
        self._arn = f"arn:aws:ecs:{region}:{ACCOUNT}"
        self._open_session = open_session
        self._actions: dict[str, Callable[[Input, Key], object]] = {
            "ListClusters": lambda *_: {"clusterArns": [f"{self._arn}:cluster/{CLUSTER}"]},
            "ListServices": self._list_services,
            "ListTasks": self._list_tasks,
            "DescribeTasks": self._describe_tasks,
            "ExecuteCommand": self._execute_command,
        }

    def call(self, action: str, values: Input, key: Key, _region: str) -> Reply:
        """Answer one call.

        Args:
            action: as AWS spells it.
            values: parameters.
            key: the key that signed the request.

        Raises:
            ServiceError: the action, the cluster or a parameter is unknown.
        """
        handler = self._actions.get(action)
        if handler is None:
            raise ServiceError("InvalidAction", f"the sandbox's ECS has no {action}")
        return json_reply(handler(values, key))

    def _check_cluster(self, values: Input) -> None:
        if read_text(values, "cluster", "default").rpartition("/")[2] != CLUSTER:
            raise ServiceError("ClusterNotFoundException", "Cluster not found.")

    def _list_services(self, values: Input, _key: Key) -> JsonObject:
        self._check_cluster(values)
        return {"serviceArns": [f"{self._arn}:service/{CLUSTER}/{SERVICE}"]}

    def _list_tasks(self, values: Input, _key: Key) -> JsonObject:
        self._check_cluster(values)
        service = read_text(values, "serviceName")
        if service and service.rpartition("/")[2] != SERVICE:
            raise ServiceError("ServiceNotFoundException", "Service not found.")
        return {"taskArns": [self._task_arn()] if read_text(values, "desiredStatus", "RUNNING") == "RUNNING" else []}

    def _task_arn(self) -> str:
        return f"{self._arn}:task/{CLUSTER}/{TASK}"

    def _describe_tasks(self, values: Input, _key: Key) -> JsonObject:
        self._check_cluster(values)
        wanted = [task.rpartition("/")[2] for task in read_texts(values, "tasks")]
        missing = [{"arn": task, "reason": "MISSING"} for task in wanted if task != TASK]
        return {"tasks": [self._task()] if TASK in wanted else [], "failures": missing}

    def _task(self) -> JsonObject:
        containers = [
            {
                "containerArn": f"{self._arn}:container/{CLUSTER}/{TASK}/{name}",
                "taskArn": self._task_arn(),
                "name": name,
                "runtimeId": runtime_id(name),
                "lastStatus": "RUNNING",
                "managedAgents": [{"name": "ExecuteCommandAgent", "lastStatus": "RUNNING"}],
            }
            for name in CONTAINERS
        ]
        return {
            "taskArn": self._task_arn(),
            "clusterArn": f"{self._arn}:cluster/{CLUSTER}",
            "group": f"service:{SERVICE}",
            "lastStatus": "RUNNING",
            "desiredStatus": "RUNNING",
            "enableExecuteCommand": True,
            "launchType": "FARGATE",
            "containers": containers,
        }

    def _execute_command(self, values: Input, key: Key) -> JsonObject:
        self._check_cluster(values)
        if read_text(values, "task").rpartition("/")[2] != TASK:
            raise ServiceError("InvalidParameterException", "The specified task was not found.")
        name = read_text(values, "container", CONTAINERS[0])
        if name not in CONTAINERS:
            raise ServiceError("InvalidParameterException", "The specified container was not found in the task.")
        if not read_flag(values, "interactive"):
            raise ServiceError("InvalidParameterException", "Interactive is the only mode supported currently.")
        target = f"ecs:{CLUSTER}_{TASK}_{runtime_id(name)}"
        parameters = {"command": [read_text(values, "command") or "/bin/sh"]}
        opened = self._open_session(Plan(target, "", "InteractiveCommands", None, parameters), key)
        session = {"sessionId": opened["SessionId"], "tokenValue": opened["TokenValue"]}
        return {
            "clusterArn": f"{self._arn}:cluster/{CLUSTER}",
            "taskArn": self._task_arn(),
            "containerArn": f"{self._arn}:container/{CLUSTER}/{TASK}/{name}",
            "containerName": name,
            "interactive": True,
            "session": {**session, "streamUrl": opened["StreamUrl"]},
        }


def targets() -> list[str]:
    """Return the containers as targets of sessions."""
    return [f"ecs:{CLUSTER}_{TASK}_{runtime_id(name)}" for name in CONTAINERS]


def runtime_id(container: str) -> str:
    """Return the runtime id of a container of the task."""
    return f"{TASK}-{1234567890 + CONTAINERS.index(container)}"
