"""What is fuzzed: every decoder, and both channels fed with whatever a mind without mercy makes of recorded frames.

The first byte picks the target, so that one corpus serves all.
"""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.sandbox.services.requests import BadRequest, find_body, find_head
from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.message import decode_message, encode_message, message_type_of, read_plain_acknowledgement
from aws_runas.ssm.core.smux.session import Side, SmuxSession
from tests.core.test_any_state import Rig

DECODERS: list[Callable[[bytes], object]] = [
    payloads.decode_acknowledge,
    payloads.decode_channel_closed,
    payloads.decode_size,
    payloads.decode_flag,
    payloads.decode_exit_code,
    payloads.decode_handshake_request,
    payloads.decode_handshake_response,
    payloads.decode_handshake_complete,
    payloads.decode_challenge,
]


def message(data: bytes) -> None:
    """A message is refused or survives; both ways of reading an acknowledgement agree."""
    message_type_of(data)
    number = read_plain_acknowledgement(data)
    try:
        decoded = decode_message(data)
    except RemoteProtocolError:
        assert number is None
        return
    assert decode_message(encode_message(decoded)).payload == decoded.payload
    if number is not None:
        assert payloads.decode_acknowledge(decoded.payload) == number


def payload(data: bytes) -> None:
    """Every payload decoder refuses with its own error or accepts."""
    for decode in DECODERS:
        try:
            decode(data)
        except RemoteProtocolError as error:
            str(error).encode("utf-8")


def channel(data: bytes) -> None:
    """Both roles take frames, cut out of the data by two-byte lengths, in any state."""
    for role in Role:
        rig = Rig(role, ChannelSettings(assume_started_after=0.5))
        rig.do("connect", None)
        at = 0
        while at + 2 <= len(data):
            size = int.from_bytes(data[at : at + 2])
            at += 2
            if size >= 0xFF00:  # something else than a frame
                verb = ("send", "wait", "disconnect", "connect", "key")[size % 5]
                rig.do(verb, {"send": size & 0xFF, "wait": (size & 0xFF) / 50, "key": True}.get(verb))
                continue
            rig.do("receive", data[at : at + size])
            at += size


def smux(data: bytes) -> None:
    """Both sides of smux take any bytes."""
    for side in Side:
        session = SmuxSession(side)
        try:
            session.receive_data(data)
        except RemoteProtocolError:
            continue
        session.events()


def sandbox_request(data: bytes) -> None:
    """The sandbox's HTTP parser refuses, waits for more, or moves on; it never stays where it is."""
    for _ in range(1000):
        try:
            found = find_head(data)
            whole = None if found is None else find_body(found[0], data, found[1])
        except BadRequest:
            return
        if whole is None:
            return
        request, end = whole
        assert 0 < end <= len(data)
        assert len(request.body) <= end
        data = data[end:]


TARGETS = [message, payload, channel, smux, sandbox_request]


def run_one(data: bytes) -> None:
    """Run the target that the first byte names."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])
