"""``run -t``: runs the command on the pty of a shell session, without a helper; a trailer carries its status.

The output of a pty is text for a screen, so the damage that spec sessions 0.3 describes does not matter here.
Source: spec sessions 1.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
from contextlib import suppress
from dataclasses import replace
from typing import Final

from aws_runas.errors import SessionError
from aws_runas.ssm.command.bootstrap import Bootstrap, BootstrapState, assignments
from aws_runas.ssm.command.failures import bootstrap_failed
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.session import ASSUME_STARTED
from aws_runas.ssm.command.shell_helper import SentinelFilter
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.session_start import SessionStart, connect_started
from aws_runas.ssm.shell.console import Console, ConsoleOptions
from aws_runas.ssm.shutdown import end_session, run_until_signal
from aws_runas.ssm.transport.data_channel import StreamOptions
from aws_runas.ssm.transport.interfaces import DataChannel, SessionService

END_OF_TRANSMISSION: Final = b"\x04"
LEFT_BY_USER: Final = 130  # exit status
SECOND_INTERRUPT: Final = 10.0  # seconds after an interrupt within which another one ends the session
INPUT_LIMIT: Final = 64 * 1024  # bytes of input that wait for the channel


def terminal_lines(bootstrap: Bootstrap, script: str) -> list[str]:
    """Return the shell texts that run a script on the session's terminal and then print the trailer."""
    encoded = base64.b64encode(script.encode("utf-8", "surrogateescape")).decode("ascii")
    parts, value = assignments("c", encoded, bootstrap.chunk_size())
    decode = 'C=$(printf %s "$C"|base64 -d 2>/dev/null||printf %s "$C"|openssl base64 -d -A)'
    run = f'stty sane 2>/dev/null;(eval "$C");printf "\\036{bootstrap.nonce} %s\\036" $?;exit'
    return [*parts, f"C={value};{decode};{run}"]


