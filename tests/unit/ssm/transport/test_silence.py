"""How long the agent owes an answer. The time is an argument."""

from __future__ import annotations

from aws_runas.ssm.core.message import PAUSE_PUBLICATION
from aws_runas.ssm.transport.keepalive import AgentSilence

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
    silence.disconnected()
    assert silence.seconds(1, 200.0) == 0.0
    silence.connected(200.0)
    assert silence.seconds(1, 201.0) == 1.0
