"""``fleet --via sessions``: live output through sessions instead of Run Command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Sequence

from aws_runas.aws.access import Access
from aws_runas.cli.commands.fleet.options import FleetRun, share
from aws_runas.cli.commands.fleet.report import FleetReport
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.session.flags import SessionFlags, stream_options
from aws_runas.cli.session.open import refused_documents, session_api
from aws_runas.fleet.model import Host, Limits, Outcome
from aws_runas.fleet.records import OutputFiles, RunRecord, RunRecords, ended_host
from aws_runas.fleet.sessions import FleetCallbacks, HostAccess, SessionFleet, Sessions
from aws_runas.ssm.command.guardian import Guardian
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.records import identify_process
from aws_runas.ssm.shutdown import ParentWatcher, leave_quickly
from aws_runas.ssm.transport import event_loop

REASON = "aws-runas fleet"


def run_live(run: FleetRun) -> Result:
    """Run the command on all hosts through sessions.

    Args:
        run: the command and its hosts.
    """
    options, env, report, hosts = run.options, run.env, run.report, run.hosts
    opened = {pair: _open(access, env) for pair, access in run.accesses.items()}

    def end_session(session_id: str) -> None:
        for access in opened.values():
            access.service.terminate_session(session_id)

    request = CommandRequest(run.text, user=options.user, cwd=options.cwd, timeout=float(options.execution))
    limits = Limits(share(options.max_concurrency, len(hosts), 1), share(options.max_errors, len(hosts), 0))
    with Guardian(end_session) as guardian:
        try:
            recorder = _Recorder(run.records, env, hosts, report)
            callbacks = FleetCallbacks(
                on_line=report.line,
                on_data=recorder.data,
                on_session=recorder.session,
                on_outcome=recorder.outcome,
                on_change=lambda running: report.progress(running, 0),
                say=report.message,
            )
            sessions = Sessions(lambda host: opened[host.pair], guardian, REASON, random.random)
            interrupted = event_loop.run(
                _run(lambda: SessionFleet(hosts, request, sessions, limits=limits, callbacks=callbacks))
            )
        finally:
            leave_quickly()
    stdout = report.finish()
    return Result(report.exit_status(skip_offline=options.skip_offline, interrupted=interrupted), stdout=stdout)


class _Recorder:
    """Records a run through sessions, since the service keeps no record of it. A failure to write is reported once.

    Args:
        records: store for the record.
        env: the outside world.
        hosts: hosts of the run.
        report: receives the warning.
    """

    def __init__(self, records: RunRecords, env: Environment, hosts: Sequence[Host], report: FleetReport) -> None:
        self._records = records
        self._report = report
        self._warned = False
        self._lock = threading.Lock()
        self._outputs: OutputFiles | None = None
        pid = os.getpid()
        self._record = RunRecord(secrets.token_hex(6), "", env.now(), len(hosts), via="sessions", pid=pid)
        self._record.process = identify_process(pid)
        self._record.plan(hosts)
        with self._warning():
            records.write(self._record)
            self._outputs = records.make_outputs(self._record.run_id)

    def session(self, host: Host, session_id: str) -> None:
        """Record a session. May be called from any thread."""
        with self._lock, self._warning():
            self._record.sessions[host.instance_id] = session_id
            self._records.write(self._record)

    def data(self, host: Host, stream: int, data: bytes) -> None:
        """Record output. After a failure, output is no longer recorded."""
        if self._outputs is None:
            return
        try:
            self._outputs.write(host.instance_id, stream, data)
        except OSError as error:
            self._outputs = None
            self._warn(error)

    def outcome(self, outcome: Outcome) -> None:
        """Record and report the outcome of a host."""
        with self._lock, self._warning():
            if self._outputs is not None:
                self._outputs.close(outcome.host.instance_id)
            self._record.ended[outcome.host.instance_id] = ended_host(outcome)
            self._records.write(self._record)
        self._report.outcome(outcome)

    @contextlib.contextmanager
    def _warning(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            self._report.message(f"warning: the run cannot be recorded: {(error.strerror or str(error)).lower()}")


async def _run(make_fleet: Callable[[], SessionFleet]) -> bool:
    """Run to completion, and return True if the user interrupted the run."""
    fleet = make_fleet()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, fleet.interrupt)
    parent = ParentWatcher(fleet.interrupt)  # without the parent, the output has no reader
    try:
        await fleet.run()
    finally:
        parent.close()
        loop.remove_signal_handler(signal.SIGINT)
    return fleet.interrupted


def _open(access: Access, env: Environment) -> HostAccess:
    api = session_api(access, env)
    api.prepare()
    stream = stream_options(SessionFlags(quiet=True), access, env)
    return HostAccess(api, api, stream, refused_documents(access, env))
