"""EC2 security groups: whether a group admits connections from an instance."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_runas.aws import reply
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
        answer = access.client("ec2").describe_instances(InstanceIds=[instance_id])
        groups: list[str] = []
        addresses: list[str] = []
        for reservation in reply.mappings(answer, "Reservations"):
            for instance in reply.mappings(reservation, "Instances"):
                groups += [reply.text(group, "GroupId") for group in reply.mappings(instance, "SecurityGroups")]
                addresses += [address for address in [reply.text(instance, "PrivateIpAddress", "")] if address]
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
        answer = access.client("ec2").describe_security_groups(GroupIds=list(groups))
        return any(
            _rule_admits(rule, port, from_groups, from_addresses)
            for group in reply.mappings(answer, "SecurityGroups")
            for rule in reply.mappings(group, "IpPermissions")
        )


def _rule_admits(rule: Mapping[str, Any], port: int, groups: Sequence[str], addresses: Sequence[str]) -> bool:
    protocol = reply.text(rule, "IpProtocol", "")
    if protocol not in ("-1", "tcp", "6"):
        return False
    if protocol != "-1" and not reply.number(rule, "FromPort", 0) <= port <= reply.number(rule, "ToPort", 65535):
        return False
    if reply.mappings(rule, "PrefixListIds"):
        return True
    if any(reply.text(pair, "GroupId", "") in groups for pair in reply.mappings(rule, "UserIdGroupPairs")):
        return True
    ranges = [reply.text(entry, "CidrIp", "") for entry in reply.mappings(rule, "IpRanges")]
    ranges += [reply.text(entry, "CidrIpv6", "") for entry in reply.mappings(rule, "Ipv6Ranges")]
    return any(_is_in(address, network) for address in addresses for network in ranges if network)


def _is_in(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        raise reply.ReplyError("CidrIp") from None
