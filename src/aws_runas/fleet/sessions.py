"""`fleet --via sessions`: runs a command on each instance as `run` does, and shows its output as it arrives.

Sessions are opened one after the other, because the rate of StartSession is limited per account (spec sessions 0.1).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from functools import partial
from typing import Final

from aws_runas.aws.session import StartedSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError
from aws_runas.fleet.model import Host, Limits, Outcome, State
from aws_runas.ssm.command.carrier import (
    DOCUMENT_PACE,
    Carrier,
    Refusals,
    SessionStarter,
    choose_carrier,
    document_command,
)
from aws_runas.ssm.command.guardian import Guardian
from aws_runas.ssm.command.link import CommandLink, LinkOptions
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.session import ASSUME_STARTED
from aws_runas.ssm.session_start import SessionApi
from aws_runas.ssm.shutdown import END_NOTICE_AFTER, end_session
from aws_runas.ssm.transport.data_channel import StreamOptions, open_data_channel
from aws_runas.ssm.transport.event_loop import in_thread
from aws_runas.ssm.transport.interfaces import DataChannel, SessionService

START_INTERVAL: Final = 0.5  # seconds between two StartSession calls, spec sessions 4
MAX_OUTPUT: Final = 16 << 20  # maximum bytes of a stream that are kept
MAX_LINE: Final = 64 * 1024  # bytes; a longer line is shown in pieces
CANCEL_GRACE: Final = 6.0  # seconds that commands may take to end after the first Ctrl-C


@dataclass(frozen=True, slots=True)
class HostAccess:
    """Settings of the sessions of one host.

    Args:
        api: starts sessions.
        service: resumes and ends sessions; usually the same object as `api`.
        stream: options of the data channel.
        refusals: documents that were refused.
    """

    api: SessionApi
    service: SessionService
    stream: StreamOptions
    refusals: Refusals


@dataclass(frozen=True, slots=True)
class Sessions:
    """Ways to open and end the sessions of a run.

    Args:
        access: host -> settings of its sessions.
        guardian: ends the sessions if this process is killed.
        reason: the parameter Reason of StartSession.
        jitter: returns a random number from 0 to 1.
    """

    access: Callable[[Host], HostAccess]
    guardian: Guardian
    reason: str
    jitter: Callable[[], float]


@dataclass(slots=True)
class Lines:
    """One output stream: passes on whole lines, and keeps the first MAX_OUTPUT bytes."""

    on_line: Callable[[str], None]
    on_data: Callable[[bytes], None]
    kept: bytearray = field(default_factory=bytearray)
    missing: int = 0
    _rest: bytes = b""

    def receive(self, data: bytes) -> None:
        """Process output."""
        room = MAX_OUTPUT - len(self.kept)
        self.kept += data[:room]
        if room:
            self.on_data(data[:room])
        self.missing += max(len(data) - room, 0)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.on_line(line.decode("utf-8", "replace"))
        if len(self._rest) > MAX_LINE:
            self.end()

    def end(self) -> None:
        """Pass on an incomplete last line."""
        if self._rest:
            self.on_line(self._rest.decode("utf-8", "replace"))
            self._rest = b""

    def text(self) -> str:
        """Return the kept output."""
        return self.kept.decode("utf-8", "surrogateescape")


class _HostRun:
    """Implements link.LinkOwner for one host."""

    def __init__(self, on_line: Callable[[str], None], on_data: Callable[[int, bytes], None]) -> None:
        self.streams = {stream: Lines(on_line, partial(on_data, stream)) for stream in (1, 2)}
        self.link: CommandLink | None = None

    def output_received(self, stream: int, data: bytes) -> None:
        self.streams[stream].receive(data)

    def hold_input(self, hold: bool) -> None:
        pass  # there is no input

    def input_closed(self) -> None:
        pass

    def command_started(self, helper: str) -> None:
        pass

    def debug(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class FleetCallbacks:
    """Functions that a run through sessions calls.

    Args:
        on_line: receives each line of output as it arrives.
        on_data: receives output as it arrives, with the number of its stream, up to MAX_OUTPUT bytes of each stream.
        on_session: receives the id of each session that was opened; called in a thread.
        on_outcome: receives the outcome of each host that has ended.
        on_change: called with the number of running hosts after each change.
        say: receives lines for the user.
    """

    on_line: Callable[[Host, str], None]
    on_data: Callable[[Host, int, bytes], None]
    on_session: Callable[[Host, str], None]
    on_outcome: Callable[[Outcome], None]
    on_change: Callable[[int], None]
    say: Callable[[str], None]


class SessionFleet:
    """Runs one command on many hosts through sessions. Create it on the event loop.

    Args:
        hosts: every host, once.
        request: the command.
        sessions: opens them.
        limits: how many hosts run at a time, and after how many failures no more sessions are started.
        callbacks: called during the run.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        request: CommandRequest,
        sessions: Sessions,
        *,
        limits: Limits,
        callbacks: FleetCallbacks,
    ) -> None:
        self._hosts = hosts
        self._request = request
        self._sessions = sessions
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._max_errors = limits.max_errors
        self._callbacks = callbacks
        self._starting = asyncio.Lock()
        self._next_start = 0.0
        self._errors = 0
        self._running = 0
        self._links: set[CommandLink] = set()
        self.interrupted = False
        self._left = asyncio.Event()

    async def run(self) -> None:
        """Run until every host has an outcome, or the user has interrupted twice."""
        tasks = [asyncio.ensure_future(self._run_host(host)) for host in self._hosts]
        left = asyncio.ensure_future(self._left.wait())
        try:
            everything = asyncio.ensure_future(asyncio.wait(tasks))
            await asyncio.wait({everything, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, left, everything):
                task.cancel()
            await end_session(asyncio.gather(*tasks, left, everything, return_exceptions=True), self._callbacks.say)

    def interrupt(self) -> None:
        """End running commands with HUP and start no more; on the second call, stop at once."""
        if self.interrupted:
            self._left.set()
            return
        self.interrupted = True
        for link in self._links:
            link.end_command()
        loop = asyncio.get_running_loop()
        loop.call_later(CANCEL_GRACE, self._left.set)
        loop.call_later(END_NOTICE_AFTER, self._explain_slow_end)

    def _explain_slow_end(self) -> None:
        if self._running and not self._left.is_set():
            self._callbacks.say("ending the commands and their sessions; press Ctrl-C again to exit without waiting")

    async def _run_host(self, host: Host) -> None:
        began = asyncio.get_running_loop().time()
        outcome = Outcome(host, State.CANCELLED)
        try:
            async with self._slots:
                if self.interrupted or self._errors > self._max_errors:
                    outcome = Outcome(host, State.NOT_RUN)
                    return
                outcome = await self._outcome(host)
                seconds = asyncio.get_running_loop().time() - began
                outcome = replace(outcome, seconds=seconds)
                self._errors += outcome.state not in (State.SUCCESS, State.CANCELLED)
        finally:
            self._callbacks.on_outcome(outcome)
            self._callbacks.on_change(self._running)

    async def _outcome(self, host: Host) -> Outcome:
        run = _HostRun(partial(self._callbacks.on_line, host), partial(self._callbacks.on_data, host))
        self._running += 1
        self._callbacks.on_change(self._running)
        try:
            status = await self._follow(host, run)
        except AwsRunasError as error:
            started = run.link is not None and run.link.started
            state = State.UNKNOWN if started else State.NOT_DELIVERED
            return self._with_output(Outcome(host, state, error.message), run)
        finally:
            self._running -= 1
        if self.interrupted:
            state = State.CANCELLED
        elif run.link is not None and run.link.timed_out:
            state = State.TIMED_OUT
        else:
            state = State.SUCCESS if status == 0 else State.FAILED
        return self._with_output(Outcome(host, state, exit_status=status), run)

    def _with_output(self, outcome: Outcome, run: _HostRun) -> Outcome:
        for lines in run.streams.values():
            lines.end()
        output, errors = run.streams[1], run.streams[2]
        truncated = bool(output.missing or errors.missing)
        return replace(outcome, stdout=output.text(), stderr=errors.text(), truncated=truncated, missing=output.missing)

    async def _follow(self, host: Host, run: _HostRun) -> int:
        access = self._sessions.access(host)
        request, nonce = replace(self._request, pace=DOCUMENT_PACE), os.urandom(8).hex()
        starter = SessionStarter(
            access.api,
            host.instance_id,
            choose_carrier(self._request, "auto", access.refusals),
            {"command": [document_command(request, nonce)], "separateOutputStream": ["true"]},
            access.refusals,
            self._callbacks.say,
            self._sessions.jitter,
            reason=self._sessions.reason,
        )
        started = await self._start(host, starter)
        settings = replace(access.stream.settings, assume_started_after=ASSUME_STARTED)

        def make(channel: DataChannel) -> CommandLink:
            wanted = request if starter.carrier is Carrier.DOCUMENT else self._request
            run.link = CommandLink(channel, run, wanted, LinkOptions(starter.carrier, settings.payload_size, nonce))
            return run.link

        try:
            options = replace(access.stream, settings=settings)
            channel = await open_data_channel(started, make, service=access.service, options=options)
            link = run.link
            if link is None:
                raise LookupError("no handler was made")
            self._links.add(link)
            try:
                link.opened()
                return await link.status
            finally:
                self._links.discard(link)
                await channel.terminate()
        finally:
            self._sessions.guardian.release(started.session_id)

    async def _start(self, host: Host, starter: SessionStarter) -> StartedSession:
        """Call StartSession when it is this host's turn."""
        loop = asyncio.get_running_loop()
        async with self._starting:
            await asyncio.sleep(max(self._next_start - loop.time(), 0))
            self._next_start = loop.time() + START_INTERVAL

        def start() -> StartedSession:
            started = starter.start()
            self._sessions.guardian.watch(started.session_id)
            self._callbacks.on_session(host, started.session_id)
            return started

        return await in_thread(start)