class TerminalCommand:
    """A command on a pty. Implements transport.interfaces.SessionHandler. Create it on the event loop."""

    def __init__(
        self, channel: DataChannel, console_options: ConsoleOptions, request: CommandRequest, message_size: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._script = request.script(with_env=True)
        self._message_size = message_size
        self.console = Console(console_options, typed=self._typed, congested=self._congested, left=self._left)
        self.status: asyncio.Future[int] = self._loop.create_future()
        self.left_with = 0  # exit status of a user who left, perhaps after the end and before the last output
        self._bootstrap: Bootstrap | None = None
        self._trailer: SentinelFilter | None = None
        self._messages: list[bytes] = []
        self._interrupted_at = float("-inf")
        self._input = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def opened(self) -> None:
        """Start the bootstrap. Call it after the channel is connected."""
        if self._bootstrap is None:
            self._bootstrap = Bootstrap(
                lambda: secrets.token_hex(8),
                self._message_size,
                self._loop.time(),
                load=lambda bootstrap: terminal_lines(bootstrap, self._script),
            )
            self._wake()

    # --- SessionHandler

    def session_started(self, event: SessionStarted) -> None:  # noqa: ARG002 - the protocol's signature
        self.opened()
        self.resized()

    def data_received(self, data: bytes, payload_type: int) -> None:  # noqa: ARG002 - the protocol's signature
        self.opened()
        bootstrap = self._bootstrap
        if bootstrap is not None and self._trailer is None:
            data = bootstrap.receive_data(data, self._loop.time())
            if bootstrap.state is BootstrapState.LOADING:
                self._begin(bootstrap)
            else:
                self._set_timer(bootstrap)
        if self._trailer is not None:
            self.console.write(self._trailer.receive_data(data))
            if self._trailer.status is not None:
                self._set_status(self._trailer.status)
        self._pump()

    def exit_code_received(self, exit_code: int) -> None:
        pass  # a shell sends no exit status

    def flag_received(self, flag: int) -> None:
        pass  # only port sessions have flags

    def writable(self) -> None:
        self._pump()

    def connection_lost(self, reason: str) -> None:
        self.console.say(f"connection lost ({reason}); resuming the session")

    def connection_regained(self, seconds: float) -> None:
        self.console.say(f"connection regained after {seconds:.1f} s")

    def session_ended(self, error: Exception | None, output: str) -> None:  # noqa: ARG002 - the error has it
        if self._timer is not None:
            self._timer.cancel()
        if error is None and self._loop.time() - self._interrupted_at <= SECOND_INTERRUPT:
            self._set_status(LEFT_BY_USER)  # the shell left together with the command, before the trailer
        if not self.status.done():
            missing = SessionError(
                "the session was ended from outside while the command ran",
                code="remote-killed",
                hint="see who ended it in the session history, and the session's maximum duration",
            )
            self.status.set_exception(error or missing)

    # --- called from the user's side

    def resized(self) -> None:
        """Send the new size of the window."""
        self._channel.send_size(*self.console.window_size())

    def signalled(self, number: int) -> None:
        """Handle a signal that a raw terminal did not turn into a byte.

        The command gets a first SIGINT or SIGQUIT. The next one does not wait for it: if nobody reads the output, the
        command's end cannot arrive.
        """
        typed = {signal.SIGINT: b"\x03", signal.SIGQUIT: b"\x1c"}.get(signal.Signals(number))
        now = self._loop.time()
        is_first = now - self._interrupted_at > SECOND_INTERRUPT
        if typed is not None and self._trailer is not None and is_first and not self.status.done():
            self._interrupted_at = now
            self._typed(typed)
        else:
            self._leave(128 + number)

    def _typed(self, data: bytes) -> None:
        if len(self._input) < INPUT_LIMIT or not self.console.is_terminal:
            self._input += data or END_OF_TRANSMISSION
        self._pump()

    def _left(self, how: str) -> None:
        if how == "output":
            self._leave(self.console.output_status())
        else:
            self._leave(128 + signal.SIGHUP if how == "terminal" else LEFT_BY_USER)

    def _congested(self, congested: bool) -> None:
        if congested:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    # --- internal

    def _begin(self, bootstrap: Bootstrap) -> None:
        bootstrap.helper_answered()
        self._messages += bootstrap.data_to_send()
        self._trailer = SentinelFilter(bootstrap.nonce, with_status=True)
        self.resized()
        self.console.take()

    def _wake(self) -> None:
        bootstrap = self._bootstrap
        if bootstrap is None or self.status.done():
            return
        bootstrap.handle_timer(self._loop.time())
        self._pump()
        if bootstrap.failure is not None and not self.status.done():
            self.status.set_exception(bootstrap_failed(bootstrap.failure))
        self._set_timer(bootstrap)

    def _set_timer(self, bootstrap: Bootstrap) -> None:
        """Wake when the bootstrap has something to do, which is earlier after the first output of the shell."""
        if self._timer is not None:
            self._timer.cancel()
        due = bootstrap.next_timer()
        if due is not None:
            self._timer = self._loop.call_at(due, self._wake)

    def _pump(self) -> None:
        if self._bootstrap is not None:
            self._messages += self._bootstrap.data_to_send()
        while not self.status.done() and (room := self._channel.send_capacity()) >= self._message_size:
            if self._messages:
                self._channel.write(self._messages.pop(0))
            elif self._input and self._trailer is not None:
                self._channel.write(bytes(self._input[:room]))
                del self._input[:room]
            else:
                break
        self.console.hold_input(len(self._input) > INPUT_LIMIT)

    def _leave(self, status: int) -> None:
        self.console.drop_output_soon()
        self.left_with = self.left_with or status
        self._set_status(status)

    def _set_status(self, status: int) -> None:
        if not self.status.done():
            self.status.set_result(status)


async def run_on_terminal(
    starting: SessionStart,
    service: SessionService,
    *,
    request: CommandRequest,
    console: ConsoleOptions,
    stream: StreamOptions,
) -> int:
    """Run a command on the session's terminal.

    Args:
        starting: the session, whose StartSession may be under way.
        service: resumes and ends the session.
        request: what to run.
        console: the user's descriptors.
        stream: options of the data channel.

    Returns:
        The exit status.

    Raises:
        SignalReceived: a signal arrived before the channel was open.
        AwsRunasError: the session could not be opened, or ended before the command's status arrived.
    """
    settings = replace(stream.settings, assume_started_after=ASSUME_STARTED)
    commands: list[TerminalCommand] = []

    def make(channel: DataChannel) -> TerminalCommand:
        commands.append(TerminalCommand(channel, console, request, settings.payload_size))
        return commands[0]

    opening = connect_started(starting, make, service=service, options=replace(stream, settings=settings))
    channel = await run_until_signal(opening, watch_parent=False, keep_handlers=True)
    command = commands[0]
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP]
    for number in numbers:
        loop.add_signal_handler(number, command.signalled, int(number))
    loop.add_signal_handler(signal.SIGWINCH, command.resized)
    try:
        command.opened()
        status = await command.status
        await command.console.drained()
        return command.left_with or status
    finally:
        command.console.give_back()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.shield(channel.ended)
        await end_session(channel.terminate(), command.console.say, numbers)
        for number in [*numbers, signal.SIGWINCH]:
            loop.remove_signal_handler(number)
        command.console.close()
