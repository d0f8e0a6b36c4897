"""Systems Manager: what it knows of an instance. Sessions themselves are ssm/api.py's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from aws_runas.aws import reply
from aws_runas.aws.errors import translate
from aws_runas.errors import AwsRunasError, TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


@dataclass(frozen=True, slots=True)
class ManagedNode:
    """An instance as Systems Manager sees it.

    Args:
        ping_status: ``Online``, ``ConnectionLost`` or ``Inactive``.
        agent_version: ``3.2.1.0``.
        last_ping: when the agent last reported, None where that is unknown.
    """

    instance_id: str
    ping_status: str
    agent_version: str
    last_ping: datetime | None
    computer_name: str = ""


def managed_nodes(access: Access) -> list[ManagedNode]:
    """List every node that Systems Manager knows, over all pages, sorted by id.

    Raises:
        AwsRunasError: the call was refused or did not come through.

    Source: AWS API reference, ssm DescribeInstanceInformation.
    """
    found: dict[str, ManagedNode] = {}
    with translate("ssm", "DescribeInstanceInformation", TargetError):
        for page in access.client("ssm").get_paginator("describe_instance_information").paginate():
            for one in page.get("InstanceInformationList") or []:
                if isinstance(one, dict) and isinstance(one.get("InstanceId"), str):
                    found[one["InstanceId"]] = ManagedNode(
                        one["InstanceId"],
                        one.get("PingStatus") or "",
                        one.get("AgentVersion") or "",
                        one.get("LastPingDateTime"),
                        one.get("ComputerName") or "",
                    )
    return [found[instance_id] for instance_id in sorted(found)]


def managed_node(access: Access, instance_id: str) -> ManagedNode | None:
    """Ask what Systems Manager knows of an instance; None where it knows nothing.

    Source: AWS API reference, ssm DescribeInstanceInformation.
    """
    with translate("ssm", "DescribeInstanceInformation", TargetError):
        answer = access.client("ssm").describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
        )
        for node in reply.mappings(answer, "InstanceInformationList"):
            if node.get("InstanceId") == instance_id:
                last_ping = node.get("LastPingDateTime")
                return ManagedNode(
                    instance_id,
                    reply.text(node, "PingStatus", ""),
                    reply.text(node, "AgentVersion", ""),
                    last_ping if isinstance(last_ping, datetime) else None,
                )
    return None


def agent_version(access: Access, instance_id: str) -> str:
    """The version that the agent reported when it last called; "" where it is not known, or may not be asked.

    Args:
        instance_id: ``i-...`` or ``mi-...``; of tasks nothing is known.
    """
    if not instance_id.startswith(("i-", "mi-")):
        return ""
    try:
        node = managed_node(access, instance_id)
    except AwsRunasError:
        return ""
    return node.agent_version if node is not None else ""
