"""``fleet --via sessions``: live output through sessions instead of Run Command."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Mapping, Sequence

from aws_runas.aws.access import Access
from aws_runas.cli.commands.fleet.options import FleetOptions, share
from aws_runas.cli.commands.fleet.report import FleetReport, exit_status
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.session.flags import SessionFlags, stream_options
from aws_runas.cli.session.open import session_api
from aws_runas.credentials.cache import cache_directory
from aws_runas.fleet.model import Host, Pair
from aws_runas.fleet.sessions import HostAccess, SessionFleet
from aws_runas.ssm.command.guardian import Guardian
from aws_runas.ssm.command.refusals import RefusedDocuments
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.session import PARENT_INTERVAL
from aws_runas.ssm.shutdown import leave_quickly
from aws_runas.ssm.transport import event_loop

REASON = "aws-runas fleet"


def run_live(
    options: FleetOptions,
    env: Environment,
    text: str,
    accesses: Mapping[Pair, Access],
    hosts: Sequence[Host],
    unreached: int,
    report: FleetReport,
) -> Result:
    """Run the command on all hosts through sessions."""
    opened = {pair: _open(access, env) for pair, access in accesses.items()}

    def end_session(session_id: str) -> None:
        for access in opened.values():
            access.service.terminate_session(session_id)

    request = CommandRequest(text, user=options.user, cwd=options.cwd, timeout=float(options.execution))
    with Guardian(end_session) as guardian:
        try:
            interrupted = event_loop.run(_run(options, request, opened, hosts, guardian, report))
        finally:
            leave_quickly()
    stdout = report.finish()
    status = exit_status(report.outcomes, unreached, skip_offline=options.skip_offline, interrupted=interrupted)
    return Result(status, stdout=stdout)


async def _run(
    options: FleetOptions,
    request: CommandRequest,
    opened: Mapping[Pair, HostAccess],
    hosts: Sequence[Host],
    guardian: Guardian,
    report: FleetReport,
) -> bool:
    fleet = SessionFleet(
        hosts,
        request,
        lambda host: opened[host.pair],
        guardian,
        concurrency=share(options.max_concurrency, len(hosts), 1),
        max_errors=share(options.max_errors, len(hosts), 0),
        on_line=report.line,
        on_outcome=report.outcome,
        on_change=lambda running: report.progress(running, 0),
        say=report.message,
        jitter=random.random,
        reason=REASON,
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, fleet.interrupt)
    if os.getppid() > 1:
        _interrupt_without_parent(fleet, os.getppid())
    try:
        await fleet.run()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    return fleet.interrupted


def _interrupt_without_parent(fleet: SessionFleet, parent: int) -> None:
    """Interrupt the run when our parent is gone: nobody reads its output. Looks again and again."""
    if os.getppid() != parent:
        fleet.interrupt()
    else:
        asyncio.get_running_loop().call_later(PARENT_INTERVAL, _interrupt_without_parent, fleet, parent)


def _open(access: Access, env: Environment) -> HostAccess:
    api = session_api(access, env)
    api.prepare()
    directory = cache_directory(env.environ, env.config_files().config.path, env.home)
    identity = access.provider.credentials().access_key_id
    refusals = RefusedDocuments(directory, identity, access.region(), env.now)
    return HostAccess(api, api, stream_options(SessionFlags(quiet=True), access, env), refusals)
