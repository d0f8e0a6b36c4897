"""run_until_signal: a result, or cleanup and the signal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Coroutine, Iterator
from typing import cast

import pytest

from aws_runas.aws.session import StartedSession
from aws_runas.ssm import shutdown
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.session import CommandRun, RunOptions
from aws_runas.ssm.command.terminal import run_on_terminal
from aws_runas.ssm.session_start import SessionStart
from aws_runas.ssm.shell.console import ConsoleOptions
from aws_runas.ssm.shutdown import SignalReceived, notice_of_slow_end, raise_at_signals, run_until_signal
from aws_runas.ssm.transport import event_loop
from aws_runas.ssm.transport.data_channel import StreamOptions
from aws_runas.ssm.transport.interfaces import SessionService


async def _until_cancelled(steps: list[str], *signals: int) -> None:
    """Send the signals to this process, one a turn, and wait; clean up slowly when cancelled."""
    try:
        for number in signals:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        os.kill(os.getpid(), signal.SIGTERM)  # ignored: cleanup has begun
        for _ in range(5):
            await asyncio.sleep(0)
        steps.append("cleaned up")
        raise


def test_result_of_the_coroutine_is_returned() -> None:
    async def compute() -> int:
        return 3

    assert asyncio.run(run_until_signal(compute())) == 3


def test_error_of_the_coroutine_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run_until_signal(fail()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_cancels_and_waits_for_the_cleanup(number: signal.Signals) -> None:
    steps: list[str] = []
    with pytest.raises(SignalReceived) as caught:
        asyncio.run(run_until_signal(_until_cancelled(steps, number)))
    assert caught.value.exit_status == 128 + number
    assert steps == ["cleaned up"]


def test_end_that_is_slow_is_explained_and_a_second_signal_cuts_it_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "END_NOTICE_AFTER", 0.01)
    notices: list[str] = []

    def answer(line: str) -> None:
        notices.append(line)
        os.kill(os.getpid(), signal.SIGINT)

    async def until_cancelled() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.get_running_loop().create_future()
        finally:
            with notice_of_slow_end(answer):
                await asyncio.get_running_loop().create_future()  # a service that does not answer

    with pytest.raises(SignalReceived) as caught:
        asyncio.run(asyncio.wait_for(run_until_signal(until_cancelled()), 30))
    assert caught.value.signal_number == signal.SIGTERM
    assert len(notices) == 1
    assert "Ctrl-C again" in notices[0]


def test_interrupt_goes_to_the_callback() -> None:
    async def scenario() -> int:
        interrupted = asyncio.get_running_loop().create_future()
        count: list[int] = []

        def interrupt() -> None:
            count.append(1)
            if len(count) == 2:
                interrupted.set_result(None)
            else:
                os.kill(os.getpid(), signal.SIGINT)

        async def wait() -> int:
            os.kill(os.getpid(), signal.SIGINT)
            await interrupted
            return len(count)

        return await run_until_signal(wait(), interrupt=interrupt)

    assert asyncio.run(scenario()) == 2


def test_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        steps: list[str] = []
        with pytest.raises(SignalReceived) as caught:
            asyncio.run(run_until_signal(_until_cancelled(steps, signal.SIGHUP, signal.SIGTERM)))
        assert caught.value.signal_number == signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)


def _changed_parent(monkeypatch: pytest.MonkeyPatch, coroutine: Coroutine[object, object, None], watch: bool) -> None:
    parents = iter([100, 100])
    monkeypatch.setattr("aws_runas.ssm.shutdown.PARENT_INTERVAL", 0.0)
    monkeypatch.setattr("aws_runas.ssm.shutdown.os.getppid", lambda: next(parents, 1))
    asyncio.run(run_until_signal(coroutine, watch_parent=watch))


def test_parent_that_ended_counts_as_hangup(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    with pytest.raises(SignalReceived) as caught:
        _changed_parent(monkeypatch, _until_cancelled(steps), True)
    assert caught.value.signal_number == signal.SIGHUP
    assert steps == ["cleaned up"]


def test_parent_is_not_watched_where_it_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    async def some_turns() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    _changed_parent(monkeypatch, some_turns(), False)


@pytest.fixture
def signals_raise(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(shutdown, "_raised", [])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    raise_at_signals()
    yield
    gc.enable()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_raise")
def test_garbage_collector_pauses_until_the_loop_runs() -> None:
    async def is_enabled() -> bool:
        return gc.isenabled()

    assert not gc.isenabled()
    assert event_loop.run(is_enabled())


@pytest.mark.usefixtures("signals_raise")
def test_signal_whose_exception_was_swallowed_still_ends_the_program() -> None:
    swallowed: list[str] = []
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Exception as error:  # as libraries do
        swallowed.append(str(error))
    assert swallowed == ["ended by SIGTERM"]
    steps: list[str] = []
    with pytest.raises(SignalReceived) as caught:
        asyncio.run(run_until_signal(_until_cancelled(steps)))
    assert caught.value.exit_status == 143
    assert steps == ["cleaned up"]


@pytest.mark.usefixtures("signals_raise")
def test_second_interrupt_right_after_the_first_does_not_keep_a_session_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "END_NOTICE_AFTER", 1e9)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # neither raises
    signal.raise_signal(signal.SIGTERM)
    monkeypatch.setattr(shutdown, "END_NOTICE_AFTER", 0.0)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("signals_raise")
def test_second_signal_right_after_the_first_does_not_keep_a_session_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A terminal sends SIGHUP, and a supervisor SIGTERM, while the session is ended before the event loop runs."""
    monkeypatch.setattr(shutdown, "END_NOTICE_AFTER", 60.0)
    ended: list[str] = []

    def terminate(session_id: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ended.append(session_id)

    starting = SessionStart(lambda: StartedSession("me-1", "ws://127.0.0.1:9/", "token", "i-deadbeef"), terminate)
    starting.begin()
    with pytest.raises(SignalReceived) as caught, starting:
        os.kill(os.getpid(), signal.SIGHUP)
    assert caught.value.exit_status == 128 + signal.SIGHUP
    assert ended == ["me-1"]


@pytest.mark.usefixtures("signals_raise")
def test_signal_that_a_library_swallowed_ends_a_command_all_the_same() -> None:
    async def leaving(null: int) -> int:
        run = CommandRun(RunOptions(null, null, null), CommandRequest("true"))
        run.watch_signals()
        try:
            async with asyncio.timeout(30):
                return await run.leaving
        finally:
            run.close()

    with contextlib.suppress(Exception):  # as a library does
        os.kill(os.getpid(), signal.SIGTERM)
    with open(os.devnull, "r+b") as null:
        assert event_loop.run(leaving(null.fileno())) == 128 + signal.SIGTERM


@pytest.mark.usefixtures("signals_raise")
def test_signal_that_a_library_swallowed_ends_a_command_on_a_terminal_and_its_session() -> None:
    ended: list[str] = []
    started = StartedSession("me-1", "ws://127.0.0.1:9/", "token", "i-deadbeef")

    async def run(starting: SessionStart, null: int) -> int:
        async with asyncio.timeout(30):
            return await run_on_terminal(
                starting,
                cast("SessionService", None),  # nothing is asked of it
                request=CommandRequest("true"),
                console=ConsoleOptions(True, b"~", null, null, null),
                stream=StreamOptions(),
            )

    with contextlib.suppress(Exception):  # as a library does
        os.kill(os.getpid(), signal.SIGTERM)
    starting = SessionStart(lambda: started, ended.append)
    starting.begin()
    with open(os.devnull, "r+b") as null, pytest.raises(SignalReceived) as caught, starting:
        event_loop.run(run(starting, null.fileno()))
    assert caught.value.exit_status == 128 + signal.SIGTERM
    assert ended == ["me-1"]
