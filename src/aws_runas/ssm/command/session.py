"""`run`: connects the user's descriptors and signals to a CommandLink."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import field, replace
from typing import Final

from aws_runas.aws.session import StartedSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.notices import write_notice
from aws_runas.redact import printable
from aws_runas.ssm.command.carrier import Carrier
from aws_runas.ssm.command.guardian import Guardian
from aws_runas.ssm.command.link import CommandLink, LinkOptions
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.shutdown import ParentWatcher, end_session, swallowed_signal
from aws_runas.ssm.terminal.streams import InputStream, OutputStream
from aws_runas.ssm.transport.data_channel import SessionChannel, StreamOptions, open_data_channel
from aws_runas.ssm.transport.event_loop import in_thread
from aws_runas.ssm.transport.interfaces import DataChannel, SessionService

ASSUME_STARTED: Final = 1.0  # seconds of silence after which a shell counts as started; line 1 is typed after 1.2 s
LEAVE_GRACE: Final = 10.0  # seconds that a command may take to end after TERM or HUP
HANGUP_GRACE: Final = 6.0  # seconds for the helper's HUP and KILL after our parent process or terminal is gone
OUTPUT_GRACE: Final = 2.0  # seconds for the command to end after the reader of its output has closed the pipe
CLOSE_WAIT: Final = 0.5  # seconds after the status in which the session may end without a call
INTERRUPTS: Final = (3, 3.0)  # number of SIGINTs, and the seconds within which they end the program; spec sessions 1
TIMED_OUT: Final = 124  # exit status, spec sessions 8
OUTPUT_GONE: Final = 141  # exit status, 128 + SIGPIPE
FORWARDED: Final = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The user's side of a command.

    Args:
        stdin, stdout, stderr: descriptors; messages for the user go to `messages`.
        quiet: print only errors.
        events: write JSON lines to `messages`.
        debug: receives lines for ``-v``.
        nonce: the nonce that was passed to carrier.document_command.
    """

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2
    messages: int = 2
    quiet: bool = False
    events: bool = False
    debug: Callable[[str], None] = lambda _: None
    nonce: str = ""


@dataclass(slots=True)
class _Counts:
    started_at: float = field(default_factory=time.monotonic)
    input: int = 0
    output: int = 0


