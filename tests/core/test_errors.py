"""The errors of the core say who broke the rules: the caller (local), or the peer (remote, which ends the channel)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aws_runas.errors import AwsRunasError
from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.channel import ChannelSettings
from aws_runas.ssm.core.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from aws_runas.ssm.core.events import ChannelFailed, DataReceived
from aws_runas.ssm.core.message import decode_message
from aws_runas.ssm.core.smux.frame import FrameDecoder
from tests.core.frames import output
from tests.core.pair import End, Pair

SHELL = ChannelSettings(session_type="Standard_Stream")


def _open() -> Pair:
    pair = Pair(SHELL)
    pair.run(1)
    return pair


def _send_flags(end: End, now: float, count: int) -> None:
    for _ in range(count):
        end.channel.send_flag(1, now)


MISUSES: dict[str, Callable[[End, float], object]] = {
    "more data than the capacity": lambda end, now: end.channel.send_data(bytes(10_000_000), now),
    "a payload type that is not stream data": lambda end, now: end.channel.send_data(b"x", now, 3),
    "a key that nobody asked for": lambda end, now: end.channel.provide_data_key(bytes(64), b"", now),
    "the refusal of a key that nobody asked for": lambda end, now: end.channel.refuse_data_key("no", now),
    "more flags than may wait": lambda end, now: _send_flags(end, now, 1025),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_misuse_raises_a_local_error_and_the_channel_goes_on(misuse: str) -> None:
    pair = _open()
    with pytest.raises(LocalProtocolError):
        MISUSES[misuse](pair.client, pair.now)
    pair.send(pair.agent, b"still there")
    pair.run(5)
    assert pair.client.data() == b"still there"
    assert not any(isinstance(event, ChannelFailed) for event in pair.client.events)


BROKEN: dict[str, Callable[[], object]] = {
    "message": lambda: decode_message(b"\0\0\0\x74short"),
    "handshake": lambda: payloads.decode_handshake_request(b"[]"),
    "size": lambda: payloads.decode_size(b'{"cols":-1,"rows":1}'),
    "flag": lambda: payloads.decode_flag(b"\0"),
    "exit code": lambda: payloads.decode_exit_code(b"EXIT_CODE: x"),
    "smux frame": lambda: list(FrameDecoder().receive(b"\x02" + bytes(7))),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_decoder_blames_the_peer(what: str) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        BROKEN[what]()
    assert "\n" not in str(error.value)


def test_a_fault_of_the_peer_is_an_event_and_no_exception() -> None:
    pair = _open()
    damaged = output(1, b"good")[:-1] + b"x"
    for _ in range(100):
        pair.client.channel.receive_message(damaged, pair.now)
    pair.exchange()
    assert isinstance(pair.client.events[-1], ChannelFailed)
    assert not any(isinstance(event, DataReceived) for event in pair.client.events)


def test_errors_of_the_core_are_not_those_that_users_read() -> None:
    assert not issubclass(ProtocolError, AwsRunasError)  # the outermost layer words what a user reads
    assert LocalProtocolError.__mro__[1] is RemoteProtocolError.__mro__[1] is ProtocolError
