"""Resolution of a target to an instance id: the resolvers in order, and the error if none finds an instance.

Order: ``raw:``; instance id; ECS task; ``tag:value``; IP address; private DNS name of EC2; address of a DNS name; TXT
record of a DNS name; Name tag. The spelling decides which of them can apply; the others make no EC2 calls or DNS
queries. The first resolver that finds an instance decides. If it finds several, the user chooses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from aws_runas.errors import AwsRunasError, TargetError, UsageError
from aws_runas.targets.model import matches
from aws_runas.targets.spelling import (
    RAW,
    ip_address,
    is_database,
    is_ecs,
    is_instance_id,
    is_private_dns_name,
    split_port,
)

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.targets.model import Found, Pick

__all__ = ["resolve_target", "split_port"]


def resolve_target(
    text: str, access: Access, *, pick: Pick | None = None, environ: Mapping[str, str] | None = None
) -> str:
    """Return the id of the instance, managed node or ECS task that a target names.

    Args:
        text: the target without its port. If it is empty and there is a pick, all running instances are offered.
        access: the credentials and region for the calls.
        pick: asks the user if several match; without it, several matches are an error.
        environ: variables that choose the DNS server; None for those of this process.

    Returns:
        ``i-...`` or ``mi-...``, which is used unchanged and not looked up, ``ecs:cluster_task_runtimeid``, or the text
        after ``raw:``.

    Raises:
        TargetError: nothing matches, several instances do, or the user did not pick one.
        AwsRunasError: EC2 or ECS refused the call.
    """
    spelled = _by_spelling(text, access, pick)
    if spelled is not None:
        return spelled
    tried: list[Found] = []
    denied: AwsRunasError | None = None
    for resolver in _resolvers(text, access, os.environ if environ is None else environ):
        try:
            found = resolver()
        except AwsRunasError as error:
            if error.code != "access-denied":
                raise
            denied = denied or error  # without permission for EC2, a TXT record can still name an instance
            continue
        if len(found.instances) == 1 and text:
            return found.instances[0].instance_id
        if found.instances:
            return _choose(text, found, pick)
        tried.append(found)
    if denied is not None:
        raise denied
    raise TargetError(
        f"no instance matches {text!r} in {access.region()}; tried in this order:",
        code="target-not-found",
        hint=_hint(text),
        details=tuple(f"{found.way}: {found.reason}" for found in tried),
    )


def _by_spelling(text: str, access: Access, pick: Pick | None) -> str | None:
    """Return the target if its spelling is enough to identify it; None if EC2 or DNS must be queried."""
    if text.lower().startswith(RAW):
        return _raw(text)
    if is_instance_id(text):
        return text.lower()
    if is_ecs(text):
        from aws_runas.targets.ecs import find_task

        return find_task(text, access, pick=pick).target
    if is_database(text):
        raise TargetError(
            f"{text!r} is a database, not an instance",
            code="target-is-database",
            hint=f"aws-runas forward {text} reaches it; name an instance with such a tag by its id",
        )
    if not text and pick is None:
        raise UsageError(
            "no target given", code="target-missing", hint="give an instance id, tag:value, IP, DNS name or Name tag"
        )
    return None


def _resolvers(text: str, access: Access, environ: Mapping[str, str]) -> list[Callable[[], Found]]:
    """Return the resolvers that can apply to the spelling of a text, in order."""
    from aws_runas.targets.by_address import by_address, by_private_dns
    from aws_runas.targets.by_dns import by_dns_address, by_dns_text, is_dns_name
    from aws_runas.targets.by_tag import by_name, by_tag, running, tag_pairs
    from aws_runas.targets.dns import LIFETIME, LIFETIME_BESIDE_A_NAME, Questions

    if not text:
        return [lambda: running(access)]
    ways: list[Callable[[], Found]] = []
    if ip_address(text):
        ways.append(lambda: by_address(text, access))
    elif tag_pairs(text):
        ways.append(lambda: by_tag(text, access))
    elif is_dns_name(text):
        if is_private_dns_name(text):
            ways.append(lambda: by_private_dns(text, access))
        named = None if "." in text else _attempt(lambda: by_name(text, access))
        beside = named is not None and bool(named.instances)
        questions = Questions(environ, lifetime=LIFETIME_BESIDE_A_NAME if beside else LIFETIME)
        ways.append(lambda: by_dns_address(text, access, questions))
        ways.append(lambda: by_dns_text(text, access, questions))
        if named is not None:
            found = named
            return [*ways, lambda: found]
    ways.append(lambda: by_name(text, access))
    return ways


def _attempt(way: Callable[[], Found]) -> Found | None:
    """Return the result of a resolver, None if EC2 denies the call."""
    try:
        return way()
    except AwsRunasError as error:
        if error.code != "access-denied":
            raise
        return None


def _raw(text: str) -> str:
    target = text[len(RAW) :]
    if not target:
        raise UsageError(f"no target in {text!r}", code="target-missing", hint="write it as raw:TARGET")
    return target


def _choose(text: str, found: Found, pick: Pick | None) -> str:
    if pick is not None:
        chosen = pick(found.instances)
        if chosen is None:
            raise TargetError("no instance was picked", code="target-not-picked")
        return chosen.instance_id
    raise TargetError(
        f"{text!r} matches {len(found.instances)} instances by {found.way}",
        code="target-ambiguous",
        details=matches(found.instances),
        hint="give one of these instance ids, or choose with --pick",
    )


def _hint(text: str) -> str:
    if text.lower().startswith(("i-", "mi-")):
        return "an instance id is i- or mi- and 8 or more hex digits"
    return "give an instance id (i-...), or check the region and that the instance is running"
