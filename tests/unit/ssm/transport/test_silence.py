"""How long the agent owes an answer. The time is an argument."""

from __future__ import annotations

import asyncio

from aws_runas.ssm.core.message import PAUSE_PUBLICATION
from aws_runas.ssm.transport.keepalive import AgentSilence
from aws_runas.ssm.transport.silence_notice import SilenceNotice
from tests.support.quick_loop import QuickLoop

ACKNOWLEDGEMENT = b"\0\0\0\x74" + b"acknowledge".ljust(32) + bytes(80)
PAUSE = b"\0\0\0\x74" + PAUSE_PUBLICATION.encode().ljust(32) + bytes(80)


def test_agent_that_owes_nothing_is_not_silent() -> None:
    silence = AgentSilence()
    silence.connected(10.0)
    assert silence.seconds(0, 1_000.0) == 0.0


def test_silence_counts_from_the_first_message_without_an_answer() -> None:
    silence = AgentSilence()
    silence.connected(10.0)
    silence.message_sent(0, 100.0)
    silence.message_sent(1, 103.0)
    assert silence.seconds(2, 105.0) == 5.0


def test_any_message_of_the_agent_ends_the_silence_and_none_of_the_service() -> None:
    silence = AgentSilence()
    silence.message_sent(0, 100.0)
    silence.messages_received([PAUSE], 104.0)
    assert silence.seconds(1, 105.0) == 5.0
    silence.messages_received([PAUSE, ACKNOWLEDGEMENT], 106.0)
    assert silence.seconds(1, 107.0) == 1.0


def test_lost_connection_is_no_silence_of_the_agent() -> None:
    silence = AgentSilence()
    silence.message_sent(0, 100.0)
    silence.disconnected(100.0)
    assert silence.seconds(1, 200.0) == 0.0
    silence.connected(200.0)
    assert silence.seconds(1, 201.0) == 1.0


def test_new_connection_is_no_answer_of_a_silent_agent() -> None:
    """A pause that lasts makes us resume the session: that proves nothing about the agent."""
    silence = AgentSilence()
    silence.connected(0.0)
    silence.message_sent(0, 100.0)
    silence.disconnected(145.0)
    assert silence.seconds(1, 150.0) == 45.0
    silence.connected(150.0)
    silence.messages_received([PAUSE], 151.0)
    assert silence.seconds(1, 160.0) == 55.0
    silence.messages_received([ACKNOWLEDGEMENT], 161.0)
    assert silence.seconds(1, 162.0) == 1.0


def told(silences: list[float]) -> list[str]:
    """Let time pass with a channel that reports these silences in turn; return what the user is told."""
    said: list[str] = []
    left = iter(silences)

    async def scenario() -> None:
        notice = SilenceNotice(lambda: next(left, 0.0), said.append)
        notice.message_sent()
        notice.message_sent()
        await asyncio.sleep(100)
        notice.close()

    loop = QuickLoop()
    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()
    assert next(left, None) is None
    return said


def test_user_is_told_once_that_the_agent_is_silent_and_once_that_it_answers_again() -> None:
    assert told([5.0, 6.0, 7.0, 0.0]) == [
        "the agent has not answered for 5 s; your input waits",
        "the agent answers again",
    ]


def test_user_of_an_agent_that_answers_is_told_nothing_and_no_timer_stays() -> None:
    assert told([0.5, 4.9, 0.0]) == []
