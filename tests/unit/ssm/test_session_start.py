"""The wait for the agent's start of a session, in virtual time."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

import pytest

from aws_runas.aws.session import StartedSession
from aws_runas.errors import SessionError
from aws_runas.ssm.session_start import START_TIMEOUT, SessionStart, wait_for_start
from aws_runas.ssm.shutdown import SignalReceived
from tests.support.quick_loop import QuickLoop


def _wait(happens: Callable[[asyncio.Future[None]], object], after: float) -> float:
    """Wait for a start to which something happens, and return the seconds that passed."""
    loop = QuickLoop()

    async def scenario() -> float:
        started: asyncio.Future[None] = loop.create_future()
        loop.call_later(after, happens, started)
        await wait_for_start(started)
        return loop.time()

    try:
        return loop.run_until_complete(scenario())
    finally:
        loop.close()


def test_the_wait_ends_with_the_start() -> None:
    assert _wait(lambda started: started.set_result(None), START_TIMEOUT - 1) == START_TIMEOUT - 1


def test_a_silent_agent_is_an_error_that_names_the_time() -> None:
    with pytest.raises(SessionError, match="nothing within 30 s") as error:
        _wait(lambda started: started.cancel(), START_TIMEOUT + 1)
    assert error.value.code == "session-start-timeout"


def test_an_error_of_the_start_is_passed_on() -> None:
    refused = SessionError("refused", code="session-ended")
    with pytest.raises(SessionError) as error:
        _wait(lambda started: started.set_exception(refused), 1.0)
    assert error.value is refused


@pytest.mark.parametrize("interruption", [SignalReceived(signal.SIGTERM), KeyboardInterrupt()], ids=["TERM", "INT"])
def test_a_signal_while_the_thread_starts_leaves_no_session(
    interruption: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thread.start waits for the thread, so a signal that comes meanwhile is raised in it."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise interruption

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    terminated: list[str] = []
    opened = StartedSession("ann-1", "wss://x", "token", "i-deadbeef")
    with pytest.raises(type(interruption)), SessionStart(lambda: opened, terminated.append) as starting:
        starting.begin()
    assert terminated in ([], ["ann-1"])  # [] if the thread saw that nobody waits, and made no call
