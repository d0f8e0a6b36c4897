"""A command on an instance as a data channel handler: bootstrap, frames, credit, input, end. Uses no descriptors."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, assert_never

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError
from aws_runas.ssm.command import failures
from aws_runas.ssm.command.bootstrap import HELLO_WAIT, Bootstrap, BootstrapState
from aws_runas.ssm.command.carrier import Carrier
from aws_runas.ssm.command.frames import (
    CommandExited,
    CreditReceived,
    Event,
    FrameEncoder,
    FrameParser,
    HelloReceived,
    HelperFailed,
    InputClosed,
    JunkReceived,
    OutputReceived,
    PythonMissing,
    TickReceived,
)
from aws_runas.ssm.command.helper import CREDIT, helper_digest
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.shell_helper import (
    RESTRICTIONS,
    SentinelFilter,
    missing_tools,
    shell_helper_digest,
    shell_helper_lines,
)
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.transport.interfaces import DataChannel

INPUT_HIGH: Final = 64 * 1024  # bytes of queued input before the source is asked to stop
SIZE_INTERVAL: Final = 300.0  # seconds; a Size message resets the service's idle timer, spec sessions 0.1
SILENCE_LIMIT: Final = 40  # seconds without a tick on carrier N; the helper ticks every 15 s
INTERRUPT: Final = {2: b"\x03", 3: b"\x1c"}  # signals that carrier N knows, spec sessions 0.2
STDERR: Final = 11  # payload type, spec 4


class LinkOwner(Protocol):
    """Receives what the command sends. Called on the event loop; no method may block."""

    def output_received(self, stream: int, data: bytes) -> None:
        """Process output of the command.

        Args:
            stream: 1 or 2.
            data: as the command wrote it.
        """

    def hold_input(self, hold: bool) -> None:
        """Stop calling `CommandLink.write_input`, or continue."""

    def input_closed(self) -> None:
        """Note that the command does not read any more input."""

    def command_started(self, helper: str) -> None:
        """Note that a helper received the command: ``python``, ``shell`` or ``none``."""

    def debug(self, text: str) -> None:
        """Print a line for ``-v``."""

    def say(self, text: str) -> None:
        """Print a line for the user."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """Settings of a link.

    Args:
        carrier: the carrier with which StartSession was called.
        message_size: bytes of one message of the channel.
        nonce: the nonce of the plain script on carrier N.
        size_interval: seconds between two Size messages.
        without_python: use the shell helper, because Python did not start in an earlier session.
    """

    carrier: Carrier
    message_size: int
    nonce: str = ""
    size_interval: float = SIZE_INTERVAL
    without_python: bool = False


class CommandLink:
    """One command in one session. Implements transport.interfaces.SessionHandler.

    Args:
        channel: the channel of the session.
        owner: receives the output.
        request: the command.
        options: settings of the link.
    """

    def __init__(self, channel: DataChannel, owner: LinkOwner, request: CommandRequest, options: LinkOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._owner = owner
        self._request = request
        self._options = options
        self.status: asyncio.Future[int] = self._loop.create_future()
        """The command's exit status, 128 + n for signal n; or the error that ended the session."""
        self.started = False
        self.timed_out = False
        self._bootstrap: Bootstrap | None = None
        self._parser = FrameParser()
        self._encoder = FrameEncoder(options.message_size)
        self._messages: deque[bytes] = deque()
        self._controls: deque[Callable[[], bytes]] = deque()
        self._frames = False  # the Python helper accepts frames for signals and the end
        self._input_allowed = False
        self._input = bytearray()
        self._input_ended = not request.wants_input
        self._end_sent = not request.wants_input
        self._credit = 0
        self._open_streams = 0  # streams of the shell helper; each ends with an empty frame
        self._exited: int | None = None
        self._plain: dict[int, SentinelFilter] = {}
        self._silent_seconds = 0
        self._next_size = self._loop.time() + options.size_interval
        self._deadline: float | None = None  # the command's deadline, if the helper cannot enforce it
        self._paused = False
        self._connected = True
        self._exit_code: int | None = None
        self._last_error = b""
        self._timer: asyncio.TimerHandle | None = None

    # --- methods for the owner

    def opened(self) -> None:
        """Start the bootstrap. Call it once, after open_data_channel."""
        if self._timer is None and not self.status.done():
            if self._options.carrier is Carrier.SHELL:
                self._bootstrap = Bootstrap(
                    lambda: secrets.token_hex(8),
                    self._options.message_size,
                    self._loop.time(),
                    without_python=self._options.without_python,
                )
            self._wake()

    def write_input(self, data: bytes) -> None:
        """Queue standard input; b"" marks its end. Stop when `LinkOwner.hold_input` asks for it."""
        if data:
            self._input += data
        else:
            self._input_ended = True
        self._pump()

    def send_signal(self, number: int) -> bool:
        """Send a signal to the command; return False if the carrier cannot send it or no command is running."""
        if not self.started or self.status.done():
            return False
        if self._frames:
            self._controls.append(lambda: self._encoder.signal(number))
            self._pump()
            return True
        if self._options.carrier is Carrier.DOCUMENT and number in INTERRUPT:
            self._channel.write(INTERRUPT[number])
            return True
        return False

    def end_command(self) -> bool:
        """Ask the helper to end the command with HUP, then KILL; return False if only the session can be ended."""
        if not self._frames or self.status.done():
            return False
        self._controls.append(self._encoder.end)
        self._pump()
        return True

    @property
    def may_start_again(self) -> bool:
        """Return True if the session ended while the helper was being sent, so no part of the command has run."""
        bootstrap = self._bootstrap
        return not self.started and bootstrap is not None and bootstrap.state is BootstrapState.LOADING

    @property
    def python_failed(self) -> bool:
        """True if the instance's Python did not start the helper; the next session can use the shell helper."""
        return self._bootstrap is not None and self._bootstrap.python_failed

    def unsent_input(self) -> tuple[bytes, bool]:
        """Return the input that was not sent yet, and True if it has ended; see `may_start_again`."""
        return bytes(self._input), self._input_ended

    def pause_reading(self, paused: bool) -> None:
        """Pause or resume reading, because the reader of the output is slow."""
        self._paused = paused
        if paused:
            self._channel.pause_reading()
        else:
            self._channel.resume_reading()

    # --- SessionHandler

    def session_started(self, event: SessionStarted) -> None:
        if event.customer_message:
            self._owner.debug(event.customer_message.strip())
        self._pump()

    def data_received(self, data: bytes, payload_type: int) -> None:
        self._silent_seconds = 0
        self.opened()
        if self._plain or (payload_type == STDERR and self._options.carrier is Carrier.DOCUMENT):
            self._plain_received(data, payload_type)
            return
        if self._bootstrap is not None:
            data = self._bootstrap.receive_data(data, self._loop.time())
            self._check_bootstrap()
            self._wake_earlier(self._bootstrap.next_timer())
        for event in self._parser.receive_data(data):
            self._handle(event)
        if self._plain and (rest := self._parser.take_rest()):
            self._plain_received(rest, 1)

    def exit_code_received(self, exit_code: int) -> None:
        self._exit_code = exit_code

    def flag_received(self, flag: int) -> None:
        pass  # only port sessions send it

    def writable(self) -> None:
        self._pump()

    def connection_lost(self, reason: str) -> None:
        self._connected = False
        self._owner.say(f"connection lost ({reason}); resuming the session")

    def connection_regained(self, seconds: float) -> None:
        self._connected = True
        self._silent_seconds = 0
        self._owner.say(f"connection regained after {seconds:.1f} s")

    def session_ended(self, error: Exception | None, output: str) -> None:
        self._stop_timer()
        for stream, sentinel in self._plain.items():
            self._owner.output_received(stream, sentinel.rest())
        if self.status.done():
            return
        ended = failures.SessionEnd(output, self._last_error, self.started, self._bootstrap)
        self.status.set_exception(failures.session_ended(ended, error))

    # --- frames

    def _handle(self, event: Event) -> None:
        match event:
            case OutputReceived(_, b""):
                self._open_streams -= 1
                self._finish_shell()
            case OutputReceived(stream, data):
                self._owner.output_received(stream, data)
            case CreditReceived(size):
                self._credit += size
                if not self._frames and not self._end_sent:
                    self._input_allowed = True  # the shell helper begins with a credit
                self._pump()
            case InputClosed():
                self._close_input()
            case CommandExited(status):
                self._exited = status
                self._finish_shell()
            case HelloReceived():
                self._python_started(event)
            case PythonMissing(tools):
                self._python_missing(tools)
            case HelperFailed(kind, text):
                self._helper_failed(kind, text)
            case TickReceived():
                pass
            case JunkReceived(line):
                if line.strip():
                    self._owner.debug(f"not from the helper: {line[:200]!r}")
                    if self._bootstrap is None and not self.started:
                        self._last_error = (self._last_error + line + b"\n")[-400:]
            case _:
                assert_never(event)

    def _python_started(self, hello: HelloReceived) -> None:
        if self.started:
            return
        self._owner.debug(f"helper {helper_digest()}, Python {hello.python}, user id {hello.uid}")
        self.started = True
        if self._bootstrap is not None:
            self._bootstrap.helper_answered()
            self._messages += self._encoder.request(self._request.fields(with_script=True))
            self._frames = self._input_allowed = True
            self._credit = CREDIT
        self._owner.command_started("python")
        self._pump()

    def _python_missing(self, tools: frozenset[str]) -> None:
        if self.started:
            return
        if self._bootstrap is None:
            self.started = True
            self._plain = {1: SentinelFilter(self._options.nonce, with_status=True)}
            self._plain[2] = SentinelFilter(self._options.nonce, with_status=False)
            self._owner.debug("no Python on the instance: the character U+FFFD in the output is damaged by the agent")
            self._set_deadline()
            self._owner.command_started("none")
            return
        if missing := missing_tools(tools):
            self._fail(failures.tools_missing(missing, tools))
            return
        self._owner.debug(f"shell helper {shell_helper_digest()}")
        self._owner.say(RESTRICTIONS)
        self._bootstrap.helper_answered()
        self._messages += shell_helper_lines(self._bootstrap, self._request, tools)
        self.started = True
        self._open_streams = 2
        self._set_deadline()
        self._owner.command_started("shell")
        self._pump()

    def _helper_failed(self, kind: str, text: str) -> None:
        if kind == "timeout":
            self.timed_out = True
        else:
            self._fail(failures.helper_failed(kind, text))

    def _finish_shell(self) -> None:
        """End the command when its status and, with the shell helper, the end of both streams have arrived."""
        if self._exited is None or self._open_streams > 0 or self.status.done():
            return
        if self._bootstrap is not None:
            if not self._frames and not self._end_sent:
                self._messages.append(self._encoder.end())  # the shell helper's reader still waits for input
            # The helper waits for this frame, so that the status is not lost with the connection.
            self._messages.append(self._encoder.end())
            self._pump()
        self._set_status(self._exited if self._exited >= 0 else 128 - self._exited)

    def _plain_received(self, data: bytes, payload_type: int) -> None:
        stream = 2 if payload_type == STDERR else 1
        sentinel = self._plain.get(stream)
        if sentinel is None:  # output before the helper: an error from sh or the agent
            self._last_error = (self._last_error + data)[-400:]
            self._owner.debug(f"not from the helper: {data[:200]!r}")
            return
        self._owner.output_received(stream, sentinel.receive_data(data))
        if self._plain[1].ended and self._plain[2].ended:
            self._set_status(self._plain[1].status or 0)

    # --- sending

    def _pump(self) -> None:
        """Send what is due: messages of the bootstrap, then signals, then input."""
        if self._bootstrap is not None:
            self._messages += self._bootstrap.data_to_send()
        size = self._options.message_size
        while not self.status.done() and self._channel.send_capacity() >= size:
            message = self._next_message()
            if message is None:
                break
            self._channel.write(message)
        self._owner.hold_input(len(self._input) > INPUT_HIGH)

    def _next_message(self) -> bytes | None:
        if self._messages:
            return self._messages.popleft()
        if self._controls:
            return self._controls.popleft()()
        if not self._input_allowed or self._end_sent:
            return None
        data = bytes(self._input[: min(self._encoder.data_size, self._credit)])
        if data:
            del self._input[: len(data)]
            self._credit -= len(data)
            return self._encoder.data(data)
        if self._input_ended and not self._input:
            self._end_sent = True
            return self._encoder.data(b"")
        return None

    def _close_input(self) -> None:
        self._input_allowed = False
        self._input.clear()
        self._end_sent = True
        self._owner.input_closed()

    # --- time

    def _wake(self) -> None:
        """Handle the timer: once a second, and when the bootstrap has something to do."""
        now = self._loop.time()
        wait = 1.0
        if self._bootstrap is not None:
            self._bootstrap.handle_timer(now)
            self._check_bootstrap()
            due = self._bootstrap.next_timer()
            wait = min(wait, max(due - now, 0.0)) if due is not None else wait
        if now >= self._next_size:
            self._next_size = now + self._options.size_interval
            self._channel.send_size(80, 24)
        if wait == 1.0 and self._connected and not self._paused:
            self._silent_seconds += 1
        ticking = self.started and self._options.carrier is Carrier.DOCUMENT and not self._plain
        if ticking and self._silent_seconds > SILENCE_LIMIT:
            self._fail(failures.silent(SILENCE_LIMIT))
        starting = not self.started and self._options.carrier is Carrier.DOCUMENT
        if starting and self._silent_seconds > HELLO_WAIT:
            self._fail(failures.not_started(HELLO_WAIT))
        if self._deadline is not None and now >= self._deadline:
            self.timed_out = True
            self._set_status(128 + 9)
        self._pump()
        if not self.status.done():
            self._timer = self._loop.call_later(wait, self._wake)

    def _wake_earlier(self, due: float | None) -> None:
        """Make the timer fire earlier: line 1 is due soon after the first output of the shell."""
        if due is not None and self._timer is not None and due < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(due, self._wake)

    def _set_deadline(self) -> None:
        if self._request.timeout is not None:
            self._deadline = self._loop.time() + self._request.timeout

    def _check_bootstrap(self) -> None:
        bootstrap = self._bootstrap
        if bootstrap is None:
            return
        if bootstrap.state is BootstrapState.FAILED and bootstrap.failure is not None:
            self._fail(failures.bootstrap_failed(bootstrap.failure))
        else:
            self._pump()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, error: AwsRunasError) -> None:
        if not self.status.done():
            self.status.set_exception(error)

    def _set_status(self, status: int) -> None:
        if not self.status.done():
            self.status.set_result(status)


def new_nonce() -> str:
    """Return 16 random hexadecimal characters."""
    return os.urandom(8).hex()
