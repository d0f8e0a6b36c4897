"""The user's side of a shell: keyboard, screen, messages, and the mode of the terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError
from aws_runas.notices import write_notice
from aws_runas.redact import printable
from aws_runas.ssm.terminal.escape import Escape, EscapeFilter, help_text
from aws_runas.ssm.terminal.streams import InputStream, OutputStream

if sys.platform != "win32":
    from aws_runas.ssm.terminal import posix

OUTPUT_GONE: Final = 141  # exit status when the reader of standard output is gone: 128 + SIGPIPE
OUTPUT_UNWRITABLE: Final = 1  # exit status when standard output cannot be written: the disk is full, or it is closed
TYPED_LIMIT: Final = 1024 * 1024  # bytes of input that may wait in the send queue
LEAVE_TIMEOUT: Final = 0.2  # seconds for the reader of the output after the user has left


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """Settings of the user's side.

    Args:
        quiet: print errors only.
        escape: the byte that begins an escape after a newline; empty for no escapes.
        stdin, stdout, stderr: descriptors.
    """

    quiet: bool = False
    escape: bytes = field(default=b"~")
    stdin: int = 0
    stdout: int = 1
    stderr: int = 2


class Console:
    """The three descriptors of the user. Create it on the event loop.

    Args:
        typed: called with input to send; b"" at the end of input.
        congested: called with True when the screen accepts no more output, with False when it accepts output again.
        left: called when the user, or the reader of the output, is gone.
    """

    def __init__(
        self,
        options: ConsoleOptions,
        *,
        typed: Callable[[bytes], None],
        congested: Callable[[bool], None],
        left: Callable[[str], None],
    ) -> None:
        if sys.platform == "win32":
            raise windows_refusal()
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._typed = typed
        self._left = left
        self.is_terminal = os.isatty(options.stdin)
        self._terminal = posix.RawTerminal(options.stdin)
        self._escapes = EscapeFilter(options.escape if self.is_terminal else b"")
        self._input = InputStream(options.stdin, self._received)
        self._input_wanted = False
        self._output = OutputStream(options.stdout, congested, lambda: left("output"))
        self._errors = OutputStream(options.stderr, congested, lambda: None)

    def close(self) -> None:
        """Restore the terminal and drop output that is not written yet."""
        self.give_back()
        self._drop_output()

    # --- keyboard

    def take(self) -> None:
        """Start reading; put a terminal into raw mode."""
        self._input_wanted = True
        if self.is_terminal:
            self._terminal.enter()
        self._input.start()

    def hold_input(self, hold: bool) -> None:
        """Pass on no more input while `hold` is True. A terminal is still read, because the user may type an escape."""
        if self.is_terminal or not self._input_wanted:
            return
        if hold:
            self._input.stop()
        else:
            self._input.start()

    def give_back(self) -> None:
        """Stop reading and restore the mode of the terminal."""
        self._input_wanted = False
        self._input.stop()
        self._terminal.restore()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the terminal, in its original mode, to another thread that prompts the user."""
        given = threading.Event()

        def give() -> None:
            self._input.stop()
            self._terminal.restore()
            given.set()

        def take_back() -> None:
            if self._input_wanted:
                self.take()

        self._loop.call_soon_threadsafe(give)
        given.wait()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(take_back)

    def suspend(self) -> None:
        """Stop the process as Ctrl-Z does, with the terminal in its original mode meanwhile."""
        was_raw = self._terminal.is_raw
        self._terminal.restore()
        posix.suspend_self()
        if was_raw:
            self._terminal.enter()

    def continued(self) -> None:
        """Handle SIGCONT: another program may have changed the mode of the terminal."""
        if self._terminal.is_raw:
            self._terminal.restore()
            self._terminal.enter()

    def window_size(self) -> tuple[int, int]:
        """Return columns and rows."""
        return posix.window_size(self._options.stdout, self._options.stdin, self._options.stderr)

    def _received(self, data: bytes) -> None:
        if not data:
            if self.is_terminal:
                self._left("terminal")
            else:
                self._typed(b"")
            return
        for item in self._escapes.feed(data):
            if isinstance(item, bytes):
                self._typed(item)
            elif item is Escape.HELP:
                self.say(help_text(self._escapes.escape), always=True)
            elif item is Escape.SUSPEND:
                self.suspend()
            else:
                self._left("escape")

    # --- screen

    def write(self, data: bytes) -> None:
        """Write output of the session."""
        self._output.write(data)

    def write_error(self, data: bytes) -> None:
        """Write output of the remote command's stderr."""
        self._errors.write(data)

    async def drained(self) -> None:
        """Wait until all output is written."""
        await asyncio.gather(self._output.drained(), self._errors.drained())

    def drop_output_soon(self) -> None:
        """Drop the output that its reader does not take within LEAVE_TIMEOUT, because the user has left."""
        self._loop.call_later(LEAVE_TIMEOUT, self._drop_output)

    def _drop_output(self) -> None:
        self._output.close()
        self._errors.close()

    def output_status(self) -> int:
        """Return the exit status if standard output can no longer be written; print why, unless its reader is gone."""
        failure = self._output.error
        if failure is None or isinstance(failure, BrokenPipeError):
            return OUTPUT_GONE
        self.say(f"standard output cannot be written: {(failure.strerror or str(failure)).lower()}", always=True)
        return OUTPUT_UNWRITABLE

    def say(self, text: str, *, always: bool = False) -> None:
        """Write a line for the user to standard error.

        Args:
            text: the line.
            always: write it even with `quiet`.
        """
        if self._options.quiet and not always:
            return
        # The cursor may be anywhere in its line, and a raw terminal adds no carriage returns.
        start, end = ("\r\n", "\r\n") if self._terminal.is_raw else ("", "\n")
        shown = [printable(line) for line in text.split("\n")]  # the text may come from the service or the agent
        lines = end.join(f"aws-runas: {line}" if i == 0 else line for i, line in enumerate(shown))
        write_notice(self._options.stderr, start + lines + end)


def windows_refusal() -> SessionError:
    """Return the error for a native session on a Windows console."""
    return SessionError(
        "native sessions are not available on Windows yet",
        code="terminal-unsupported",
        hint="use --plugin with the session-manager-plugin, or run aws-runas in WSL",
    )
