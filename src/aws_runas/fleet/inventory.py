"""Selectors -> hosts: looks up instances in Systems Manager and EC2 before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from aws_runas.aws.access import Access
from aws_runas.aws.run_command import group_members, list_nodes, list_tags
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError
from aws_runas.fleet.model import Host, Outcome, Pair, State
from aws_runas.fleet.selectors import INSTANCE_ID, Candidate, Selector

LINUX, WINDOWS = "Linux", "Windows"  # PlatformType of DescribeInstanceInformation; a third value is MacOS


@dataclass(frozen=True, slots=True)
class Inventory:
    """The hosts of one pair.

    Args:
        reachable: selected and online, sorted by name and id.
        unreached: selected, but not reachable: offline, on another platform than the command's, or given by an id
            that Systems Manager does not know. Each has its reason.
    """

    reachable: tuple[Host, ...]
    unreached: tuple[Outcome, ...]


def take_inventory(
    access: Access,
    pair: Pair,
    selectors: Sequence[Selector],
    *,
    powershell: bool = False,
    sessions: bool = False,
) -> Inventory:
    """Find the instances that the selectors match. An instance that matches two selectors counts once.

    Args:
        access: credentials of the pair.
        pair: profile and region.
        selectors: the parsed selectors.
        powershell: the command is for Windows; otherwise it is for a POSIX shell.
        sessions: the command runs through sessions, whose helper needs Linux.

    Raises:
        AwsRunasError: Systems Manager or a resource group could not be queried.
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
    reasons = {one.instance_id: _mismatch(one.platform, powershell=powershell, sessions=sessions) for one in selected}
    unfit = [one for one in selected if reasons[one.instance_id]]
    fit = [one for one in selected if not reasons[one.instance_id]]
    return Inventory(
        reachable=_hosts(pair, [one for one in fit if one.online]),
        unreached=(
            *_outcomes(pair, [one for one in fit if not one.online], State.OFFLINE, "its agent is not connected"),
            *(out for one in unfit for out in _outcomes(pair, [one], State.REFUSED, reasons[one.instance_id])),
            *(
                Outcome(Host(pair, instance_id), State.OFFLINE, f"Systems Manager does not know it in {pair.region}")
                for instance_id in sorted(named - known)
            ),
        ),
    )


def _mismatch(platform: str, *, powershell: bool, sessions: bool) -> str:
    """Return why a command cannot run on a platform, "" if it can. Run Command would answer InvalidPlatform."""
    if not platform or (platform == WINDOWS if powershell else platform == LINUX):
        return ""
    if powershell:
        return f"it runs {platform}, so it needs a command without --powershell"
    if sessions:
        return f"it runs {platform}, so it needs --via command{' and --powershell' if platform == WINDOWS else ''}"
    return f"it runs {platform}, so it needs --powershell" if platform == WINDOWS else ""


def _outcomes(pair: Pair, candidates: Sequence[Candidate], state: State, details: str) -> list[Outcome]:
    return [Outcome(host, state, details) for host in _hosts(pair, candidates)]


def _needs_tags(selectors: Sequence[Selector]) -> bool:
    return any(part.kind in ("tag", "name") for selector in selectors for part in selector.parts)


def _candidates(access: Access, *, needs_tags: bool) -> list[Candidate]:
    nodes = list_nodes(access)
    try:
        tags = list_tags(access)
    except AwsRunasError:
        if needs_tags:
            raise
        tags = {}  # names are only for display; ids, groups and "all" work without them
    return [
        Candidate(
            node.instance_id,
            tags.get(node.instance_id, {}).get("Name") or node.name,
            tags.get(node.instance_id, {}),
            node.online,
            node.platform,
        )
        for node in nodes
        if INSTANCE_ID.fullmatch(node.instance_id)  # the id is used as a file name
    ]


def _hosts(pair: Pair, candidates: Sequence[Candidate]) -> tuple[Host, ...]:
    hosts = [Host(pair, candidate.instance_id, candidate.name) for candidate in candidates]
    return tuple(sorted(hosts, key=lambda host: (host.label, host.instance_id)))
