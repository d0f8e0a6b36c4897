"""The status line of forward: drawn in the foreground only, and removed whole."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from aws_runas import notices
from aws_runas.cli.commands.fleet.report import FleetReport
from aws_runas.cli.commands.forward.report import ForwardReport
from aws_runas.cli.environment import Environment
from aws_runas.cli.terminal.progress import ProgressLine
from aws_runas.ssm.copy.transfer import Progress
from aws_runas.ssm.forward.forwarding import Totals
from tests.unit.test_notices import fill

END = b"\0"


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
        os.write(self.side, END)  # a pty passes bytes on when its kernel thread runs
        text = b""
        while not text.endswith(END):
            text += os.read(self.main, 65536)
        return text.removesuffix(END).decode()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())  # the pty is no terminal of this process
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


def test_a_terminal_of_ten_columns_wraps_nothing(screen: Screen) -> None:
    screen.resize(10)
    screen.report.status(totals())
    screen.report.status(totals(connections=2))
    screen.report.finish()
    assert screen.received() == "\r\x1b[K1 connect\r\x1b[K2 connect\r\x1b[K"


def test_progress_of_copies_and_of_a_fleet_leaves_nothing_on_a_terminal_that_became_narrower(screen: Screen) -> None:
    times = iter(range(100))
    copy = ProgressLine(screen.stderr, "auto", clock=lambda: float(next(times)))
    copy.show(Progress(files=3, total=9_000_000, done=1_000_000))
    shown = screen.received().removeprefix("\r\x1b[K")
    screen.resize(20)
    copy.note("a warning")
    up = "\r" + "\x1b[A" * ((len(shown) - 1) // 20) + "\x1b[J"
    assert screen.received().replace("\r\n", "\n") == f"{up}aws-runas: a warning\n"
    screen.resize(80)
    env = Environment(stdout=io.BytesIO(), stderr=screen.stderr, environ={}, home=Path("/nonexistent"))
    fleet = FleetReport(env, output="table", total=20, quiet=False, is_terminal=True, directory=None)
    fleet.progress(20, 0)
    shown = screen.received().removeprefix("\r\x1b[K")
    screen.resize(20)
    fleet.finish()
    assert screen.received() == "\r" + "\x1b[A" * ((len(shown) - 1) // 20) + "\x1b[J"


def test_nothing_is_drawn_on_a_terminal_that_is_not_ours() -> None:
    screen = Screen(80)
    screen.report.status(totals())
    screen.report.message("said all the same")
    assert screen.received() == "aws-runas: said all the same\r\n"
    screen.stderr.close()
    os.close(screen.main)
    os.close(screen.side)


def test_a_background_job_draws_nothing() -> None:
    script = """
import os, signal, sys
from pathlib import Path
from aws_runas.cli.commands.forward.report import ForwardReport
from aws_runas.cli.environment import Environment
from aws_runas.ssm.forward.forwarding import Totals
from tests.unit.test_notices import fill
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


def test_message_that_nobody_reads_does_not_stop_a_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of -v go the same way."""
    monkeypatch.setattr(notices, "_never_waits", [])
    reader, writer = os.pipe()
    fill(writer)
    with open(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(sys, "__stderr__", stream)
        env = Environment(environ={}, home=Path("/nonexistent"))
        report = ForwardReport(env, as_json=False, event_lines=False, quiet=False, verbose=True)
        notices.never_wait()
        report.message("session 1 is over")
        env.tell("aws-runas: an error at the end\n")
        assert set(os.read(reader, 1 << 20)) == {ord("x")}
        report.message("no new session")
        assert os.read(reader, 200).decode().splitlines() == [
            "",
            "aws-runas: 2 lines were dropped here: nobody read standard error",
            "aws-runas: no new session",
        ]
    os.close(reader)
