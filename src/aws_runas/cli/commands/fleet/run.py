"""The actions of ``fleet``: run, status, output, cancel, list."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from aws_runas.aws.access import Access
from aws_runas.cli.access import open_access_for
from aws_runas.cli.commands.fleet.options import ASK_ABOVE, MOST_SESSIONS, FleetOptions, FleetRun, share
from aws_runas.cli.commands.fleet.report import FleetReport
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.errors import TargetError, UsageError
from aws_runas.files import read_named
from aws_runas.fleet.calls import AwsCalls, Script
from aws_runas.fleet.engine import Calls, Engine
from aws_runas.fleet.inventory import Inventory, take_inventory
from aws_runas.fleet.model import Host, Limits, Outcome, Pair, Send, State
from aws_runas.fleet.policy import FleetPolicy
from aws_runas.fleet.records import RunRecord, RunRecords
from aws_runas.fleet.selectors import parse_selectors
from aws_runas.redact import printable
from aws_runas.ssm.records import identify_process

COMMENT: Final = "aws-runas fleet"  # in the service's history


def run_command(options: FleetOptions, env: Environment) -> Result:
    """Run the command on all selected hosts.

    Args:
        options: options of the command.
        env: the outside world.

    Raises:
        TargetError: nothing is selected, or nothing can be reached.
    """
    text = _command_text(options)
    selectors = parse_selectors(
        options.selectors, lambda path: read_named(Path(os.path.expanduser(path))).decode("utf-8")
    )
    accesses = _accesses(options, env)
    inventories = [
        take_inventory(access, pair, selectors, powershell=options.powershell, sessions=options.via == "sessions")
        for pair, access in accesses.items()
    ]
    hosts = _once(host for inventory in inventories for host in inventory.reachable)
    unreached = _missing(hosts, inventories)
    if not hosts:
        raise TargetError(
            "no instance can be reached" if unreached else f"no instance matches {' '.join(options.selectors)}",
            code="fleet-no-instance",
            hint="see: aws-runas list instances",
            details=tuple(printable(_words(outcome)) for outcome in unreached),
        )
    if options.dry_run:
        for outcome in unreached:
            env.tell(f"aws-runas: {_words(outcome)}\n")
        return Result(stdout=_dry_run(hosts))
    _confirm(options, hosts, env)
    report = make_report(options, env, len(hosts))
    for outcome in unreached:
        report.unreached(outcome)
    fleet_run = FleetRun(options, env, text, accesses, hosts, run_records(env), report)
    if options.via == "sessions":
        from aws_runas.cli.commands.fleet.live import run_live

        return run_live(fleet_run)
    return _run(fleet_run)


def _run(run: FleetRun) -> Result:
    options, report, hosts = run.options, run.report, run.hosts
    record = _new_record(options, run.env, hosts)
    script = Script(run.text, record.nonce, options.cwd, options.user, options.powershell, options.pack, record.output)
    calls: dict[Pair, Calls] = {
        pair: AwsCalls(access, script, options.delivery, options.execution, comment_of(record))
        for pair, access in run.accesses.items()
    }
    limits = Limits(
        share(options.max_concurrency, len(hosts), 1),
        share(options.max_errors, len(hosts), 0),
        options.delivery,
        options.execution,
        fetch_all=options.powershell,
    )
    policy = FleetPolicy(hosts, limits, record.nonce)
    said: set[str] = set()

    def say_once(text: str) -> None:
        if text not in said:
            said.add(text)
            report.message(text)

    def write_record() -> None:
        try:
            run.records.write(record)
        except OSError as error:
            say_once(f"warning: the run cannot be recorded: {(error.strerror or str(error)).lower()}")

    def command_sent(send: Send, command_id: str) -> None:
        record.sent(send.pair, command_id, {host.instance_id: host.name for host in send.hosts})
        write_record()

    write_record()

    engine = Engine(
        policy,
        calls,
        time.monotonic,
        on_outcome=report.outcome,
        on_change=lambda: report.progress(policy.running, policy.waiting_outputs),
        on_command=command_sent,
        on_error=lambda _action, error: say_once(error.message),
    )
    _run_engine(engine)
    stdout = report.finish()
    for command_id, hosts_left in _running(report.outcomes).items():
        report.message(f"still running in command {command_id}: {', '.join(hosts_left)}")
    if engine.interrupted:
        report.message(f"to see the rest: aws-runas fleet status {record.run_id}")
    status = report.exit_status(skip_offline=options.skip_offline, interrupted=engine.interrupted)
    return Result(status, stdout=stdout)


def _new_record(options: FleetOptions, env: Environment, hosts: Sequence[Host]) -> RunRecord:
    record = RunRecord(secrets.token_hex(6), secrets.token_hex(8), env.now(), len(hosts), output=_storage(options.full))
    record.powershell, record.pid, record.process = options.powershell, os.getpid(), identify_process(os.getpid())
    record.plan(hosts)
    return record


def _run_engine(engine: Engine) -> None:
    """Run to completion. Ctrl-C interrupts the engine instead of the program."""
    previous = signal.signal(signal.SIGINT, lambda _number, _frame: engine.interrupt())
    try:
        engine.run()
    finally:
        signal.signal(signal.SIGINT, previous)


def _running(outcomes: Iterable[Outcome]) -> dict[str, list[str]]:
    """Return the hosts that are still running, as command id -> instance ids."""
    left: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.state is State.RUNNING:
            left.setdefault(outcome.command_id, []).append(outcome.host.instance_id)
    return left


def _once(hosts: Iterable[Host]) -> list[Host]:
    """Remove hosts that two pairs reach: profiles of one account see the same instances."""
    seen: dict[tuple[str, str, str], Host] = {}
    for host in hosts:
        seen.setdefault((host.pair.account, host.pair.region, host.instance_id), host)
    return list(seen.values())


def _missing(hosts: Sequence[Host], inventories: Sequence[Inventory]) -> list[Outcome]:
    """Return the selected hosts that cannot be reached. An id that another pair knows is not missing."""
    known = {host.instance_id for host in hosts}
    outcomes = [outcome for inventory in inventories for outcome in inventory.unreached]
    listed = {outcome.host.instance_id for outcome in outcomes if outcome.host.name}
    unique: dict[str, Outcome] = {}
    for outcome in outcomes:
        host = outcome.host
        if host.instance_id not in known and (host.name or host.instance_id not in listed):
            unique.setdefault(host.instance_id, outcome)
    return list(unique.values())


def _words(outcome: Outcome) -> str:
    return f"{outcome.host.label} ({outcome.host.instance_id}) is skipped: {outcome.details}"


def comment_of(record: RunRecord) -> str:
    return f"{COMMENT} {record.run_id}"


def _command_text(options: FleetOptions) -> str:
    if options.script is None:
        return options.command
    try:
        return read_named(Path(os.path.expanduser(options.script))).decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"--script {options.script} cannot be read: {reason}", code="usage") from None


def _accesses(options: FleetOptions, env: Environment) -> dict[Pair, Access]:
    """Open every pair of profile and region; one MFA code serves all roles of a user."""
    from aws_runas.aws.sts import caller_identity

    named = options.flags.profile or (options.words[0] if options.words else None)
    if len(options.words) > 1:
        raise UsageError(
            f"unexpected argument {options.words[1]!r}", code="argument-unexpected", hint="the command goes after --"
        )
    accesses: dict[Pair, Access] = {}
    for profile in options.profiles or (named,):
        account = ""
        for region in options.regions or (options.flags.region,):
            access = open_access_for(replace(options.flags, region=region), profile, env)
            account = account or caller_identity(access).account
            accesses[Pair(access.profile.name, access.region(), account)] = access
    return accesses


def _dry_run(hosts: Sequence[Host]) -> str:
    rows = [(host.instance_id, host.name or "-", host.pair.profile, host.pair.region) for host in hosts]
    return "".join("  ".join(printable(cell) for cell in row) + "\n" for row in rows)


def _confirm(options: FleetOptions, hosts: Sequence[Host], env: Environment) -> None:
    if options.yes or len(hosts) <= ASK_ABOVE:
        return
    if options.via == "sessions" and len(hosts) > MOST_SESSIONS:
        raise UsageError(
            f"{len(hosts)} instances are many for --via sessions: each takes a session",
            code="fleet-not-confirmed",
            hint="add --yes, or use --via command",
        )
    if not env.stderr.isatty():
        raise UsageError(
            f"{len(hosts)} instances are selected",
            code="fleet-not-confirmed",
            hint="add --yes, or check the selection with --dry-run",
        )
    from aws_runas.cli.terminal.prompt import confirm

    if not confirm(f"run on {len(hosts)} instances?"):
        raise UsageError("nothing was run", code="fleet-not-confirmed", hint="to run it without a question: --yes")


def make_report(options: FleetOptions, env: Environment, total: int) -> FleetReport:
    """Return the report of a run, and create its output directory.

    Args:
        options: options of the command.
        env: its stderr shows progress.
        total: number of instances.
    """
    directory = None
    if options.directory is not None:
        directory = Path(os.path.expanduser(options.directory))
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--dir {directory}: {(error.strerror or str(error)).lower()}", code="usage") from None
    return FleetReport(
        env,
        output=options.output,
        total=total,
        quiet=options.flags.quiet,
        is_terminal=env.stderr.isatty() and os.environ.get("TERM") != "dumb",
        directory=directory,
        live=options.via == "sessions",
    )


def _storage(full: str) -> dict[str, str]:
    kind, _, rest = full.partition(":")
    if kind == "s3":
        bucket, _, prefix = rest.partition("/")
        return {"bucket": bucket, "prefix": prefix}
    return {"log_group": rest} if kind == "logs" else {}


def run_records(env: Environment) -> RunRecords:
    return RunRecords(env.cache_directory() / "fleet")
