"""When a session counts as started: at the first output, or after a silence that is taken for a start."""

from __future__ import annotations

import pytest

from aws_runas.ssm.core.channel import Channel, ChannelSettings
from aws_runas.ssm.core.events import DataReceived, SessionStarted
from tests.core import naive
from tests.core.frames import acknowledgement, handshake_complete, handshake_request, output
from tests.core.pair import START, Frame, connected_client


def _silent() -> Channel:
    return connected_client(ChannelSettings(assume_started_after=3.0))


def _drain(channel: Channel, now: float) -> list[Frame]:
    """Everything that leaves within some milliseconds: data messages leave one at a time."""
    return [frame for step in range(10) for frame in channel.messages_to_send(now + step / 1000)]


def test_session_without_handshake_starts_at_the_first_output() -> None:
    channel = connected_client()
    channel.receive_message(output(0, b"$ "), START)
    assert channel.events(START) == [SessionStarted("Standard_Stream", {}, ""), DataReceived(b"$ ")]


def test_silent_command_gets_its_input_after_a_while() -> None:
    channel = _silent()
    channel.send_size(80, 25, START)
    assert channel.next_timer(START) == pytest.approx(START + 3)
    channel.handle_timer(START + 3)
    assert channel.events(START + 3) == [SessionStarted("Standard_Stream", {}, "")]
    channel.send_data(b"answer\n", START + 3)
    sent = _drain(channel, START + 3)
    assert [naive.parse(f).payload_type for f in sent if isinstance(f, bytes)] == [3, 1]


def test_without_leave_nothing_is_assumed() -> None:
    channel = connected_client()
    assert channel.next_timer(START) is None


def test_handshake_after_the_assumption_sends_everything_again_as_new() -> None:
    channel = _silent()
    channel.handle_timer(START + 3)
    channel.events(START + 3)
    channel.send_data(b"one ", START + 3)
    channel.messages_to_send(START + 3)
    channel.receive_message(output(0, handshake_request("InteractiveCommands"), 5), START + 4)
    channel.receive_message(acknowledgement(0), START + 4)  # acknowledged and thrown away, as agents do
    channel.send_data(b"two", START + 4)
    channel.receive_message(output(1, handshake_complete(), 7), START + 5)
    sent = [naive.parse(f) for f in _drain(channel, START + 5) if isinstance(f, bytes)]
    data = [(m.sequence_number, m.payload) for m in sent if m.payload_type == 1]
    assert b"".join(payload for _, payload in data) == b"one two"
    assert min(number for number, _ in data) == 2  # 0 was the first copy, 1 the handshake's answer
    assert channel.events(START + 5) == []


def test_output_after_the_assumption_confirms_it_and_the_size_is_told_again() -> None:
    channel = _silent()
    channel.send_size(80, 25, START)
    channel.handle_timer(START + 3)
    channel.messages_to_send(START + 3)
    channel.receive_message(output(0, b"at last"), START + 4)
    sent = [naive.parse(f) for f in channel.messages_to_send(START + 4.1) if isinstance(f, bytes)]
    assert b'{"cols":80,"rows":25}' in [m.payload for m in sent if m.sequence_number == 1]
    assert channel.events(START + 4.1)[-1] == DataReceived(b"at last")


def test_what_is_sent_on_an_assumption_is_bounded() -> None:
    pair_now = START + 3
    channel = _silent()
    channel.handle_timer(pair_now)
    total = 0
    number = 0
    while capacity := channel.send_capacity(pair_now):
        channel.send_data(bytes(capacity), pair_now)
        total += capacity
        for frame in channel.messages_to_send(pair_now):
            if isinstance(frame, bytes):
                channel.receive_message(acknowledgement(number), pair_now)
                number += 1
        pair_now += 0.01
    assert total <= 64 * 1024
    channel.handle_timer(pair_now + 6)  # acknowledged for so long without a handshake: there is none
    assert channel.send_capacity(pair_now + 6) > 0
