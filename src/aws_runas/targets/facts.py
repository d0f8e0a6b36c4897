"""Facts about an instance before a session: its platform and its agent's version, cached for a day."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_runas import files
from aws_runas.aws.ssm import InstanceFacts, ask_instance_facts
from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

KEPT: Final = 86_400.0  # seconds; a platform never changes, and agents are updated to newer versions only
REFUSED_KEPT: Final = 3600.0  # seconds that an answer without facts is kept, so that it is not asked for each time


def instance_facts(
    access: Access,
    instance_id: str,
    directory: Path,
    now: Callable[[], float],
    is_good: Callable[[InstanceFacts], bool] = lambda _: True,
) -> InstanceFacts:
    """Return what is known of an instance; without permission to ask, nothing is.

    Args:
        instance_id: ``i-...`` or ``mi-...``; of others nothing is known.
        directory: the cache directory; where it cannot be written, the service is asked each time.
        now: seconds since the epoch.
        is_good: False for kept facts with which the command would end; the service is then asked again.
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
