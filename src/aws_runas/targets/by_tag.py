"""Resolvers for ``tag:value`` and for the Name tag: find running instances with the tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.ec2 import describe_instances
from aws_runas.targets.model import Found

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

RUNNING = {"instance-state-name": ["running"]}


def tag_pairs(text: str) -> list[tuple[str, str]]:
    """Split ``tag:value`` at a colon so that neither side is empty.

    Args:
        text: the target as typed.

    Returns:
        An empty list if the text is not such a pair. Two pairs if the tag or the value contains a colon
        (``env:blue:2``, ``aws:cloudformation:stack-name:web``): split at the first colon, then at the last.
        No tag key is ``aws``, so a text that starts with ``aws:`` is only split at the last colon.
    """
    first, last = text.partition(":"), text.rpartition(":")
    readings = [last] if text.startswith("aws:") else [first, last]
    return list(dict.fromkeys((key, value) for key, _, value in readings if key and value))


def by_tag(text: str, access: Access) -> Found:
    """Find running instances by ``tag:value``.

    Args:
        text: the target as typed.
        access: the profile.
    """
    ways = []
    for key, value in tag_pairs(text):
        ways.append(f"tag {key!r} with value {value!r}")
        instances = describe_instances(access, {f"tag:{key}": [value], **RUNNING})
        if instances:
            return Found(ways[-1], tuple(instances))
    return Found(" or ".join(ways), reason="no running instance has it")


def by_name(text: str, access: Access) -> Found:
    """Find running instances by their Name tag. EC2 treats ``*`` and ``?`` in the name as wildcards.

    An instance with exactly this name takes precedence over instances that match it as a pattern.

    Args:
        text: the target as typed.
        access: the profile.
    """
    instances = describe_instances(access, {"tag:Name": [text], **RUNNING})
    exact = tuple(instance for instance in instances if instance.name == text)
    if instances:
        return Found("Name tag", exact or tuple(instances))
    others = describe_instances(access, {"tag:Name": [text]})
    if not others:
        return Found("Name tag", reason="no instance has it")
    first = f"only {others[0].instance_id} has it, and it is {others[0].state}"
    more = len(others) - 1
    return Found("Name tag", reason=first if not more else f"{first}; so are {more} more that do not run")


def running(access: Access) -> Found:
    """List every running instance, for the picker.

    Args:
        access: the profile.
    """
    instances = describe_instances(access, RUNNING)
    return Found("state", tuple(instances), "" if instances else "no instance is running")
