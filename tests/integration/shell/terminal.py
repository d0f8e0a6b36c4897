"""A user at a terminal: aws-runas on a PTY of its own, in a sandbox."""

from __future__ import annotations

import sys
import termios
import time
from collections.abc import Callable
from typing import Any, cast

import pexpect

from aws_runas.sandbox.world import Sandbox

PROMPT = rb"[#$] $"


class Terminal:
    """One aws-runas on a PTY.

    Args:
        words: the command line.
        through: a program and its arguments that starts it, for instance a shell.
    """

    def __init__(self, sandbox: Sandbox, *words: str, size: tuple[int, int] = (24, 80), **environ: str) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "aws_runas", *words],
            env=sandbox.environ | environ,
            dimensions=size,
            timeout=20,
        )
        self.child.delaybeforesend = None
        self.before = self.modes()

    @property
    def pid(self) -> int:
        """The process."""
        assert self.child.pid is not None
        return self.child.pid

    def _seen(self) -> bytes:
        return cast(bytes, self.child.before)

    def modes(self) -> list[Any]:
        """The terminal's settings, as stty would show them."""
        return termios.tcgetattr(self.child.child_fd)

    def is_raw(self) -> bool:
        """Is line editing off?"""
        return not self.modes()[3] & termios.ICANON

    def prompt(self) -> bytes:
        """Wait for the remote shell's prompt; returns what came before it."""
        self.child.expect(PROMPT)
        return self._seen()

    def run(self, command: str) -> bytes:
        """Type a command; returns its output."""
        self.child.send(command + "\r")
        self.child.expect_exact(command.encode() + b"\r\n")
        return self.prompt()

    def see(self, text: str | bytes) -> bytes:
        """Wait for a text; returns what came before it."""
        self.child.expect_exact(text)
        return self._seen()

    def type(self, keys: str | bytes) -> None:
        """Press keys."""
        self.child.send(keys)

    def end(self) -> int:
        """Wait for the end; returns the exit status as a shell would show it."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        status = self.child.exitstatus
        return status if status is not None else 128 + (self.child.signalstatus or 0)

    def is_as_before(self) -> bool:
        """Is the terminal as it was found?"""
        return self.modes() == self.before


def eventually(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        time.sleep(0.02)
