"""Selectors -> hosts: what Systems Manager and EC2 know, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_runas.aws.access import Access
from aws_runas.aws.run_command import group_members, list_nodes, list_tags
from aws_runas.errors import AwsRunasError
from aws_runas.fleet.model import Host, Pair
from aws_runas.fleet.selectors import Candidate, Selector


@dataclass(frozen=True, slots=True)
class Inventory:
    """The hosts of one pair.

    Args:
        reachable: selected and online, sorted by name and id.
        offline: selected, but the agent is not connected.
        unknown: ids that were named and that Systems Manager does not know.
    """

    reachable: tuple[Host, ...]
    offline: tuple[Host, ...]
    unknown: tuple[Host, ...]


def take_inventory(access: Access, pair: Pair, selectors: Sequence[Selector]) -> Inventory:
    """Ask which instances the selectors mean. An instance that two selectors select counts once.

    Raises:
        AwsRunasError: Systems Manager or a resource group could not be asked.
    """
    groups = {
        part.key: group_members(access, part.key)
        for selector in selectors
        for part in selector.parts
        if part.kind == "group"
    }
    candidates = _candidates(access, needs_tags=_needs_tags(selectors))
    selected = [one for one in candidates if any(selector.matches(one, groups) for selector in selectors)]
    known = {candidate.instance_id for candidate in candidates}
    named = frozenset[str]().union(*(selector.named_ids() for selector in selectors if len(selector.parts) == 1))
    return Inventory(
        reachable=_hosts(pair, [one for one in selected if one.online]),
        offline=_hosts(pair, [one for one in selected if not one.online]),
        unknown=tuple(Host(pair, instance_id) for instance_id in sorted(named - known)),
    )


def _needs_tags(selectors: Sequence[Selector]) -> bool:
    return any(part.kind in ("tag", "name") for selector in selectors for part in selector.parts)


def _candidates(access: Access, *, needs_tags: bool) -> list[Candidate]:
    nodes = list_nodes(access)
    try:
        tags = list_tags(access)
    except AwsRunasError:
        if needs_tags:
            raise
        tags = {}  # names are for people; ids, groups and "all" work without them
    return [
        Candidate(
            node.instance_id,
            tags.get(node.instance_id, {}).get("Name") or node.name,
            tags.get(node.instance_id, {}),
            node.online,
            node.platform,
        )
        for node in nodes
    ]


def _hosts(pair: Pair, candidates: Sequence[Candidate]) -> tuple[Host, ...]:
    hosts = [Host(pair, candidate.instance_id, candidate.name) for candidate in candidates]
    return tuple(sorted(hosts, key=lambda host: (host.label, host.instance_id)))
