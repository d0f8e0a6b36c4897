"""Every event of a channel: which exchange brings it, to which end, and what it shows of itself."""

from __future__ import annotations

import typing
from collections.abc import Callable

import pytest

from aws_runas import ssm
from aws_runas.ssm.core import events
from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.events import Event
from tests.core import naive
from tests.core.pair import PORT, Pair, make_channel

KINDS: tuple[type[Event], ...] = typing.get_args(Event)
SHELL = ChannelSettings(session_type="Standard_Stream")
ENCRYPTED = ChannelSettings(session_type="Standard_Stream", kms_key_id="key-1")


def _from_service(name: str, payload: bytes) -> bytes:
    return naive.build(name, 0, payload, header_length=112, padding=b"\0")


def _open(settings: ChannelSettings = SHELL) -> Pair:
    pair = Pair(settings)
    pair.run(1)
    return pair


def _of_start() -> list[Event]:
    return _open(PORT).client.events


def _of_data() -> list[Event]:
    pair = _open()
    pair.send(pair.agent, b"output")
    pair.run(1)
    return pair.client.events


def _of_exit_code() -> list[Event]:
    pair = _open()
    pair.agent.channel.send_exit_code(3, pair.now)
    pair.exchange()
    pair.run(1)
    return pair.client.events


def _of_size() -> list[Event]:
    pair = _open()
    pair.client.channel.send_size(80, 24, pair.now)
    pair.exchange()
    pair.run(1)
    return pair.agent.events


def _of_flag() -> list[Event]:
    pair = _open()
    pair.client.channel.send_flag(2, pair.now)
    pair.exchange()
    pair.run(1)
    return pair.agent.events


def _of_key() -> list[Event]:
    return _open(ENCRYPTED).client.events


def _of_service(*frames: bytes) -> list[Event]:
    pair = _open()
    for frame in frames:
        pair.client.channel.receive_message(frame, pair.now)
    pair.exchange()
    return pair.client.events


def _of_pause() -> list[Event]:
    return _of_service(_from_service("pause_publication", b"{}"))


def _of_resumption() -> list[Event]:
    return _of_service(_from_service("pause_publication", b"{}"), _from_service("start_publication", b"{}"))


def _of_room() -> list[Event]:
    pair = _open()
    while capacity := pair.client.channel.send_capacity(pair.now):
        pair.client.channel.send_data(bytes(capacity), pair.now)
    pair.exchange()
    pair.run(60)
    return pair.client.events


def _of_end() -> list[Event]:
    return _of_service(_from_service("channel_closed", b'{"Output":"timed out"}'))


def _of_failure() -> list[Event]:
    return _of_service(*[b"no message"] * 100)


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (_of_start, events.SessionStarted("Port", dict(PORT.properties or {}), "3.3.0.0")),
        (_of_data, events.DataReceived(b"output")),
        (_of_exit_code, events.ExitCodeReceived(3)),
        (_of_size, events.SizeReceived(80, 24)),
        (_of_flag, events.FlagReceived(2)),
        (_of_key, events.DataKeyRequested),
        (_of_pause, events.PublicationPaused()),
        (_of_resumption, events.PublicationResumed()),
        (_of_room, events.SendingUnblocked()),
        (_of_end, events.ChannelClosed("timed out")),
        (_of_failure, events.ChannelFailed),
    ],
)
def test_the_exchange_brings_the_event(exchange: Callable[[], list[Event]], expected: Event | type[Event]) -> None:
    told = exchange()
    if isinstance(expected, type):
        assert [type(event) for event in told].count(expected) == 1
    else:
        assert told.count(expected) == 1


def test_a_data_key_is_requested_with_the_context_of_the_session() -> None:
    (asked,) = (event for event in _of_key() if isinstance(event, events.DataKeyRequested))
    assert asked.kms_key_id == "key-1"
    assert set(asked.encryption_context) == {"aws:ssm:RandomChallenge", "aws:ssm:SessionId", "aws:ssm:TargetId"}


def test_nothing_follows_the_end() -> None:
    closed, failed = _of_end(), _of_failure()
    assert isinstance(closed[-1], events.ChannelClosed)
    assert isinstance(failed[-1], events.ChannelFailed)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_a_value_that_the_public_interface_names(kind: type[Event]) -> None:
    assert kind.__name__ in ssm.__all__
    assert getattr(ssm, kind.__name__) is kind
    assert kind.__hash__ is not None, "a frozen dataclass: it can be a key"
    assert kind.__eq__ is not object.__eq__
    assert "__slots__" in vars(kind)


def test_received_data_is_in_no_representation() -> None:
    assert "password" not in repr(events.DataReceived(b"password"))


def test_an_agent_tells_no_event_before_it_is_connected() -> None:
    assert make_channel(Role.AGENT, SHELL).events(0.0) == []
