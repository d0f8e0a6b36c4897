"""Facts about an instance before a session, and the reason why the instance does not accept one.

The platform and the agent's version are cached for a day. The reason comes from Systems Manager and EC2.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_runas import files
from aws_runas.aws.ec2 import Instance, describe_instances
from aws_runas.aws.ssm import InstanceFacts, ManagedNode, ask_instance_facts, managed_node
from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

KEPT: Final = 86_400.0  # seconds; a platform never changes, and agents are only updated to newer versions
REFUSED_KEPT: Final = 3600.0  # seconds that an answer without facts is kept, to avoid a call each time


def instance_facts(
    access: Access,
    instance_id: str,
    directory: Path,
    now: Callable[[], float],
    *,
    is_good: Callable[[InstanceFacts], bool] = lambda _: True,
) -> InstanceFacts:
    """Return the known facts about an instance; without permission for the call, return empty facts.

    Args:
        instance_id: ``i-...`` or ``mi-...``; for any other id the facts are empty.
        directory: the cache directory; if it is not writable, the service is called each time.
        now: seconds since the epoch.
        is_good: returns False for cached facts that would make the command fail; the service is then called again.
    """
    if not instance_id.startswith(("i-", "mi-")):
        return InstanceFacts()
    path = directory / f"instance-{_digest(access, instance_id)}.json"
    kept = _read(path, now())
    if kept is not None and is_good(kept):
        return kept
    try:
        facts = ask_instance_facts(access, instance_id)
    except AwsRunasError:
        facts = InstanceFacts()
    with contextlib.suppress(OSError):
        files.make_private_directory(directory)
        values = {"platform": facts.platform, "agent_version": facts.agent_version, "asked": now()}
        files.write_atomic(path, json.dumps(values).encode("ascii"), durable=False)
    return facts


def _digest(access: Access, instance_id: str) -> str:
    identity = access.provider.credentials().access_key_id
    text = f"{identity}\n{access.region()}\n{access.profile.endpoint_url('ssm')}\n{instance_id}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _read(path: Path, now: float) -> InstanceFacts | None:
    try:
        values = json.loads(files.read_plain(path))
        facts = InstanceFacts(str(values["platform"]), str(values["agent_version"]))
        age = now - float(values["asked"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return facts if 0 <= age < (KEPT if facts.platform else REFUSED_KEPT) else None


_GENERAL = "is it running, is its SSM agent up and permitted, and is this its region and account?"


def why_not_connected(instance_id: str, access: Access) -> str:
    """Explain why an instance is not connected, as far as this identity is allowed to see.

    Args:
        instance_id: the id of the instance.
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
        node: a node that is not online.
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
