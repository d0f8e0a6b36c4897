"""The actions of ``fleet``: run, status, output, cancel, list."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aws_runas.aws.access import Access
from aws_runas.cli.access import open_access_for
from aws_runas.cli.commands.fleet.options import ASK_ABOVE, MOST_SESSIONS, FleetOptions, share
from aws_runas.cli.commands.fleet.report import FleetReport, as_text, exit_status, table
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.questions import as_json
from aws_runas.credentials.cache import cache_directory
from aws_runas.errors import AwsRunasError, TargetError, UsageError
from aws_runas.fleet.calls import AwsCalls, Script
from aws_runas.fleet.engine import Calls, Engine
from aws_runas.fleet.inventory import Inventory, take_inventory
from aws_runas.fleet.model import Host, Outcome, Pair, State
from aws_runas.fleet.policy import Action, FleetPolicy, Limits, Send
from aws_runas.fleet.records import RunRecord, RunRecords, SentCommand
from aws_runas.fleet.selectors import parse_selectors
from aws_runas.redact import printable

COMMENT: Final = "aws-runas fleet"  # in the service's history


def run_command(options: FleetOptions, env: Environment) -> Result:
    """Run the command on all selected hosts.

    Args:
        options: of the command.
        env: the outside world.

    Raises:
        TargetError: nothing is selected, or nothing can be reached.
    """
    text = _command_text(options)
    selectors = parse_selectors(options.selectors, lambda path: Path(path).expanduser().read_text(encoding="utf-8"))
    accesses = _accesses(options, env)
    inventories = {pair: take_inventory(access, pair, selectors) for pair, access in accesses.items()}
    hosts = [host for inventory in inventories.values() for host in inventory.reachable]
    unreached = [host for inventory in inventories.values() for host in (*inventory.offline, *inventory.unknown)]
    _report_unreached(inventories.values(), env)
    if options.dry_run:
        return Result(stdout=_dry_run(hosts))
    if not hosts:
        what = "can be reached" if unreached else f"matches {' '.join(options.selectors)}"
        raise TargetError(f"no instance {what}", code="fleet-no-instance", hint="see: aws-runas list instances")
    _confirm(options, hosts, env)
    if options.via == "sessions":
        from aws_runas.cli.commands.fleet.live import run_live

        return run_live(options, env, text, accesses, hosts, len(unreached), _report(options, env, len(hosts)))
    return _run(options, env, text, accesses, hosts, len(unreached))


def _run(
    options: FleetOptions, env: Environment, text: str, accesses: dict[Pair, Access], hosts: list[Host], unreached: int
) -> Result:
    output = _storage(options.full)
    record = RunRecord(secrets.token_hex(6), secrets.token_hex(8), env.now(), len(hosts), output=output)
    script = Script(text, record.nonce, options.cwd, options.user, options.powershell, options.pack, output)
    calls: dict[Pair, Calls] = {
        pair: AwsCalls(access, script, options.delivery, options.execution, f"{COMMENT} {record.run_id}")
        for pair, access in accesses.items()
    }
    limits = Limits(
        share(options.max_concurrency, len(hosts), 1),
        share(options.max_errors, len(hosts), 0),
        options.delivery,
        options.execution,
        fetch_all=options.powershell,
    )
    policy = FleetPolicy(hosts, limits, record.nonce)
    report = _report(options, env, len(hosts))
    records = _records(env)

    def command_sent(send: Send, command_id: str) -> None:
        pair, instances = send.pair, {host.instance_id: host.name for host in send.hosts}
        record.commands.append(SentCommand(pair.profile, pair.region, pair.account, command_id, instances))
        try:
            records.write(record)
        except OSError as error:
            report.message(f"warning: the run cannot be recorded: {error.strerror or error}")

    def call_failed(_action: Action, error: AwsRunasError) -> None:
        report.message(error.message)

    engine = Engine(
        policy,
        calls,
        time.monotonic,
        on_outcome=report.outcome,
        on_change=lambda: report.progress(policy.running, policy.waiting_outputs),
        on_command=command_sent,
        on_error=call_failed,
    )
    previous = signal.signal(signal.SIGINT, lambda _number, _frame: engine.interrupt())
    try:
        engine.run()
    finally:
        signal.signal(signal.SIGINT, previous)
    left = [outcome for outcome in report.outcomes if outcome.state is State.RUNNING]
    stdout = report.finish()
    if left or engine.interrupted:
        report.message(f"to see the rest: aws-runas fleet status {record.run_id}")
    status = exit_status(report.outcomes, unreached, skip_offline=options.skip_offline, interrupted=engine.interrupted)
    return Result(status, stdout=stdout)


def show_status(options: FleetOptions, env: Environment) -> Result:
    """Show the table of a run as the service knows it now.

    Args:
        options: of the command.
        env: the outside world.
    """
    record, outcomes = _ask_again(options, env)
    status = exit_status(outcomes, 0, skip_offline=True, interrupted=False)
    if options.output in ("json", "jsonl"):
        report = _report(replace(options, directory=None), env, record.total)
        for outcome in outcomes:
            report.outcome(outcome)
        return Result(status, stdout=report.finish())
    return Result(status, stdout=table(outcomes))


def show_output(options: FleetOptions, env: Environment) -> Result:
    """Print the outputs of a run, each line prefixed with the host's name.

    Args:
        options: of the command.
        env: the outside world.
    """
    _, outcomes = _ask_again(options, env)
    return Result(stdout="".join(as_text(outcome) for outcome in outcomes))


def cancel(options: FleetOptions, env: Environment) -> Result:
    """Cancel every command of a run.

    Args:
        options: of the command.
        env: the outside world.
    """
    record = _records(env).read(_run_id(options))
    for command in record.commands:
        _calls(options, env, command).cancel(command.command_id)
    return Result(stderr=f"aws-runas: {len(record.commands)} commands of run {record.run_id} were cancelled\n")


def list_runs(options: FleetOptions, env: Environment) -> Result:
    """List the recorded runs of this user.

    Args:
        options: of the command.
        env: the outside world.
    """
    records = _records(env).all()
    if options.output in ("json", "jsonl"):
        return Result(
            stdout=as_json(
                [{"id": one.run_id, "started": _when(one.started), "instances": one.total} for one in records]
            )
        )
    lines = [f"{one.run_id}  {_when(one.started)}  {one.total} instances\n" for one in records]
    return Result(stdout="".join(lines), stderr="" if records else "aws-runas: no fleet runs\n")


def _ask_again(options: FleetOptions, env: Environment) -> tuple[RunRecord, list[Outcome]]:
    """Poll the commands of a recorded run once, and fetch long outputs."""
    record = _records(env).read(_run_id(options))
    outcomes: list[Outcome] = []
    for command in record.commands:
        hosts = command.hosts()
        calls = _calls(options, env, command, record.output)
        policy = FleetPolicy(hosts, Limits(concurrency=len(hosts)), record.nonce)
        now = time.monotonic()
        policy.actions(now)
        policy.sent(Send(command.pair, tuple(hosts), 0), command.command_id, now)
        engine = Engine(
            policy,
            {command.pair: calls},
            time.monotonic,
            on_outcome=outcomes.append,
            on_change=lambda: None,
            on_command=lambda _send, _command_id: None,
            on_error=lambda _action, _error: None,
        )
        engine.run_once()
    return record, sorted(outcomes, key=lambda one: (one.host.label, one.host))


def _run_id(options: FleetOptions) -> str:
    if not options.words:
        raise UsageError(
            f"fleet {options.action} needs the id of a run", code="fleet-run-unknown", hint="see: aws-runas fleet list"
        )
    return options.words[-1]


def _calls(
    options: FleetOptions, env: Environment, command: SentCommand, output: dict[str, str] | None = None
) -> AwsCalls:
    access = open_access_for(replace(options.flags, region=command.region), command.profile or None, env)
    return AwsCalls(access, Script("", "", output=output or {}), 120, 3600, COMMENT)


def _command_text(options: FleetOptions) -> str:
    if options.script is None:
        return options.command
    try:
        return Path(options.script).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"--script {options.script} cannot be read: {reason}", code="usage") from None


def _accesses(options: FleetOptions, env: Environment) -> dict[Pair, Access]:
    """Open every pair of profile and region; one MFA code serves all roles of a user."""
    from aws_runas.aws.caller import caller_identity

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


def _report_unreached(inventories: Iterable[Inventory], env: Environment) -> None:
    for inventory in inventories:
        for host in inventory.offline:
            env.stderr.write(f"aws-runas: {printable(host.label)} ({host.instance_id}) is offline\n")
        for host in inventory.unknown:
            env.stderr.write(f"aws-runas: Systems Manager knows no instance {host.instance_id} in {host.pair.region}\n")
    env.stderr.flush()


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
    question = f"run on {len(hosts)} instances? (y/n) "
    if not env.stderr.isatty():
        raise UsageError(
            f"{len(hosts)} instances are selected", code="fleet-not-confirmed", hint="add --yes, or look with --dry-run"
        )
    from aws_runas.cli.terminal.prompt import ask_on_terminal

    if ask_on_terminal(question).strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was run", code="fleet-not-confirmed")


def _report(options: FleetOptions, env: Environment, total: int) -> FleetReport:
    directory = None
    if options.directory is not None:
        directory = Path(options.directory).expanduser()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--dir {directory}: {error.strerror}", code="usage") from None
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


def _records(env: Environment) -> RunRecords:
    return RunRecords(cache_directory(env.environ, env.config_files().config.path, env.home) / "fleet")


def _when(started: float) -> str:
    return datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
