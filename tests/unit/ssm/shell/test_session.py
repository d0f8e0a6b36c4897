"""The user's side of a shell or a command, on a channel of its own and in virtual time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import cast

import pytest

from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.shell.console import ConsoleOptions
from aws_runas.ssm.shell.session import ShellOptions, ShellSession
from aws_runas.ssm.transport.interfaces import DataChannel
from tests.support.quick_loop import QuickLoop

COMMAND, SHELL = "NonInteractiveCommands", "Standard_Stream"


class SilentChannel:
    """The part of a DataChannel that a session without input uses."""

    def agent_silent_for(self) -> float:
        return 0.0

    def send_capacity(self) -> int:
        return 1024

    def write(self, data: bytes) -> None: ...

    def send_size(self, columns: int, rows: int) -> None: ...

    def end_may_be_missing(self) -> bool:
        return False


def said(session_type: str, play: Callable[[ShellSession, asyncio.AbstractEventLoop], object]) -> bytes:
    """Return what stands on standard error a minute after the start of a quiet session.

    Args:
        play: sets what happens, by the loop's clock.
    """
    stdin, typed = os.pipe()
    errors, stderr = os.pipe()
    output, stdout = os.pipe()

    async def run() -> None:
        options = ShellOptions(ConsoleOptions(quiet=True, stdin=stdin, stdout=stdout, stderr=stderr))
        session = ShellSession(cast(DataChannel, SilentChannel()), options, "i-deadbeef")
        session.session_started(SessionStarted(session_type, {}, ""))
        play(session, asyncio.get_running_loop())
        await asyncio.sleep(60)
        session.session_ended(None, "")
        assert await session.status == 0
        session.console.close()

    try:
        with asyncio.Runner(loop_factory=QuickLoop) as runner:
            runner.run(run())
    finally:
        for descriptor in (stdin, typed, stdout, stderr, output):
            os.close(descriptor)
    with open(errors, "rb") as stream:
        return stream.read()


def away(session: ShellSession, seconds: float) -> None:
    session.connection_lost("gone")
    session.connection_regained(seconds)


def test_command_that_is_silent_after_an_absence_is_told_of_with_the_way_out() -> None:
    line = said(COMMAND, lambda session, loop: loop.call_later(5, away, session, 4.2))
    assert line.startswith(b"aws-runas: the connection was away for 4 s, and nothing has come since.")
    assert line.endswith(b"Press Ctrl-C three times to leave it\n")
    assert line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("session_type", "seconds", "output_after"),
    [(COMMAND, 4.2, 10.0), (COMMAND, 0.2, None), (SHELL, 4.2, None)],
    ids=["that prints again", "after a moment", "that is a shell"],
)
def test_silence_means_nothing_in_a_session(session_type: str, seconds: float, output_after: float | None) -> None:
    def play(session: ShellSession, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(5, away, session, seconds)
        if output_after is not None:
            loop.call_later(5 + output_after, session.data_received, b"on", 1)

    assert said(session_type, play) == b""
