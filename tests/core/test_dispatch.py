"""Dispatcher: what a message means depends on the role and on how far the handshake has come."""

from __future__ import annotations

import random

import pytest

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.client_handshake import ClientHandshake
from aws_runas.ssm.core.dispatch import PLAIN_SESSION_TYPE, Dispatcher
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.events import (
    DataReceived,
    Event,
    ExitCodeReceived,
    FlagReceived,
    SessionStarted,
    SizeReceived,
)
from aws_runas.ssm.core.handshake import HandshakeState
from aws_runas.ssm.core.message import Message, decode_message
from aws_runas.ssm.core.settings import Role
from tests.core.frames import handshake_request, input_data, output

PLAIN_START = SessionStarted(PLAIN_SESSION_TYPE, {}, "")


def _message(payload: bytes, payload_type: int = payloads.OUTPUT, role: Role = Role.CLIENT) -> Message:
    build = output if role is Role.CLIENT else input_data
    return decode_message(build(1, payload, payload_type))


def _dispatcher(role: Role, *, expects_handshake: bool = True) -> tuple[Dispatcher, ClientHandshake, list[Event]]:
    events: list[Event] = []
    sent: list[tuple[int, bytes]] = []
    handshake = ClientHandshake(
        session_id="session",
        target="i-0123456789abcdef0",
        client_version="1.2.764.0",
        random_bytes=random.Random(1).randbytes,
        send=lambda payload_type, payload: sent.append((payload_type, payload)),
        emit=events.append,
    )
    return Dispatcher(role, handshake, events.append, expects_handshake=expects_handshake), handshake, events


def test_output_without_a_handshake_starts_a_plain_session() -> None:
    dispatcher, _, events = _dispatcher(Role.CLIENT)
    dispatcher.dispatch(_message(b"$ "), 1.0)
    dispatcher.dispatch(_message(b"no", payloads.STDERR), 1.0)
    assert events == [PLAIN_START, DataReceived(b"$ "), DataReceived(b"no", payloads.STDERR)]


def test_empty_output_is_no_event() -> None:
    dispatcher, _, events = _dispatcher(Role.CLIENT)
    dispatcher.dispatch(_message(b""), 1.0)
    assert events == [PLAIN_START]


def test_output_in_the_clear_is_refused_while_a_key_is_awaited() -> None:
    dispatcher, handshake, events = _dispatcher(Role.CLIENT)
    request = handshake_request("Standard_Stream", KMSEncryption={"KMSKeyId": "key"})
    dispatcher.dispatch(_message(request, payloads.HANDSHAKE_REQUEST), 1.0)
    assert handshake.state is HandshakeState.WAITING_FOR_KEY
    seen = len(events)
    with pytest.raises(RemoteProtocolError, match="in the clear"):
        dispatcher.dispatch(_message(b"secret"), 1.0)
    assert len(events) == seen


def test_agent_throws_input_away_before_the_handshake_and_takes_it_without_one() -> None:
    waiting, _, lost = _dispatcher(Role.AGENT)
    waiting.dispatch(_message(b"early", role=Role.AGENT), 1.0)
    assert lost == []
    plain, _, taken = _dispatcher(Role.AGENT, expects_handshake=False)
    plain.dispatch(_message(b"early", role=Role.AGENT), 1.0)
    assert taken == [DataReceived(b"early")]


def test_size_is_for_the_agent_and_an_exit_code_for_the_client() -> None:
    size, code = payloads.encode_size(80, 25), payloads.encode_exit_code(7)
    agent, _, at_agent = _dispatcher(Role.AGENT, expects_handshake=False)
    client, _, at_client = _dispatcher(Role.CLIENT)
    client.assume_started()
    for dispatcher, role in ((agent, Role.AGENT), (client, Role.CLIENT)):
        dispatcher.dispatch(_message(size, payloads.SIZE, role), 1.0)
        dispatcher.dispatch(_message(code, payloads.EXIT_CODE, role), 1.0)
    assert at_agent == [SizeReceived(80, 25)]
    assert at_client == [ExitCodeReceived(7)]


def test_flag_reaches_both_and_an_unknown_type_nobody() -> None:
    for role in Role:
        dispatcher, _, events = _dispatcher(role, expects_handshake=False)
        dispatcher.assume_started()
        dispatcher.dispatch(_message(payloads.encode_flag(payloads.TERMINATE_SESSION), payloads.FLAG, role), 1.0)
        dispatcher.dispatch(_message(b"?", 99, role), 1.0)
        assert events == [FlagReceived(payloads.TERMINATE_SESSION)]


def test_handshake_of_a_session_that_began_without_one_is_ignored_until_it_is_expected() -> None:
    dispatcher, handshake, _ = _dispatcher(Role.CLIENT)
    dispatcher.assume_started()
    request = _message(handshake_request("Standard_Stream"), payloads.HANDSHAKE_REQUEST)
    dispatcher.dispatch(request, 1.0)
    states = [handshake.state]
    dispatcher.expect_handshake()
    dispatcher.dispatch(request, 1.0)
    states.append(handshake.state)
    assert states == [HandshakeState.BEGINNING, HandshakeState.ANSWERED]
