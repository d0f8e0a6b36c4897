"""The wait for the agent's start of a session, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from aws_runas.errors import SessionError
from aws_runas.ssm.session_start import START_TIMEOUT, wait_for_start
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
