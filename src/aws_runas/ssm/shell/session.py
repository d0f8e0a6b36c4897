"""A shell or a command on an instance: the user's terminal, the data channel and the exit status."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.session_start import SessionStart, connect_started
from aws_runas.ssm.shell.console import TYPED_LIMIT, Console, ConsoleOptions
from aws_runas.ssm.shutdown import SignalReceived, end_session, run_until_signal
from aws_runas.ssm.transport.data_channel import StreamOptions
from aws_runas.ssm.transport.interfaces import DataChannel, SessionService, end_uncertain
from aws_runas.ssm.transport.outbox import Outbox
from aws_runas.ssm.transport.silence_notice import SilenceNotice

SILENT_COMMAND: Final = 2.0  # seconds after which input is sent to a silent session anyway (spec 12, trap 7)
START_NOTICE_AFTER: Final = 10.0  # seconds without a message from the agent until a notice is printed
END_RESEND_INTERVAL: Final = 2.0  # seconds without output after the end of input until the end is sent again
AWAY_LIMIT: Final = 0.3  # seconds without a connection after which agents send nothing more of a command that printed
SILENT_AFTER_AWAY: Final = 20.0  # seconds of silence after that until the user is notified
END_OF_TRANSMISSION: Final = b"\x04"
INTERRUPT: Final = b"\x03"
QUIT: Final = b"\x1c"
LEFT_BY_USER: Final = 130  # exit status


@dataclass(frozen=True, slots=True)
class ShellOptions:
    """Kind of session, from the point of view of the user.

    Args:
        console: the user's side.
        runs_shell: True for the default document: ``exit`` is typed at the end of piped input. A command gets EOF
            instead.
    """

    console: ConsoleOptions
    runs_shell: bool = True


class ShellSession:
    """A session with a remote terminal. Implements handler.SessionHandler."""

    def __init__(self, channel: DataChannel, options: ShellOptions, target: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._options = options
        self._target = target
        self.console = Console(options.console, typed=self._typed, congested=self._congested, left=self._user_left)
        self._outbox = Outbox(channel, congested=self.console.hold_input)
        self._silence = SilenceNotice(channel.agent_silent_for, self.console.say)
        self.status: asyncio.Future[int] = self._loop.create_future()
        """The exit status, or the error that ended the session."""
        self._left_with = 0  # exit status of a user who left, perhaps after the end and before the last output
        self._interactive = True
        self._running = False
        self._input_ended = False
        self._last_byte = b"\n"
        self._output_at = self._loop.time()
        self._exit_code: int | None = None
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(START_NOTICE_AFTER, self._still_waiting)
        self._ends_sent = 0
        self._end_sent_at = 0.0
        self._interrupts = 0
        self._away_timer: asyncio.TimerHandle | None = None

    # --- from the channel

    def session_started(self, event: SessionStarted) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._running = True
        if event.customer_message:
            self.console.say(event.customer_message.strip(), always=True)
        self._interactive = event.session_type != NON_INTERACTIVE
        if self._interactive:
            self.resized()
            self.console.take()

    def data_received(self, data: bytes, payload_type: int) -> None:
        self._output_at = self._loop.time()
        self._stop_away_timer()
        if payload_type == STANDARD_ERROR:
            self.console.write_error(data)
        else:
            self.console.write(data)

    def exit_code_received(self, exit_code: int) -> None:
        self._exit_code = exit_code

    def flag_received(self, flag: int) -> None:
        pass  # only port sessions have flags

    def writable(self) -> None:
        self._outbox.flush()
        self._end_input_if_due()

    def connection_lost(self, reason: str) -> None:
        self.console.say(f"connection lost ({reason}); resuming the session")

    def connection_regained(self, seconds: float) -> None:
        self.console.say(f"connection regained after {seconds:.1f} s")
        self.resized()  # the agent acknowledges it, which shows that it still answers
        if self._running and not self._interactive and seconds >= AWAY_LIMIT:
            self._stop_away_timer()
            self._away_timer = self._loop.call_later(SILENT_AFTER_AWAY, self._tell_silence, seconds)

    def _tell_silence(self, seconds: float) -> None:
        """Print that the command may have ended: after output during an interruption, agents send nothing more."""
        self.console.say(
            f"the connection was away for {seconds:.0f} s, and nothing has come since. An agent sends nothing more of "
            "a command that printed meanwhile, not even its end. Press Ctrl-C three times to leave it",
            always=True,
        )

    def _stop_away_timer(self) -> None:
        if self._away_timer is not None:
            self._away_timer.cancel()
            self._away_timer = None

    def session_ended(self, error: Exception | None, output: str) -> None:  # noqa: ARG002 - error contains it
        self._silence.close()
        self._stop_away_timer()
        if self._timer is not None:
            self._timer.cancel()
        if self.status.done():
            return
        if error is not None:
            self.status.set_exception(error)
        else:
            if self._exit_code is None and self._channel.end_may_be_missing():
                uncertain = end_uncertain()
                if not self.console.is_terminal:
                    self.status.set_exception(uncertain)
                    return
                self.console.say(uncertain.message, always=True)
            self.status.set_result(0 if self._exit_code is None else exit_status(self._exit_code))

    # --- from the user

    def interrupted(self) -> None:
        """Handle a SIGINT (a raw terminal sends a byte instead): send it to the remote program; the third one exits.

        While piped input is still being sent, the first one exits: an interrupt would arrive only after the input, and
        a remote shell would continue with the next line. After the end of the session, only its output is waited for.
        """
        self._interrupts += 1
        has_piped_input = self._interactive and not self.console.is_terminal and not self._input_ended
        if not self._running or self._interrupts > 2 or has_piped_input or self.status.done():
            self._leave(LEFT_BY_USER)
        else:
            self._send(INTERRUPT)

    def quit_asked(self) -> None:
        """Handle a SIGQUIT like `interrupted`."""
        if self._running and not self.status.done():
            self._send(QUIT)
        else:
            self._leave(128 + signal.SIGQUIT)

    def resized(self) -> None:
        """Send the new window size."""
        if self._running and self._interactive:
            self._channel.send_size(*self.console.window_size())

    def continued(self) -> None:
        """Handle SIGCONT."""
        self.console.continued()
        self.resized()

    def _typed(self, data: bytes) -> None:
        if data:
            self._last_byte = data[-1:]
            self._send(data)
            return
        self._input_ended = True
        self._end_input_if_due()

    def _send(self, data: bytes) -> None:
        if self._outbox.queued + len(data) <= TYPED_LIMIT:
            self._outbox.put(data)
            self._silence.message_sent()
        self._end_input_if_due()

    def _end_input_if_due(self) -> None:
        if self._input_ended and not self._outbox.queued and self._ends_sent == 0:
            self._send_end()

    def _send_end(self) -> None:
        """Send the end of piped input: ``exit`` to a shell first, then end of file until the session ends.

        ``exit`` stays in the buffer of the remote terminal while a command runs. End of file may not: a line editor
        that takes over the buffer reads a zero byte instead.
        """
        end = END_OF_TRANSMISSION
        if self._ends_sent == 0:
            end = b"exit\n" if self._options.runs_shell else END_OF_TRANSMISSION
            end = end if self._last_byte in b"\r\n" else b"\n" + end
        self._ends_sent += 1
        self._end_sent_at = self._loop.time()
        self._send(end)
        self._resend_end_if_silent()

    def _resend_end_if_silent(self) -> None:
        """Send the end again if there was no output for a while; the interval increases each time."""
        wait = END_RESEND_INTERVAL * min(self._ends_sent, 10)
        due = max(self._output_at, self._end_sent_at) + wait
        if self._loop.time() >= due:
            self._send_end()
        else:
            self._timer = self._loop.call_at(due, self._resend_end_if_silent)

    def _congested(self, congested: bool) -> None:
        if congested:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    def _user_left(self, how: str) -> None:
        if how == "terminal":
            self._leave(128 + signal.SIGHUP)
        elif how == "output":
            self._leave(self.console.output_status())
        else:
            self.console.say("session left")
            self._leave(LEFT_BY_USER)

    def _leave(self, status: int) -> None:
        self.console.drop_output_soon()
        self._left_with = self._left_with or status
        if not self.status.done():
            self.status.set_result(status)

    def result(self) -> int:
        """Return the exit status once `status` is done and the output is written: that of leaving, if the user left."""
        if self._left_with:
            self.status.exception()  # mark it as retrieved
            return self._left_with
        return self.status.result()

    def _still_waiting(self) -> None:
        self._timer = None
        if not self._running:
            self.console.say(f"still waiting for the agent on {self._target}")


async def run_shell(
    starting: SessionStart,
    service: SessionService,
    *,
    target: str,
    options: ShellOptions,
    stream: StreamOptions,
    opened: Callable[[ShellSession], None] = lambda _: None,
) -> int:
    """Run one session from StartSession to its end.

    Args:
        starting: the running call of StartSession.
        service: the calls that resume and end the session.
        target: target of the session.
        options: options of the user's side.
        stream: options of the data channel.
        opened: called with the open session. From then on, a prompt for an MFA code must borrow its terminal.

    Returns:
        The exit status: that of the remote command if it is known, 130 if the user exited, above 128 for signals.

    Raises:
        AwsRunasError: the session could not be opened, or ended with an error.
    """
    try:
        return await run_until_signal(_run_session(starting, service, target, options, stream=stream, opened=opened))
    except SignalReceived as ended:
        return ended.exit_status


async def _run_session(
    starting: SessionStart,
    service: SessionService,
    target: str,
    options: ShellOptions,
    *,
    stream: StreamOptions,
    opened: Callable[[ShellSession], None],
) -> int:
    settings = replace(stream.settings, assume_started_after=SILENT_COMMAND)
    sessions: list[ShellSession] = []

    def make(channel: DataChannel) -> ShellSession:
        sessions.append(ShellSession(channel, options, starting.result().target))
        return sessions[0]

    channel = await connect_started(starting, make, service=service, options=replace(stream, settings=settings))
    session = sessions[0]
    opened(session)
    session.console.say(f"session {channel.started.session_id} on {target}")
    try:
        with _Signals(session):
            await asyncio.wait([session.status])
            await session.console.drained()
            return session.result()
    finally:
        session.console.give_back()
        await end_session(channel.terminate(), session.console.say, (signal.SIGINT, signal.SIGQUIT))
        session.console.close()


class _Signals:
    """Installs the signal handlers of a session on a terminal; SIGINT goes to the remote program."""

    def __init__(self, session: ShellSession) -> None:
        self._loop = asyncio.get_running_loop()
        self._callbacks: dict[str, Callable[[], None]] = {
            "SIGINT": session.interrupted,
            "SIGQUIT": session.quit_asked,
            "SIGWINCH": session.resized,
            "SIGTSTP": session.console.suspend,
            "SIGCONT": session.continued,
        }

    def __enter__(self) -> None:
        for name, callback in self._callbacks.items():
            self._loop.add_signal_handler(getattr(signal, name), callback)

    def __exit__(self, *_: object) -> None:
        for name in self._callbacks:
            self._loop.remove_signal_handler(getattr(signal, name))


NON_INTERACTIVE: Final = "NonInteractiveCommands"
STANDARD_ERROR: Final = 11  # payload type, spec 4


def exit_status(remote: int) -> int:
    """Return a remote status as an exit status of this program: one byte, and never 0 for a failure."""
    return remote if 0 <= remote <= 255 else (remote & 0xFF) or 1
