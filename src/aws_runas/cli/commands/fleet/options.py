"""Options of ``fleet``, and the run that results from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.dataclass import dataclass

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.cli.commands.fleet.report import FleetReport
    from aws_runas.cli.environment import Environment
    from aws_runas.fleet.model import Host, Pair
    from aws_runas.fleet.records import RunRecords

ASK_ABOVE = 10  # instances
MOST_SESSIONS = 50  # instances that are reached through sessions without --yes


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Options of a command on instances.

    Args:
        action: one of ACTIONS.
        profile: None if none was given.
        run_id: for every action except run and list.
        command: shell text; "" if a script file is used.
        selectors: the values of ``--on``.
        profiles, regions: the run covers every pair; empty for the one profile and its region.
        max_concurrency, max_errors: numbers or percentages, over all pairs.
        execution, delivery: timeouts in seconds.
        script: file with the command, None if it is on the command line.
        output: one of FORMATS.
        directory: also receives the output of each host as files.
        via: ``command`` for Run Command, ``sessions`` for live output.
        full: ``auto``, ``none``, ``s3:BUCKET/PREFIX`` or ``logs:GROUP``.
    """

    action: str
    flags: GlobalFlags
    profile: str | None = None
    run_id: str = ""
    command: str = ""
    selectors: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    max_concurrency: str = "50"
    max_errors: str = "0"
    execution: int = 3600
    delivery: int = 120
    script: str | None = None
    powershell: bool = False
    cwd: str | None = None
    user: str | None = None
    output: str = "table"
    directory: str | None = None
    dry_run: bool = False
    yes: bool = False
    skip_offline: bool = False
    full: str = "auto"
    via: str = "command"
    pack: bool = True
    words: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class FleetRun:
    """A run whose hosts are known and confirmed.

    Args:
        options: options of the command.
        env: the outside world.
        text: the command.
        accesses: one for each pair.
        hosts: hosts that can be reached.
        records: store for the record of the run.
        report: prints the results.
    """

    options: FleetOptions
    env: Environment
    text: str
    accesses: Mapping[Pair, Access]
    hosts: Sequence[Host]
    records: RunRecords
    report: FleetReport


def share(text: str, total: int, least: int) -> int:
    """Return ``10`` unchanged and ``10%`` as a share of a total.

    Args:
        text: a number, or a percentage.
        total: number of hosts.
        least: smallest result of a percentage.
    """
    if text.endswith("%"):
        return max(total * int(text[:-1]) // 100, least)
    return int(text)
