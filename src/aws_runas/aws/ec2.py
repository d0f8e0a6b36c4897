"""EC2: which instances there are, as far as naming a target needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_runas.aws.errors import translate
from aws_runas.aws.reply import limited
from aws_runas.errors import TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

PAGE_SIZE = 1000  # instances, the most that one DescribeInstances answer holds


@dataclass(frozen=True, slots=True)
class Instance:
    """One EC2 instance.

    Args:
        instance_id: ``i-...``.
        name: value of its Name tag, "" where it has none.
        addresses: every address of every interface in canonical form, the primary private one first.
        zone: availability zone, such as ``eu-west-1a``; "" where it is unknown.
        state: ``running``, ``stopped``, ...
        profile_arn: of its instance profile, "" where it has none.
    """

    instance_id: str
    name: str = ""
    addresses: tuple[str, ...] = ()
    zone: str = ""
    state: str = "running"
    profile_arn: str = ""


def describe_instances(access: Access, filters: Mapping[str, Sequence[str]]) -> list[Instance]:
    """List the instances that pass every filter, over all pages, sorted by id.

    Args:
        access: whose credentials and region ask.
        filters: names and values of DescribeInstances filters.

    Raises:
        AwsRunasError: the call was refused or did not come through.

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