class CommandRun:
    """The user's three descriptors and signals. Implements link.LinkOwner. Create it on the event loop."""

    def __init__(self, options: RunOptions, request: CommandRequest) -> None:
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._request = request
        self._link: CommandLink | None = None
        self.leaving: asyncio.Future[int] = self._loop.create_future()
        """The exit status, or the error, with which to leave although the command runs."""
        self._input = InputStream(options.stdin, self._input_received)
        self._input_open = request.wants_input
        self._output = OutputStream(options.stdout, lambda full: self._congested(0, full), self._output_gone)
        self._errors = OutputStream(options.stderr, lambda full: self._congested(1, full), self._errors_gone)
        self._full = [False, False]
        self._interrupts: deque[float] = deque(maxlen=INTERRUPTS[0])
        self.forwarded: list[int] = []  # signals
        self._last_signal = 0
        self._parent: ParentWatcher | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._counts = _Counts()
        self.session_id = ""
        self.carrier = Carrier.SHELL

    def attach(self, channel: DataChannel, message_size: int) -> CommandLink:
        """Create the link for a session's channel."""
        earlier = self._link
        without_python = earlier is not None and earlier.python_failed
        options = LinkOptions(self.carrier, message_size, self._options.nonce, without_python=without_python)
        self._link = link = CommandLink(channel, self, self._request, options)
        if earlier is not None and self._request.wants_input:
            data, ended = earlier.unsent_input()
            if data:
                link.write_input(data)
            if ended:
                link.write_input(b"")
        return link

    def link(self) -> CommandLink:
        """Return the link that `attach` created."""
        if self._link is None:
            raise LookupError("no session is attached")
        return self._link

    def may_start_again(self) -> bool:
        """Return True if the session ended before any part of the command had run."""
        return self._link is not None and self._link.may_start_again and not self.leaving.done()

    # --- LinkOwner

    def output_received(self, stream: int, data: bytes) -> None:
        self._counts.output += len(data)
        (self._output if stream == 1 else self._errors).write(data)

    def hold_input(self, hold: bool) -> None:
        if not self._input_open:
            return
        if hold:
            self._input.stop()
        else:
            self._input.start()

    def input_closed(self) -> None:
        self._input_open = False
        self._input.stop()

    def command_started(self, helper: str) -> None:
        if self._input_open:
            self._input.start()
        self._event("started", carrier=self.carrier.value, session=self.session_id, helper=helper)

    def debug(self, text: str) -> None:
        self._options.debug(text)

    def say(self, text: str) -> None:
        if not self._options.quiet and not self._options.events:
            self._write(f"aws-runas: {printable(text)}\n")

    # --- signals

    def watch_signals(self) -> None:
        """Forward signals to the command, and watch for the end of the parent process."""
        self.forwarded = [
            int(getattr(signal, name))
            for name in FORWARDED
            if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN
        ]
        self.catch_signals()
        self._parent = ParentWatcher(self._parent_gone)
        if (swallowed := swallowed_signal()) is not None:
            self._leave(128 + swallowed)

    def catch_signals(self) -> None:
        """Forward signals to the command from now on."""
        for number in self.forwarded:
            self._loop.add_signal_handler(number, self._signalled, number)

    def close(self) -> None:
        """Restore signals and descriptors, and drop unwritten output."""
        for number in self.forwarded:
            self._loop.remove_signal_handler(number)
        if self._parent is not None:
            self._parent.close()
        for timer in self._timers:
            timer.cancel()
        self._input.stop()
        self._output.close()
        self._errors.close()

    async def drained(self) -> None:
        """Wait until all output is written or its reader has closed the pipe."""
        await asyncio.gather(self._output.drained(), self._errors.drained())

    def exited(self, status: int) -> None:
        """Report the command's end as an event."""
        seconds = round(time.monotonic() - self._counts.started_at, 3)
        number = status - 128 if 128 < status < 160 else None
        self._event(
            "exited",
            status=status,
            signal=number,
            seconds=seconds,
            bytes={"stdin": self._counts.input, "output": self._counts.output},
        )

    def _signalled(self, number: int) -> None:
        link = self._link
        if link is None or not link.started:
            self._leave(128 + number)
            return
        if number == signal.SIGINT and self._is_third_interrupt():
            self._leave(128 + number)
            return
        if link.send_signal(number):
            self._event("signalled", signal=number)
            if number in (signal.SIGTERM, signal.SIGHUP):
                self._later(LEAVE_GRACE, self._leave, 128 + number)
        elif number in (signal.SIGUSR1, signal.SIGUSR2):
            self.say(f"this session cannot carry {signal.Signals(number).name} to the command; use --via shell")
        else:
            self._leave(128 + number)

    def _is_third_interrupt(self) -> bool:
        count, span = INTERRUPTS
        self._interrupts.append(self._loop.time())
        return len(self._interrupts) == count and self._interrupts[-1] - self._interrupts[0] <= span

    def _parent_gone(self) -> None:
        if self._link is not None and self._link.end_command():
            self._later(HANGUP_GRACE, self._leave, 128 + signal.SIGHUP)
        else:
            self._leave(128 + signal.SIGHUP)

    def _output_gone(self) -> None:
        """End the command and exit as with SIGPIPE, because the output pipe was closed or the disk is full."""
        self._end_without_reader(0, self._output.error, "output")

    def _errors_gone(self) -> None:
        """Continue if the pipe of standard error was closed; stop if its disk is full."""
        if self._errors.error is not None and self._errors.error.errno != errno.EPIPE:
            self._end_without_reader(1, self._errors.error, "error")

    def _end_without_reader(self, stream: int, error: OSError | None, name: str) -> None:
        self._full[stream] = False
        how: int | AwsRunasError = OUTPUT_GONE
        if error is not None and error.errno != errno.EPIPE:
            how = AwsRunasError(
                f"standard {name} cannot be written: {(error.strerror or str(error)).lower()}",
                code="output-unwritable",
                hint="redirect it to a file that can be written"
                if error.errno == errno.EBADF
                else "free some space, or redirect it to another file",
            )
        if self._link is not None:
            self._link.pause_reading(any(self._full))
            if self._link.send_signal(signal.SIGHUP):
                self._link.status.add_done_callback(lambda _: self._leave(how))
                self._later(OUTPUT_GRACE, self._leave, how)
                return
        self._leave(how)

    # --- internal

    def _input_received(self, data: bytes) -> None:
        self._counts.input += len(data)
        if not data:
            self._input_open = False
        if self._link is not None:
            self._link.write_input(data)

    def _congested(self, stream: int, full: bool) -> None:
        self._full[stream] = full
        if self._link is not None:
            self._link.pause_reading(any(self._full))

    def _leave(self, how: int | AwsRunasError) -> None:
        if self.leaving.done():
            return
        if isinstance(how, int):
            self.leaving.set_result(how)
        else:
            self.leaving.set_exception(how)

    def _later(self, seconds: float, callback: Callable[..., None], *args: object) -> None:
        self._timers.append(self._loop.call_later(seconds, callback, *args))

    def _event(self, name: str, **values: object) -> None:
        if self._options.events:
            self._write(json.dumps({"event": name, **values}) + "\n")

    def _write(self, text: str) -> None:
        write_notice(self._options.messages, text)


