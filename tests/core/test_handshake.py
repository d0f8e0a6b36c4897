"""What the two ends settle before data flows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.errors import LocalProtocolError
from aws_runas.ssm.core.events import (
    ChannelFailed,
    DataReceived,
    FlagReceived,
    SessionStarted,
    SizeReceived,
)
from tests.core import naive
from tests.core.frames import acknowledged, acknowledgement, handshake_complete, handshake_request, input_data, output
from tests.core.pair import PORT, Frame, Pair, make_channel

START = 50.0


def client(settings: ChannelSettings | None = None) -> Channel:
    channel = make_channel(Role.CLIENT, settings or ChannelSettings())
    channel.connect("token", START)
    channel.messages_to_send(START)
    return channel


def response_in(frames: list[Frame]) -> payloads.HandshakeResponse:
    for frame in frames:
        if isinstance(frame, bytes) and naive.parse(frame).payload_type == payloads.HANDSHAKE_RESPONSE:
            return payloads.decode_handshake_response(naive.parse(frame).payload)
    raise AssertionError("no handshake response")


def test_both_ends_start_with_what_the_agent_announced() -> None:
    pair = Pair(PORT, client=ChannelSettings(client_version="1.2.764.0"))
    pair.run(0.1)
    (at_client,) = pair.client.events
    (at_agent,) = pair.agent.events
    assert isinstance(at_client, SessionStarted)
    assert isinstance(at_agent, SessionStarted)
    assert at_client.session_type == at_agent.session_type == "Port"
    assert at_client.properties == {"portNumber": "5432", "type": "LocalPortForwarding"}
    assert at_client.agent_version == "3.3.0.0"
    assert at_agent.client_version == "1.2.764.0"


def test_handshake_takes_one_and_a_half_round_trips() -> None:
    pair = Pair(PORT, latency=0.02)
    pair.run(1, lambda: bool(pair.client.events))
    assert pair.now - 100 == pytest.approx(0.06, abs=0.001)


def drain(channel: Channel, now: float) -> list[bytes | str]:
    """Everything that leaves within some milliseconds: data messages leave one at a time."""
    return [frame for step in range(10) for frame in channel.messages_to_send(now + step / 1000)]


def test_nothing_is_sent_before_the_handshake_is_complete() -> None:
    channel = client()
    channel.send_data(b"early", START)
    channel.send_size(80, 25, START)
    channel.send_flag(2, START)
    assert channel.messages_to_send(START + 1) == []
    channel.receive_message(output(0, handshake_request(), 5), START)
    sent = channel.messages_to_send(START + 1)
    assert [naive.parse(f).payload_type for f in sent if isinstance(f, bytes)] == [0, 6]
    channel.receive_message(output(1, handshake_complete(), 7), START)
    sent = drain(channel, START + 1)
    assert [naive.parse(f).payload_type for f in sent if isinstance(f, bytes)] == [0, 3, 1, 10]


def test_early_data_is_bounded() -> None:
    channel = client()
    assert channel.send_capacity(START) == 16 * 1024
    channel.send_data(bytes(16 * 1024), START)
    assert channel.send_capacity(START) == 0
    with pytest.raises(LocalProtocolError):
        channel.send_data(b"x", START)


def test_first_data_is_resent_soon_because_the_agent_may_not_have_been_ready() -> None:
    channel = client()
    channel.receive_message(output(0, handshake_request(), 5), START)
    channel.messages_to_send(START)
    channel.receive_message(acknowledgement(0), START + 0.002)
    channel.receive_message(output(1, handshake_complete(), 7), START + 0.003)
    channel.messages_to_send(START + 0.003)
    channel.send_data(b"first", START + 0.003)
    channel.messages_to_send(START + 0.003)
    waits, last = [], START + 0.003
    for _ in range(5):
        due = channel.next_timer(START + 0.003)
        assert due is not None
        channel.handle_timer(due)
        assert len(channel.messages_to_send(due)) == 1
        waits.append(due - last)
        last = due
    assert waits[0] == pytest.approx(0.012, abs=0.001)  # a round trip and 10 ms, where the floor would be 30
    assert waits == sorted(waits)
    assert last < START + 0.5


def test_unknown_action_is_answered_unsupported() -> None:
    channel = client()
    channel.receive_message(output(0, handshake_request(Magic={}), 5), START)
    response = response_in(channel.messages_to_send(START))
    assert [(a.action_type, a.status) for a in response.actions] == [("SessionType", 1), ("Magic", 3)]
    assert response.errors
    (failed,) = channel.events(START)
    assert isinstance(failed, ChannelFailed)
    assert "Magic" in failed.reason


def test_unknown_session_type_is_answered_failed() -> None:
    channel = client()
    channel.receive_message(output(0, handshake_request("Hologram"), 5), START)
    response = response_in(channel.messages_to_send(START))
    assert [(a.action_type, a.status) for a in response.actions] == [("SessionType", 2)]
    assert "Hologram" in response.errors[0]
    assert isinstance(channel.events(START)[0], ChannelFailed)


@pytest.mark.parametrize(
    ("payload_type", "payload"),
    [(5, b"not json"), (5, b"[]"), (5, b'{"RequestedClientActions":7}'), (7, handshake_complete()), (8, b"{}")],
)
def test_handshake_that_makes_no_sense_ends_the_session(payload_type: int, payload: bytes) -> None:
    channel = client()
    channel.receive_message(output(0, payload, payload_type), START)
    (failed,) = channel.events(START)
    assert isinstance(failed, ChannelFailed)
    assert channel.send_capacity(START) == 0
    assert channel.next_timer(START) is None


def test_agent_ends_the_session_when_an_action_was_refused() -> None:
    pair = Pair(replace(PORT, session_type="Hologram"))
    pair.run(1)
    assert isinstance(pair.client.events[-1], ChannelFailed)
    (failed,) = pair.agent.events
    assert isinstance(failed, ChannelFailed)
    assert "Hologram" in failed.reason


def test_agent_gives_up_after_fifteen_seconds() -> None:
    pair = Pair(PORT)
    pair.client.filter = lambda _: []
    pair.client.channel.messages_to_send(pair.now)
    pair.run(14.9)
    assert pair.agent.events == []
    pair.run(0.2)
    (failed,) = pair.agent.events
    assert isinstance(failed, ChannelFailed)
    assert "15 seconds" in failed.reason


def test_agent_acknowledges_and_throws_away_what_comes_before_the_end_of_the_handshake() -> None:
    channel = make_channel(Role.AGENT, PORT)
    channel.connect("token", START)
    channel.messages_to_send(START)
    channel.receive_message(input_data(0, b"too early"), START)
    channel.receive_message(input_data(1, b'{"cols":1,"rows":1}', 3), START)
    assert acknowledged(channel.messages_to_send(START)) == [0, 1]
    assert channel.events(START) == []


def test_agent_without_handshake_starts_at_once_and_hears_size_and_flags() -> None:
    channel = make_channel(Role.AGENT, ChannelSettings(handshake=False))
    channel.connect("token", START)
    for number, (payload_type, payload) in enumerate([(3, b'{"cols":133,"rows":45}'), (1, b"ls\n"), (10, b"\0\0\0\2")]):
        channel.receive_message(input_data(number, payload, payload_type), START)
    assert channel.events(START)[1:] == [SizeReceived(133, 45), DataReceived(b"ls\n"), FlagReceived(2)]


def test_data_key_is_only_taken_when_it_was_asked_for() -> None:
    with pytest.raises(LocalProtocolError):
        client().provide_data_key(bytes(64), b"", START)
    with pytest.raises(LocalProtocolError):
        client().refuse_data_key("no", START)
