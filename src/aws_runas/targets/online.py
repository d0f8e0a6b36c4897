"""Instances that Systems Manager knows, for the picker and for ``list instances``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aws_runas.aws.ec2 import Instance, describe_instances
from aws_runas.aws.ssm import managed_nodes
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.targets.model import Pick


@dataclass(frozen=True, slots=True)
class OnlineInstance:
    """One running instance or managed node with an agent.

    Args:
        instance_id: ``i-...`` or ``mi-...``.
        name: value of the Name tag, or the node's computer name; "" if there is none.
        state: EC2 instance state, such as ``running``; "" if EC2 does not know the instance.
        ping_status: ``Online``, ``ConnectionLost`` or ``Inactive``.
        address: first private address, "" if unknown.
    """

    instance_id: str
    name: str
    state: str
    ping_status: str
    address: str


def online_instances(access: Access) -> list[OnlineInstance]:
    """List the running instances and managed nodes with an agent: online ones first, then by name and id.

    Args:
        access: the profile.

    Raises:
        AwsRunasError: Systems Manager refused the call.
    """
    nodes = managed_nodes(access)
    try:
        known = {instance.instance_id: instance for instance in describe_instances(access, {})}
    except AwsRunasError as error:
        if error.code != "access-denied":
            raise
        known = {}  # without permission for EC2, the list has no names
    found = []
    for node in nodes:
        instance = known.get(node.instance_id)
        if instance is not None and instance.state != "running":
            continue
        found.append(
            OnlineInstance(
                node.instance_id,
                (instance.name if instance else "") or node.computer_name,
                instance.state if instance else "",
                node.ping_status,
                instance.addresses[0] if instance and instance.addresses else "",
            )
        )
    return sorted(found, key=lambda one: (one.ping_status != "Online", one.name, one.instance_id))


def listing(instances: Sequence[OnlineInstance]) -> list[str]:
    """Format instances as a table of id, name, state, ping status and address.

    Args:
        instances: any number.
    """
    rows = [
        (one.instance_id, one.name or "-", one.state or "-", one.ping_status, one.address or "-") for one in instances
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]


def pick_online(access: Access, pick: Pick) -> str:
    """Let the user pick one of the running instances that Systems Manager knows.

    Args:
        access: the credentials and region for the calls.
        pick: asks the user.

    Returns:
        The id of the instance.

    Raises:
        TargetError: there is no instance, or the user did not pick one.
    """
    found = online_instances(access)
    if not found:
        raise TargetError(
            f"Systems Manager knows no running instance in {access.region()}",
            code="target-not-found",
            hint="check the region, and that an SSM agent runs on the instance",
        )
    rows = {
        one.instance_id: Instance(
            one.instance_id, one.name, (one.address,) if one.address else (), one.ping_status, one.state
        )
        for one in found
    }
    chosen = pick(list(rows.values()))
    if chosen is None:
        raise TargetError("no instance was picked", code="target-not-picked")
    return chosen.instance_id
