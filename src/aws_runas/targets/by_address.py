"""Resolver for IP addresses, public or private, IPv4 or IPv6: finds the running instance that has the address."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aws_runas.aws.ec2 import Instance, describe_instances
from aws_runas.targets.by_tag import RUNNING
from aws_runas.targets.model import Found
from aws_runas.targets.spelling import ip_address

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


def by_address(text: str, access: Access) -> Found:
    """Find the running instance that has an address.

    Args:
        text: an IP address.
        access: the profile.
    """
    address = ip_address(text)
    if address is None:
        return Found("IP address", reason="not an IP address")
    instances = instances_with([address], access)
    return Found(f"IP address {address}", tuple(instances), "" if instances else "no running instance has it")


def by_private_dns(text: str, access: Access) -> Found:
    """Find the running instance by EC2's private DNS name.

    Args:
        text: the name, with or without its domain.
        access: the profile.
    """
    names = [text.lower()]
    if "." not in text:
        domain = "ec2.internal" if access.region() == "us-east-1" else f"{access.region()}.compute.internal"
        names = [f"{text.lower()}.{domain}", f"{text.lower()}.*"]
    instances = describe_instances(access, {"private-dns-name": names, **RUNNING})
    return Found("private DNS name", tuple(instances), "" if instances else "no running instance has it")


def instances_with(addresses: Sequence[str], access: Access) -> list[Instance]:
    """Return the running instances that have any of these addresses.

    Primary IPv4 addresses are looked up with a filter, which gives one short answer. Secondary and IPv6 addresses have
    separate filters, and each matches only one kind. One list of the running instances covers them all.

    Args:
        addresses: canonical IP addresses.
        access: the credentials and region for EC2.
    """
    parsed = [ipaddress.ip_address(address) for address in addresses]
    four = [str(address) for address in parsed if address.version == 4]
    public = [str(address) for address in parsed if address.version == 4 and address.is_global]
    found: dict[str, Instance] = {}
    # A public address can be a private address in a VPC that uses public ranges. A private address is never public.
    for name, values in (("ip-address", public), ("private-ip-address", four)):
        if values and not found:
            found.update((one.instance_id, one) for one in describe_instances(access, {name: values, **RUNNING}))
    if not found:
        wanted = set(parsed)
        for instance in describe_instances(access, RUNNING):
            if any(ipaddress.ip_address(address) in wanted for address in instance.addresses):
                found[instance.instance_id] = instance
    return [found[instance_id] for instance_id in sorted(found)]
