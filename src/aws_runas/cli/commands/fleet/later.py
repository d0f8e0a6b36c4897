"""The actions of ``fleet`` on an earlier run: status, output, cancel, list."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from aws_runas.aws.run_command import list_commands
from aws_runas.aws.ssm import end_session
from aws_runas.cli.access import open_access_for
from aws_runas.cli.commands.fleet.options import FleetOptions
from aws_runas.cli.commands.fleet.report import as_text, exit_status, table
from aws_runas.cli.commands.fleet.run import comment_of, make_report, run_records
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.questions import as_json
from aws_runas.errors import AwsRunasError, UsageError
from aws_runas.fleet.calls import AwsCalls, Script
from aws_runas.fleet.engine import Engine
from aws_runas.fleet.model import Limits, Outcome, Send, State
from aws_runas.fleet.policy import FleetPolicy
from aws_runas.fleet.records import RunRecord, SentCommand, outcome_of
from aws_runas.ssm.records import SessionRecord

CLOCK_TOLERANCE: Final = timedelta(minutes=5)  # AWS accepts requests from clocks that are wrong by less
ENDED_WITH_PROCESS: Final = "the process of the run is gone, and its sessions with it"


def show_status(options: FleetOptions, env: Environment) -> Result:
    """Show the current state of a run as a table.

    Args:
        options: options of the command.
        env: the outside world.
    """
    record, outcomes = ask_again(options, env)
    status = exit_status(outcomes, (), skip_offline=False, interrupted=False)
    if options.output in ("json", "jsonl"):
        report = make_report(replace(options, directory=None), env, record.total)
        for outcome in outcomes:
            report.outcome(outcome)
        return Result(status, stdout=report.finish())
    return Result(status, stdout=table(outcomes))  # the run itself reported the failures


def show_output(options: FleetOptions, env: Environment) -> Result:
    """Print the outputs of a run, each line prefixed with the host's name.

    Args:
        options: options of the command.
        env: the outside world.
    """
    _, outcomes = ask_again(options, env)
    return Result(stdout="".join(as_text(outcome) for outcome in outcomes))


def cancel(options: FleetOptions, env: Environment) -> Result:
    """Cancel every command of a run.

    Args:
        options: options of the command.
        env: the outside world.
    """
    record = run_records(env).read(_run_id(options))
    if record.via == "sessions":
        return _cancel_sessions(options, env, record)
    commands = [*record.commands, *unrecorded(options, env, record)]
    failures = []
    for command in commands:
        try:
            _calls(options, env, command, record).cancel(command.command_id)
        except AwsRunasError as error:
            failures.append(error)
    done = len(commands) - len(failures)
    lines = [f"aws-runas: {done} command{'' if done == 1 else 's'} of run {record.run_id} cancelled\n"]
    lines += [f"aws-runas: {error.message}\n" for error in failures]
    return Result(failures[0].exit_status if failures else 0, stderr="".join(lines))


def list_runs(options: FleetOptions, env: Environment) -> Result:
    """List the recorded runs of this user.

    Args:
        options: options of the command.
        env: the outside world.
    """
    records = run_records(env).all()
    if options.output in ("json", "jsonl"):
        return Result(
            stdout=as_json(
                [{"id": one.run_id, "started": _when(one.started), "instances": one.total} for one in records]
            )
        )
    lines = [f"{one.run_id}  {_when(one.started)}  {one.total} instances\n" for one in records]
    return Result(stdout="".join(lines), stderr="" if records else "aws-runas: no fleet runs\n")


def _run_id(options: FleetOptions) -> str:
    if not options.words:
        raise UsageError(
            f"fleet {options.action} needs the id of a run", code="fleet-run-unknown", hint="see: aws-runas fleet list"
        )
    return options.words[-1]


def ask_again(options: FleetOptions, env: Environment) -> tuple[RunRecord, list[Outcome]]:
    """Return a recorded run and its outcomes now: for Run Command from the service, for sessions from the record.

    Raises:
        AwsRunasError: there is no such run, or the service does not answer.
    """
    record = run_records(env).read(_run_id(options))
    if record.via == "sessions":
        outcomes = _of_sessions(record, env)
    else:
        found = unrecorded(options, env, record)
        outcomes = [
            outcome for command in (*record.commands, *found) for outcome in _poll(options, env, record, command)
        ]
        known = {(outcome.host.pair, outcome.host.instance_id) for outcome in outcomes}
        state = State.WAITING if _is_alive(record) else State.NOT_RUN
        for plan in record.not_sent():
            outcomes += [Outcome(host, state) for host in plan.hosts() if (host.pair, host.instance_id) not in known]
    return record, sorted(outcomes, key=lambda one: (one.host.label, one.host))


def unrecorded(options: FleetOptions, env: Environment, record: RunRecord) -> list[SentCommand]:
    """Return commands that the service accepted, but that the run did not record because it was killed.

    The comment of a command names its run.

    Args:
        options: options of the command; the region of each pair replaces theirs.
        env: the outside world.
        record: record of the run.
    """
    found: list[SentCommand] = []
    since = datetime.fromtimestamp(record.started, UTC) - CLOCK_TOLERANCE
    for plan in record.not_sent():
        access = open_access_for(replace(options.flags, region=plan.region), plan.profile or None, env)
        with suppress(AwsRunasError):  # without the permission, only the recorded commands are known
            for row in list_commands(access, comment_of(record), since):
                instances = {one: plan.instances[one] for one in row.instances if one in plan.instances}
                if instances:
                    found.append(SentCommand(plan.profile, plan.region, plan.account, row.command_id, instances))
    return found


def _poll(options: FleetOptions, env: Environment, record: RunRecord, command: SentCommand) -> list[Outcome]:
    """Poll a command once, and fetch long output."""
    hosts = command.hosts()
    outcomes: list[Outcome] = []
    errors: list[AwsRunasError] = []
    limits = Limits(concurrency=len(hosts), fetch_all=record.powershell, fetch_ended=True)
    policy = FleetPolicy(hosts, limits, record.nonce)
    now = time.monotonic()
    policy.actions(now)
    policy.sent(Send(command.pair, tuple(hosts), 0), command.command_id, now)
    engine = Engine(
        policy,
        {command.pair: _calls(options, env, command, record)},
        time.monotonic,
        on_outcome=outcomes.append,
        on_change=lambda: None,
        on_command=lambda _send, _command_id: None,
        on_error=lambda _action, error: errors.append(error),
    )
    engine.run_once()
    if errors and all(outcome.state in (State.RUNNING, State.UNKNOWN) for outcome in outcomes):
        raise errors[0]  # no outcome is known
    return [replace(outcome, seconds=0.0) for outcome in outcomes]  # the end time is not known


def _calls(options: FleetOptions, env: Environment, command: SentCommand, record: RunRecord) -> AwsCalls:
    access = open_access_for(replace(options.flags, region=command.region), command.profile or None, env)
    return AwsCalls(access, Script("", "", output=record.output), 120, 3600, comment_of(record))


def _of_sessions(record: RunRecord, env: Environment) -> list[Outcome]:
    """Return the outcomes of a run through sessions. A command without a recorded end ended with the process."""
    records, alive = run_records(env), _is_alive(record)
    outcomes = []
    for plan in record.planned:
        for host in plan.hosts():
            streams = records.read_outputs(record.run_id, host)
            ended = record.ended.get(host.instance_id)
            if ended is not None:
                outcomes.append(outcome_of(host, ended, streams))
            elif host.instance_id in record.sessions:
                state, details = (State.RUNNING, "") if alive else (State.UNKNOWN, ENDED_WITH_PROCESS)
                outcomes.append(Outcome(host, state, details, None, *streams))
            else:
                outcomes.append(Outcome(host, State.WAITING if alive else State.NOT_RUN))
    return outcomes


def _cancel_sessions(options: FleetOptions, env: Environment, record: RunRecord) -> Result:
    """End a run through sessions: interrupt its process, which ends the commands, or end the sessions left over."""
    if _is_alive(record):
        os.kill(record.pid, signal.SIGINT)
        return Result(stderr=f"aws-runas: run {record.run_id} was interrupted in process {record.pid}\n")
    ended = 0
    for plan in record.planned:
        left = [one for one in plan.instances if one in record.sessions and one not in record.ended]
        if not left:
            continue
        access = open_access_for(replace(options.flags, region=plan.region), plan.profile or None, env)
        for instance_id in left:
            end_session(access, record.sessions[instance_id])
            ended += 1
    return Result(stderr=f"aws-runas: {ended} session{'' if ended == 1 else 's'} of run {record.run_id} ended\n")


def _is_alive(record: RunRecord) -> bool:
    """Return True if the process of the run is alive."""
    return record.pid > 0 and SessionRecord("", record.pid, record.process, "", "", "", "").is_alive()


def _when(started: float) -> str:
    return datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
