"""A peer that says odd things between two good messages: nothing of it is delivered, and the session goes on."""

from __future__ import annotations

import itertools
import struct

import pytest

from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, ChannelFailed, DataReceived, Event
from tests.core import naive
from tests.core.frames import acknowledgement, handshake_request, output
from tests.core.pair import make_channel

START = 50.0
LIMIT = 2**63 - 1


def patched(frame: bytes, at: int, value: bytes) -> bytes:
    return frame[:at] + value + frame[at + len(value) :]


NEXT = output(3, b"lost")  # number 3 is the next one; what is made of it may not be delivered
ODD: dict[str, bytes | str] = {
    "header length 0": patched(NEXT, 0, bytes(4)),
    "header length beyond the end": patched(NEXT, 0, struct.pack(">I", 1 << 30)),
    "header length 2**32 - 1": patched(NEXT, 0, b"\xff" * 4),
    "no message type": patched(NEXT, 4, b" " * 32),
    "message type of zeros": patched(NEXT, 4, bytes(32)),
    "unknown message type": naive.build("interactive_shell", 3, b"x", payload_type=1),
    "message type of the control channel": naive.build("agent_job", 3, b"{}"),
    "message of its own direction": naive.build("input_stream_data", 3, b"x", payload_type=1),
    "created date 0": patched(NEXT, 40, bytes(8)),
    "wrong digest": patched(NEXT, 80, b"\xff" * 32),
    "cut off in its header": NEXT[:100],
    "cut off in its payload": NEXT[:-2],
    "nothing": b"",
    "nothing as text": "",
    "text": "{}",
    "a JSON that is no message": '{"MessageType":"channel_closed"}',
    "an old message with other data": output(1, b"other"),
    "an old message, huge": output(0, bytes(1_000_000)),
    "a message before the first": output(-1, b"x"),
    "the least number": output(-(2**63), b"x"),
    "the greatest number": output(LIMIT, b"x"),
    "an acknowledgement of what was never sent": acknowledgement(1 << 40),
    "an acknowledgement of a negative number": acknowledgement(-1),
    "an acknowledgement of another direction": acknowledgement(0, "output_stream_data"),
    "an acknowledgement that is no JSON": naive.build("acknowledge", 0, b"{"),
    "an acknowledgement that is a list": naive.build("acknowledge", 0, b"[]"),
    "an acknowledgement of a text": naive.build("acknowledge", 0, b'{"AcknowledgedMessageSequenceNumber":"0"}'),
    "an acknowledgement of 10**400": naive.build(
        "acknowledge", 0, b'{"AcknowledgedMessageSequenceNumber":1%0400d}' % 0
    ),
    "a deep acknowledgement": naive.build("acknowledge", 0, b"[" * 100_000),
    "a handshake's request again": output(0, handshake_request(), 5),
    "pause": naive.build("pause_publication", 0, b""),
    "start": naive.build("start_publication", 0, b"\xff" * 40),
    "pause with a number and the header of the service": naive.build("pause_publication", 7, b"x", header_length=112),
}
ACCEPTED = {
    "another schema version": patched(output(3, b"c"), 36, b"\0\0\0\7"),
    "flags that nobody sets": patched(output(3, b"c"), 56, b"\xff" * 8),
    "a payload length that is wrong": patched(output(3, b"c"), 116, b"\0\0\0\x63"),
    "a date in the year 292 million": patched(output(3, b"c"), 40, struct.pack(">Q", LIMIT)),
}


def session() -> Channel:
    """A shell's channel that has received a, an empty payload, and b."""
    channel = make_channel(Role.CLIENT, ChannelSettings())
    channel.connect("token", START)
    for number, payload in enumerate((b"a", b"", b"b")):
        channel.receive_message(output(number, payload), START)
    return channel


def delivered(events: list[Event]) -> bytes:
    assert not any(isinstance(event, ChannelClosed | ChannelFailed) for event in events)
    return b"".join(event.data for event in events if isinstance(event, DataReceived))


@pytest.mark.parametrize("name", ODD)
def test_session_goes_on_behind(name: str) -> None:
    channel = session()
    channel.receive_message(ODD[name], START + 1)
    channel.receive_message(naive.build("start_publication", 0, b""), START + 1)
    channel.receive_message(output(3, b"c"), START + 1)
    assert delivered(channel.events(START + 1)) == b"abc"
    assert channel.messages_to_send(START + 2)


@pytest.mark.parametrize("name", ACCEPTED)
def test_message_is_taken_in_spite_of(name: str) -> None:
    channel = session()
    channel.receive_message(ACCEPTED[name], START + 1)
    assert delivered(channel.events(START + 1)) == b"abc"


def test_all_of_it_at_once_across_cuts_and_after_a_night_asleep() -> None:
    channel, now = session(), START
    for hours, frame in zip(itertools.cycle((0.0, 8.0, 1000.0)), ODD.values(), strict=False):
        now += hours * 3600
        channel.handle_timer(now)
        channel.receive_message(frame, now)
        channel.receive_disconnect(now)
        channel.connect("next token", now)
        channel.messages_to_send(now)
    channel.send_data(b"typed", now)
    channel.receive_message(output(3, b"c"), now)
    assert delivered(channel.events(now)) == b"abc"
    sent = [each for each in channel.messages_to_send(now + 1) if isinstance(each, bytes)]
    assert any(b"typed" in each for each in sent)


@pytest.mark.parametrize("number", [0, 1])
def test_handshake_that_is_asked_for_twice_is_answered_once(number: int) -> None:
    """A second answer blocks an official agent for ever, whether the request is a repeated message or a new one."""
    channel, answers = make_channel(Role.CLIENT, ChannelSettings()), 0
    channel.connect("token", START)
    for at, frame in enumerate((output(0, handshake_request(), 5), output(number, handshake_request(), 5))):
        channel.receive_message(frame, START + at / 100)
        sent = channel.messages_to_send(START + at / 100)
        answers += sum(b"ProcessedClientActions" in each for each in sent if isinstance(each, bytes))
    assert answers == 1
