"""EC2: instances, security groups that admit them, and EC2 Instance Connect."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_runas.aws import reply
from aws_runas.aws.errors import translate
from aws_runas.aws.reply import limited
from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError, TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

PAGE_SIZE = 1000  # instances, the maximum of one DescribeInstances response


@dataclass(frozen=True, slots=True)
class Instance:
    """One EC2 instance.

    Args:
        instance_id: ``i-...``.
        name: value of its Name tag, "" if it has none.
        addresses: every address of every interface in canonical form, the primary private one first.
        zone: availability zone, such as ``eu-west-1a``; "" if unknown.
        state: ``running``, ``stopped``, ...
        profile_arn: of its instance profile, "" if it has none.
    """

    instance_id: str
    name: str = ""
    addresses: tuple[str, ...] = ()
    zone: str = ""
    state: str = "running"
    profile_arn: str = ""


def describe_instances(access: Access, filters: Mapping[str, Sequence[str]]) -> list[Instance]:
    """List the instances that match every filter, over all pages, sorted by id.

    Args:
        access: its credentials and region are used for the call.
        filters: names and values of DescribeInstances filters.

    Raises:
        AwsRunasError: the call was refused or failed.

    Source: AWS API reference, ec2 DescribeInstances.
    """
    wanted = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
    found: dict[str, Instance] = {}
    with translate("ec2", "DescribeInstances", TargetError):
        pages = access.client("ec2").get_paginator("describe_instances")
        for page in limited(pages.paginate(Filters=wanted, PaginationConfig={"PageSize": PAGE_SIZE})):
            for reservation in page.get("Reservations", []):
                for reply in reservation.get("Instances", []):
                    instance = _instance(reply)
                    found[instance.instance_id] = instance
    return [found[instance_id] for instance_id in sorted(found)]


def _instance(reply: Mapping[str, Any]) -> Instance:
    tags = {tag.get("Key"): tag.get("Value", "") for tag in reply.get("Tags", [])}
    return Instance(
        instance_id=reply["InstanceId"],
        name=tags.get("Name", ""),
        addresses=_addresses(reply),
        zone=reply.get("Placement", {}).get("AvailabilityZone", ""),
        state=reply.get("State", {}).get("Name", ""),
        profile_arn=reply.get("IamInstanceProfile", {}).get("Arn", ""),
    )


def _addresses(reply: Mapping[str, Any]) -> tuple[str, ...]:
    addresses = [reply.get("PrivateIpAddress"), reply.get("PublicIpAddress"), reply.get("Ipv6Address")]
    for interface in reply.get("NetworkInterfaces", []):
        for private in interface.get("PrivateIpAddresses", []):
            addresses += [private.get("PrivateIpAddress"), private.get("Association", {}).get("PublicIp")]
        addresses += [entry.get("Ipv6Address") for entry in interface.get("Ipv6Addresses", [])]
        addresses.append(interface.get("Association", {}).get("PublicIp"))
    return tuple(dict.fromkeys(address for address in addresses if address))


def push_public_key(access: Access, instance_id: str, user: str, key: str) -> None:
    """Let a user log in with a key for the next 60 seconds.

    Args:
        instance_id: ``i-...``.
        user: on the instance.
        key: a line as in a .pub file.

    Raises:
        AwsRunasError: the call was refused.

    Source: AWS API reference, ec2-instance-connect SendSSHPublicKey.
    """
    with translate("ec2-instance-connect", "SendSSHPublicKey", SessionError):
        access.client("ec2-instance-connect").send_ssh_public_key(
            InstanceId=instance_id, InstanceOSUser=user, SSHPublicKey=key
        )


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
    access: Access, groups: Sequence[str], port: int, from_groups: Sequence[str], *, from_addresses: Sequence[str]
) -> bool:
    """Return True if a rule in the groups admits TCP connections to a port.

    Args:
        access: its credentials and region are used for the call.
        groups: ids of the groups whose rules are checked.
        port: destination port.
        from_groups: ids of the source's groups.
        from_addresses: addresses of the source.

    Returns:
        True also if a rule names a prefix list, because its addresses are not looked up.

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
