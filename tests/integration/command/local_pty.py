"""A shell on a pseudo-terminal of this machine, driven as a session's shell is: no agent, no service."""

from __future__ import annotations

import os
import pty
import secrets
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from aws_runas.ssm.command.bootstrap import Bootstrap, BootstrapState
from aws_runas.ssm.command.frames import (
    CommandExited,
    CreditReceived,
    Event,
    FrameEncoder,
    FrameParser,
    HelloReceived,
    HelperFailed,
    InputClosed,
    OutputReceived,
    PythonMissing,
    TickReceived,
)
from aws_runas.ssm.command.helper import CREDIT
from aws_runas.ssm.command.request import CommandRequest

MESSAGE_SIZE = 1024
DEADLINE = 60.0  # seconds; a test that needs them has failed


@dataclass
class Ran:
    """What a command did."""

    stdout: bytes = b""
    stderr: bytes = b""
    status: int | None = None
    input_closed: bool = False
    errors: list[HelperFailed] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


class LocalSession:
    """A shell on a pty.

    Args:
        deliver: gets each message and returns the messages that the far side executes, for repeated ones.
    """

    def __init__(self, master: int, pid: int, deliver: Callable[[bytes], Sequence[bytes]]) -> None:
        self.master = master
        self.pid = pid
        self._deliver = deliver
        self._waiting = bytearray()
        self.bootstrap = Bootstrap(lambda: secrets.token_hex(8), MESSAGE_SIZE, time.monotonic())
        self.parser = FrameParser()
        self.encoder = FrameEncoder(MESSAGE_SIZE)
        self.events: list[Event] = []
        self.ended = False
        self._until = time.monotonic() + DEADLINE

    def send(self, *messages: bytes) -> None:
        """Send messages as the agent writes them to its pty."""
        for message in messages:
            for delivered in self._deliver(message):
                self._waiting += delivered

    def turn(self, wait: float = 0.2) -> None:
        """Wait for output or room, and handle it."""
        assert time.monotonic() < self._until, (self.bootstrap, self.events[-5:])
        self.bootstrap.handle_timer(time.monotonic())
        self.send(*self.bootstrap.data_to_send())
        due = self.bootstrap.next_timer()
        if due is not None:
            wait = min(wait, max(due - time.monotonic(), 0))
        readable, writable, _ = select.select([self.master], [self.master] if self._waiting else [], [], wait)
        if writable:
            try:
                del self._waiting[: os.write(self.master, self._waiting[:4096])]
            except BlockingIOError:
                pass
            except OSError:
                self.ended = True
        if readable:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            self.ended = self.ended or not data
            self.events += self.parser.receive_data(self.bootstrap.receive_data(data, time.monotonic()))

    def start(self) -> Event:
        """Run the bootstrap and return the first frame."""
        while True:
            self.turn()
            assert self.bootstrap.state is not BootstrapState.FAILED, self.bootstrap.failure
            assert not self.ended, self.events
            for event in self.events:
                if isinstance(event, HelloReceived | PythonMissing):
                    self.bootstrap.helper_answered()
                    return event

    def run(
        self, request: CommandRequest, data: bytes = b"", *, at: Callable[[LocalSession, Ran], None] | None = None
    ) -> Ran:
        """Run a command with input and wait for its end.

        Args:
            at: called after each turn.
        """
        self.send(*self.encoder.request(request.fields(with_script=True)))
        return self.follow(data, request.wants_input, at)

    def follow(
        self,
        data: bytes,
        wants_input: bool,
        at: Callable[[LocalSession, Ran], None] | None = None,
        *,
        credit: int = CREDIT,
        limit: int = CREDIT,
        ends: int = 0,
    ) -> Ran:
        """Send input as the credit allows; collect output.

        Args:
            credit: at the start; nothing is sent without any, not even the end.
            limit: it may never be more.
            ends: empty output frames to wait for, as the shell helper sends them at the end of each stream.
        """
        ran, sent, finished, allowed = Ran(), 0, not wants_input, credit > 0
        while ran.status is None or ends > 0:
            assert not self.ended or self.events, (ran.status, ran.errors, ran.stderr)
            while allowed and not finished and not ran.input_closed and len(self._waiting) < 65536:
                piece = data[sent : sent + min(self.encoder.data_size, credit)]
                if not piece and sent < len(data):
                    break
                self.send(self.encoder.data(piece))
                sent, credit, finished = sent + len(piece), credit - len(piece), not piece
            self.turn(0.05)
            events, self.events = self.events, []
            for event in events:
                ran.events.append(event)
                match event:
                    case OutputReceived(_, b""):
                        ends -= 1
                    case OutputReceived(1, output):
                        ran.stdout += output
                    case OutputReceived(_, output):
                        ran.stderr += output
                    case CreditReceived(size):
                        credit, allowed = credit + size, True
                        assert credit <= limit
                    case InputClosed():
                        ran.input_closed = True
                    case CommandExited(status):
                        ran.status = status
                    case HelperFailed():
                        ran.errors.append(event)
                        if event.kind in ("check", "shell"):
                            return ran
                    case TickReceived():
                        pass
            if at is not None:
                at(self, ran)
        return ran


@contextmanager
def local_session(
    *shell: str,
    environ: dict[str, str] | None = None,
    deliver: Callable[[bytes], Sequence[bytes]] = lambda message: (message,),
) -> Iterator[LocalSession]:
    """Start a shell on a pty; end it and everything in its session afterwards."""
    pid, master = pty.fork()
    if pid == 0:
        try:
            os.execvpe(shell[0], shell, {**os.environ, "TERM": "xterm-256color", **(environ or {})})
        finally:
            os._exit(127)
    os.set_blocking(master, False)
    try:
        yield LocalSession(master, pid, deliver)
    finally:
        os.close(master)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def once(marker: bytes, action: Callable[[LocalSession], None]) -> Callable[[LocalSession, Ran], None]:
    """Return an ``at`` that acts once, when the command has printed the marker."""
    done: list[bool] = []

    def at(session: LocalSession, ran: Ran) -> None:
        if marker in ran.stdout and not done:
            done.append(True)
            action(session)

    return at
