"""AgentHandshake: it asks once, waits for a bounded time, and believes no client without a proof."""

from __future__ import annotations

import random

import pytest

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.agent_handshake import HANDSHAKE_TIMEOUT, AgentHandshake, Announcement
from aws_runas.ssm.core.encryption import SessionCipher, random_nonces
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.events import DataKeyRequested, Event, SessionStarted
from aws_runas.ssm.core.handshake import HandshakeState

KEY = bytes(range(64))
ACCEPTED = payloads.ProcessedAction(payloads.ACTION_SESSION_TYPE, payloads.STATUS_SUCCESS)


class _Agent:
    def __init__(self, kms_key_id: str = "") -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.events: list[Event] = []
        self.handshake = AgentHandshake(
            Announcement("3.3.0.0", "Port", {"portNumber": "80"}, kms_key_id, "welcome", "session", "i-1"),
            random_bytes=random.Random(1).randbytes,
            send=lambda payload_type, payload: self.sent.append((payload_type, payload)),
            emit=self.events.append,
        )
        self.handshake.begin(10.0)

    def answer(self, *actions: payloads.ProcessedAction) -> None:
        response = payloads.encode_handshake_response(payloads.HandshakeResponse("1.2.764.0", list(actions), []))
        self.handshake.receive(payloads.HANDSHAKE_RESPONSE, response, 11.5)


def test_request_is_sent_once() -> None:
    agent = _Agent()
    agent.handshake.begin(11.0)
    ((payload_type, payload),) = agent.sent
    assert payload_type == payloads.HANDSHAKE_REQUEST
    (action,) = payloads.decode_handshake_request(payload).actions
    assert payloads.session_type_of(action) == ("Port", {"portNumber": "80"})
    assert agent.handshake.deadline == 10.0 + HANDSHAKE_TIMEOUT


def test_completion_tells_how_long_it_took() -> None:
    agent = _Agent()
    agent.answer(ACCEPTED)
    payload_type, payload = agent.sent[-1]
    assert payload_type == payloads.HANDSHAKE_COMPLETE
    assert b"1500000000" in payload  # nanoseconds
    (started,) = agent.events
    assert isinstance(started, SessionStarted)
    assert (started.client_version, started.encrypted) == ("1.2.764.0", False)
    assert agent.handshake.deadline is None


def test_silence_ends_the_handshake_at_the_deadline_and_not_before() -> None:
    agent = _Agent()
    agent.handshake.handle_timer(10.0 + HANDSHAKE_TIMEOUT - 0.001)
    states = [agent.handshake.state]
    with pytest.raises(RemoteProtocolError, match="15 seconds"):
        agent.handshake.handle_timer(10.0 + HANDSHAKE_TIMEOUT)
    states.append(agent.handshake.state)
    assert states == [HandshakeState.BEGINNING, HandshakeState.FAILED]


def test_refused_action_is_named() -> None:
    refused = payloads.ProcessedAction(payloads.ACTION_SESSION_TYPE, payloads.STATUS_FAILED, None, "no such type")
    with pytest.raises(RemoteProtocolError, match="SessionType: no such type"):
        _Agent().answer(refused)


def test_client_that_ignores_the_request_for_encryption_gets_no_session() -> None:
    agent = _Agent("key")
    with pytest.raises(RemoteProtocolError, match="did not answer the request for encryption"):
        agent.answer(ACCEPTED)
    assert agent.events == []


@pytest.mark.parametrize("acknowledges", [True, False])
def test_challenge_is_part_of_the_context_only_if_the_client_says_so(acknowledges: bool) -> None:
    agent = _Agent("key")
    agent.answer(ACCEPTED, payloads.kms_action(b"blob", acknowledge_challenge=acknowledges))
    (asked,) = agent.events
    assert isinstance(asked, DataKeyRequested)
    assert asked.ciphertext_blob == b"blob"
    assert len(asked.encryption_context) == (3 if acknowledges else 2)


@pytest.mark.parametrize("honest", [True, False])
def test_session_starts_only_with_the_right_answer_to_the_challenge(honest: bool) -> None:
    agent = _Agent("key")
    agent.answer(ACCEPTED, payloads.kms_action(b"blob", acknowledge_challenge=True))
    agent.handshake.provide_data_key(KEY, b"blob", 12.0)
    assert agent.handshake.deadline == 12.0 + HANDSHAKE_TIMEOUT
    client = SessionCipher(KEY, is_client=True, next_nonce=random_nonces(random.Random(2).randbytes))
    challenge = client.decrypt(payloads.decode_challenge(agent.sent[-1][1]))
    answer = payloads.encode_challenge(client.encrypt(challenge if honest else challenge + b"!"))
    if honest:
        agent.handshake.receive(payloads.CHALLENGE_RESPONSE, answer, 13.0)
        started = agent.events[-1]
        assert isinstance(started, SessionStarted)
        assert started.encrypted
    else:
        with pytest.raises(RemoteProtocolError, match="challenge is wrong"):
            agent.handshake.receive(payloads.CHALLENGE_RESPONSE, answer, 13.0)
        assert not any(isinstance(event, SessionStarted) for event in agent.events)