@dataclass(frozen=True, slots=True)
class CommandSession:
    """A session that StartSession has opened for a command.

    Args:
        started: reply of StartSession.
        carrier: the kind of session.
        service: makes the calls that resume and end the session.
        guardian: already watches the session.
        stream: options of the data channel.
        hand_over: called when the channel owns the session.
    """

    started: StartedSession
    carrier: Carrier
    service: SessionService
    guardian: Guardian
    stream: StreamOptions
    hand_over: Callable[[], None] = lambda: None


async def run_command(
    session: CommandSession,
    request: CommandRequest,
    options: RunOptions,
    start_again: Callable[[], StartedSession] | None = None,
) -> int:
    """Run a command in a session that StartSession has opened, until it ends or a signal arrives.

    If the session ends while the helper is being sent, no part of the command has run, and a second session is opened.

    Args:
        session: carries the command.
        request: the command.
        options: descriptors and settings of the user's side.
        start_again: opens a second session, which the guardian watches; blocks.

    Returns:
        The exit status.

    Raises:
        AwsRunasError: the session could not be connected, or ended before the command's status arrived.
    """
    run = CommandRun(options, request)
    run.carrier = session.carrier
    run.watch_signals()
    try:
        try:
            return await _attempt(run, session)
        except SessionError as error:
            if start_again is None or not run.may_start_again():
                raise
            run.say(f"the helper did not start ({error.message}); trying again in a second session")
            run.catch_signals()  # the end of the first session has taken them
            return await _attempt(run, replace(session, started=await in_thread(start_again)))
    finally:
        run.close()


async def _attempt(run: CommandRun, session: CommandSession) -> int:
    run.session_id = session.started.session_id
    settings = replace(session.stream.settings, assume_started_after=ASSUME_STARTED)

    def attach(channel: DataChannel) -> CommandLink:
        session.hand_over()
        return run.attach(channel, settings.payload_size)

    opening = asyncio.ensure_future(
        open_data_channel(
            session.started,
            attach,
            service=session.service,
            options=replace(session.stream, settings=settings),
        )
    )
    try:
        first: list[asyncio.Future[SessionChannel] | asyncio.Future[int]] = [opening, run.leaving]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            return run.leaving.result()
        return await _follow(run, opening.result())
    finally:
        if not opening.done():
            opening.cancel()
            await end_session(asyncio.wait({opening}), run.say, run.forwarded)
        session.guardian.release(session.started.session_id)


async def _follow(run: CommandRun, channel: SessionChannel) -> int:
    link = run.link()
    link.opened()
    run.say(f"session {run.session_id}")
    try:
        await asyncio.wait({link.status, run.leaving}, return_when=asyncio.FIRST_COMPLETED)
        if run.leaving.done():
            return run.leaving.result()
        status = TIMED_OUT if link.timed_out else link.status.result()
        drained = asyncio.ensure_future(run.drained())
        both: list[asyncio.Future[None] | asyncio.Future[int]] = [drained, run.leaving]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        run.exited(status)
        await asyncio.wait({channel.ended}, timeout=CLOSE_WAIT)
        return run.leaving.result() if run.leaving.done() else status
    finally:
        await end_session(channel.terminate(), run.say, run.forwarded)
        if link.status.done() and not link.status.cancelled():
            link.status.exception()  # mark it as retrieved
