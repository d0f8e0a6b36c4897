"""EC2 security groups: whether a group admits connections from an instance."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_runas.aws.errors import translate
from aws_runas.errors import TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


def groups_of_instance(access: Access, instance_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids of an instance's security groups, and its private addresses.

    Raises:
        AwsRunasError: the call was refused or failed.

    Source: AWS API reference, ec2 DescribeInstances.
    """
    with translate("ec2", "DescribeInstances", TargetError):
        reply = access.client("ec2").describe_instances(InstanceIds=[instance_id])
    groups: list[str] = []
    addresses: list[str] = []
    for reservation in reply.get("Reservations", []):
        for instance in reservation.get("Instances", []):
            groups += [group["GroupId"] for group in instance.get("SecurityGroups", [])]
            addresses += [address for address in [instance.get("PrivateIpAddress")] if address]
    return tuple(dict.fromkeys(groups)), tuple(addresses)


def admits(
    access: Access, groups: Sequence[str], port: int, from_groups: Sequence[str], from_addresses: Sequence[str]
) -> bool:
    """Return True if a rule of the groups admits TCP connections to a port.

    Args:
        access: whose credentials and region ask.
        groups: ids of the groups with the rules.
        port: destination port.
        from_groups: ids of the source's groups.
        from_addresses: addresses of the source.

    Returns:
        True also if a rule names a prefix list, whose addresses are not looked up.

    Raises:
        AwsRunasError: the call was refused or failed.

    Source: AWS API reference, ec2 DescribeSecurityGroups.
    """
    with translate("ec2", "DescribeSecurityGroups", TargetError):
        reply = access.client("ec2").describe_security_groups(GroupIds=list(groups))
    return any(
        _rule_admits(rule, port, from_groups, from_addresses)
        for group in reply.get("SecurityGroups", [])
        for rule in group.get("IpPermissions", [])
    )


def _rule_admits(rule: Mapping[str, Any], port: int, groups: Sequence[str], addresses: Sequence[str]) -> bool:
    if rule.get("IpProtocol") not in ("-1", "tcp", "6"):
        return False
    if rule.get("IpProtocol") != "-1" and not rule.get("FromPort", 0) <= port <= rule.get("ToPort", 65535):
        return False
    if rule.get("PrefixListIds"):
        return True
    if any(pair.get("GroupId") in groups for pair in rule.get("UserIdGroupPairs", [])):
        return True
    ranges = [entry.get("CidrIp") for entry in rule.get("IpRanges", [])]
    ranges += [entry.get("CidrIpv6") for entry in rule.get("Ipv6Ranges", [])]
    networks = [ipaddress.ip_network(text, strict=False) for text in ranges if text]
    return any(ipaddress.ip_address(address) in network for address in addresses for network in networks)
