"""ssh's connection: every way to fail has a message and a status, whatever the agent says or does not say."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from aws_runas.errors import SessionError
from aws_runas.ssm import proxy_command
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.proxy_command import run_ssh
from aws_runas.ssm.transport.interfaces import DataChannel, SessionHandler
from tests.support.quick_loop import QuickLoop


class Agent:
    """A data channel with a scripted agent behind it.

    Args:
        acknowledges: whether data that is sent is ever acknowledged.
        script: called with the session when the channel is open.
    """

    def __init__(self, script: Callable[[SessionHandler], None], *, acknowledges: bool = True) -> None:
        self._script = script
        self._acknowledges = acknowledges
        self.received = b""
        self.terminated = False
        self.ends_after_a_cut = False
        self.checks = 0
        self.silences: list[float] = []
        """What `agent_silent_for` reports, one after the other, then 0."""

    async def open(self, make_handler: Callable[[DataChannel], SessionHandler]) -> str:
        self._script(make_handler(self))
        return "me-0123"

    def send_capacity(self) -> int:
        return 1024

    def write(self, data: bytes) -> None:
        self.received += data

    def send_message(self, data: bytes) -> None:
        self.write(data)

    def send_size(self, columns: int, rows: int) -> None: ...

    def send_flag(self, flag: int) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def drained(self) -> None:
        if self.received and not self._acknowledges:
            await asyncio.get_running_loop().create_future()

    def check_connection(self) -> None:
        self.checks += 1

    def end_may_be_missing(self) -> bool:
        return self.ends_after_a_cut

    def agent_silent_for(self) -> float:
        return self.silences.pop(0) if self.silences else 0.0

    async def terminate(self) -> None:
        self.terminated = True


def started(version: str = "3.3.0.0") -> SessionStarted:
    return SessionStarted("Port", {}, version)


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_command, "HALF_CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr(proxy_command, "STALL_TIMEOUT", 0.01)


def run(
    agent: Agent,
    data: bytes,
    *,
    end: bool = True,
    said: list[str] | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> tuple[int, bytes]:
    """Run the ProxyCommand with ``data`` on standard input; return status and standard output.

    Args:
        end: standard input ends behind the data.
        said: gets the lines for the user; None if there may be none.
        loop: makes the event loop.
    """
    lines: list[str] = []
    stdin, typed = os.pipe()
    read, stdout = os.pipe()
    os.write(typed, data)
    if end:
        os.close(typed)
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            status = runner.run(
                run_ssh(agent.open, stdin=stdin, stdout=stdout, say=(lines if said is None else said).append)
            )
    finally:
        for descriptor in (stdin, stdout, *(() if end else (typed,))):
            os.close(descriptor)
        with open(read, "rb") as output:
            seen = output.read()
    assert agent.terminated
    assert lines == []
    return status, seen


def test_silent_port_with_input_at_its_end_is_an_error() -> None:
    agent = Agent(lambda session: session.session_started(started()))
    with pytest.raises(SessionError) as caught:
        run(agent, b"")
    assert caught.value.code == "port-silent"


def test_port_that_never_accepts_data_is_an_error_after_the_end_of_input() -> None:
    agent = Agent(lambda session: session.session_started(started()), acknowledges=False)
    with pytest.raises(SessionError) as caught:
        run(agent, b"SSH-2.0-client\r\n")
    assert caught.value.code == "port-silent"
    assert agent.received == b"SSH-2.0-client\r\n"


def test_session_that_ends_without_a_word_and_without_a_byte_is_an_error() -> None:
    def script(session: SessionHandler) -> None:
        session.session_started(started())
        session.session_ended(None, "")

    with pytest.raises(SessionError) as caught:
        run(Agent(script), b"", end=False)
    assert caught.value.code == "port-silent"


def test_refusal_by_flag_is_an_error() -> None:
    def script(session: SessionHandler) -> None:
        session.session_started(started())
        session.flag_received(3)

    with pytest.raises(SessionError, match="cannot connect to the port"):
        run(Agent(script), b"hello", end=False)


def test_agent_before_port_sessions_is_refused() -> None:
    agent = Agent(lambda session: session.session_started(started("2.3.600.0")))
    with pytest.raises(SessionError) as caught:
        run(agent, b"hello", end=False)
    assert caught.value.code == "agent-too-old"
    assert agent.received == b""


def test_port_that_accepted_data_and_answers_nothing_is_no_error() -> None:
    agent = Agent(lambda session: session.session_started(started()))
    assert run(agent, b"data for a sink") == (0, b"")


def test_answers_end_up_on_standard_output() -> None:
    def script(session: SessionHandler) -> None:
        session.session_started(started())
        session.data_received(b"SSH-2.0-sshd\r\n", 1)
        session.session_ended(None, "")

    assert run(Agent(script), b"", end=False) == (0, b"SSH-2.0-sshd\r\n")


def test_end_just_after_a_cut_is_an_error_behind_the_answers() -> None:
    def script(session: SessionHandler) -> None:
        session.session_started(started())
        session.data_received(b"nearly all", 1)
        session.session_ended(None, "")

    agent = Agent(script)
    agent.ends_after_a_cut = True
    with pytest.raises(SessionError) as caught:
        run(agent, b"", end=False)
    assert caught.value.code == "end-uncertain"
    assert "may be missing" in caught.value.message
    assert "check the end of the output" in str(caught.value.hint)


def test_silence_without_a_connection_is_no_end_of_the_answers() -> None:
    def script(session: SessionHandler) -> None:
        session.session_started(started())
        session.data_received(b"half of it, ", 1)
        session.connection_lost("gone")
        asyncio.get_running_loop().call_later(0.1, back, session)

    def back(session: SessionHandler) -> None:
        session.connection_regained(0.1)
        session.data_received(b"and the rest", 1)
        session.session_ended(None, "")

    agent = Agent(script)
    assert run(agent, b"question") == (0, b"half of it, and the rest")
    assert agent.checks  # a connection can be dead without a word


def lasting(session: SessionHandler, seconds: float) -> None:
    """A session that begins, answers, and ends by itself later."""
    session.session_started(started())
    session.data_received(b"SSH-2.0-sshd\r\n", 1)
    asyncio.get_running_loop().call_later(seconds, session.session_ended, None, "")


def test_user_is_told_once_that_the_agent_is_away_and_once_that_it_is_back() -> None:
    agent, said = Agent(lambda session: lasting(session, 100)), list[str]()
    agent.silences = [5.0, 6.0, 7.0]
    run(agent, b"ls\n", end=False, said=said, loop=QuickLoop)
    assert said == ["the agent has not answered for 5 s; the connection waits", "the agent answers again"]


def test_user_is_told_of_a_lost_connection_unless_it_is_back_soon() -> None:
    def script(session: SessionHandler) -> None:
        loop = asyncio.get_running_loop()
        lasting(session, 100)
        loop.call_later(1, session.connection_lost, "Bye")
        loop.call_later(2, session.connection_regained, 1.0)
        loop.call_later(10, session.connection_lost, "reset by peer")
        loop.call_later(30, session.connection_regained, 20.0)

    said: list[str] = []
    run(Agent(script), b"ls\n", end=False, said=said, loop=QuickLoop)
    assert said == ["connection lost (reset by peer); resuming the session", "connection regained after 20.0 s"]
