"""Why an instance accepts no session: what Systems Manager and EC2 know about it, and what to do."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from aws_runas.aws.ec2 import Instance, describe_instances
from aws_runas.aws.ssm import ManagedNode, managed_node
from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

_GENERAL = "is it running, is its SSM agent up and permitted, and is this its region and account?"


def why_not_connected(instance_id: str, access: Access) -> str:
    """Explain why an instance is not connected, as far as this identity may know.

    Args:
        instance_id: of the instance.
        access: the profile.
    """
    try:
        node = managed_node(access, instance_id)
    except AwsRunasError as error:
        return f"{_GENERAL} ({error.message})"
    if node is not None:
        return why_offline(node)
    if instance_id.startswith("mi-"):
        return f"no managed node of that id is registered in {access.region()}: check region and account"
    try:
        found = describe_instances(access, {"instance-id": [instance_id]})
    except AwsRunasError:
        return f"Systems Manager in {access.region()} knows nothing of it: check region and account, and its SSM agent"
    return _why_unknown(found[0] if found else None, access.region())


def why_offline(node: ManagedNode) -> str:
    """Explain the state of a registered node.

    Args:
        node: that is not online.
    """
    seen = f" since {_when(node.last_ping)}" if node.last_ping else ""
    if node.ping_status == "Online":
        return "its agent is online but has no session channel: check that it reaches the ssmmessages endpoint"
    if node.ping_status == "Inactive":
        return f"its agent has not reported{seen}: the instance may be stopped, or gone"
    return f"its agent does not report{seen}: it is not running, or cut off from the network"


def _why_unknown(instance: Instance | None, region: str) -> str:
    if instance is None:
        return f"there is no such instance in {region}: check region and account"
    if instance.state != "running":
        return f"the instance is {instance.state}, not running"
    if not instance.profile_arn:
        return "the instance has no instance profile: attach one with AmazonSSMManagedInstanceCore"
    return (
        "its agent never registered: it is not installed or running, its role lacks AmazonSSMManagedInstanceCore, "
        "or it does not reach the ssm endpoint"
    )


def _when(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
