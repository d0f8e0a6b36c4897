"""The status line of forward: drawn in the foreground only, and removed whole."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from aws_runas.cli.commands.forward.report import ForwardReport
from aws_runas.cli.environment import Environment
from aws_runas.ssm.forward.forwarding import Totals


class Screen:
    """A terminal that a report writes to, and what it has received."""

    def __init__(self, columns: int) -> None:
        self.main, self.side = os.openpty()
        self.resize(columns)
        self.stderr = os.fdopen(self.side, "w", encoding="utf-8", closefd=False)
        env = Environment(stderr=self.stderr, environ={}, home=Path("/nonexistent"))
        self.report = ForwardReport(
            env, as_json=False, event_lines=False, quiet=False, verbose=False, clock=lambda: 0.0
        )

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def received(self) -> str:
        os.set_blocking(self.main, False)
        try:
            return os.read(self.main, 65536).decode()
        except BlockingIOError:
            return ""


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen(80)
    yield screen
    screen.stderr.close()
    os.close(screen.main)
    os.close(screen.side)


def totals(connections: int = 1, resumed: int = 0) -> Totals:
    return Totals(connections, 0, 0, 1, resumed)


def test_resumptions_are_shown_once_there_are_some(screen: Screen) -> None:
    screen.report.status(totals())
    assert "resumed" not in screen.received()
    screen.report.status(totals(resumed=2))
    assert screen.received().endswith(" · resumed 2 times")


def test_a_terminal_that_became_narrower_keeps_nothing_of_the_line(screen: Screen) -> None:
    screen.report.status(totals(resumed=1))
    shown = screen.received().removeprefix("\r\x1b[K")
    screen.resize(30)  # the terminal wraps the line that it shows
    screen.report.status(totals(connections=2, resumed=1))
    rows_above = (len(shown) - 1) // 30
    assert rows_above > 0
    assert screen.received().startswith("\r" + "\x1b[A" * rows_above + "\x1b[J2 connections")


def test_a_background_job_draws_nothing() -> None:
    script = """
import os, signal, sys
from pathlib import Path
from aws_runas.cli.commands.forward.report import ForwardReport
from aws_runas.cli.environment import Environment
from aws_runas.ssm.forward.forwarding import Totals
env = Environment(environ={}, home=Path("/nonexistent"))
report = ForwardReport(env, as_json=False, event_lines=False, quiet=False, verbose=False)
report.status(Totals(1, 0, 0, 1, 0))
if os.fork() == 0:
    os.setpgid(0, 0)  # a job in the background
    report.status(Totals(2222, 0, 0, 1, 0))
    report.finish()
    os._exit(0)
os.wait()
print("END")
"""
    child = pexpect.spawn(sys.executable, ["-c", script], encoding="utf-8", timeout=30, dimensions=(24, 100))
    child.expect("END")
    assert "1 connection " in str(child.before)
    assert "2222" not in str(child.before)
