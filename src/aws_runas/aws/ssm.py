"""Systems Manager: what it knows of an instance. Sessions themselves are ssm/api.py's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from aws_runas.aws.errors import translate
from aws_runas.errors import TargetError

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


def managed_node(access: Access, instance_id: str) -> ManagedNode | None:
    """Ask what Systems Manager knows of an instance; None where it knows nothing.

    Source: AWS API reference, ssm DescribeInstanceInformation.
    """
    with translate("ssm", "DescribeInstanceInformation", TargetError):
        reply = access.client("ssm").describe_instance_information(
            Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
        )
    for one in reply.get("InstanceInformationList", []):
        if one.get("InstanceId") == instance_id:
            return ManagedNode(
                instance_id, one.get("PingStatus", ""), one.get("AgentVersion", ""), one.get("LastPingDateTime")
            )
    return None
