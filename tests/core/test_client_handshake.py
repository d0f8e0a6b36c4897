"""ClientHandshake: one answer to one request, and no session that is less encrypted than was asked."""

from __future__ import annotations

import random

import pytest

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.client_handshake import ClientHandshake
from aws_runas.ssm.core.encryption import SessionCipher, random_nonces
from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.events import ChannelFailed, DataKeyRequested, Event, SessionStarted
from aws_runas.ssm.core.handshake import HandshakeState
from tests.core.frames import handshake_complete, handshake_request

KEY = bytes(range(64))
ENCRYPTED = handshake_request("Standard_Stream", KMSEncryption={"KMSKeyId": "key", "Challenge": "Y2hhbGxlbmdl"})


class _Client:
    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.events: list[Event] = []
        self.handshake = ClientHandshake(
            session_id="session",
            target="i-0123456789abcdef0",
            client_version="1.2.764.0",
            random_bytes=random.Random(1).randbytes,
            send=lambda payload_type, payload: self.sent.append((payload_type, payload)),
            emit=self.events.append,
        )

    def receive(self, payload_type: int, payload: bytes) -> None:
        self.handshake.receive(payload_type, payload, 1.0)

    def response(self) -> payloads.HandshakeResponse:
        ((payload_type, payload),) = self.sent
        assert payload_type == payloads.HANDSHAKE_RESPONSE
        return payloads.decode_handshake_response(payload)


def test_second_request_is_ignored() -> None:
    client = _Client()
    client.receive(payloads.HANDSHAKE_REQUEST, handshake_request())
    client.receive(payloads.HANDSHAKE_REQUEST, handshake_request("Hologram"))
    assert [(a.action_type, a.status) for a in client.response().actions] == [("SessionType", 1)]
    assert client.events == []


def test_completion_is_told_once() -> None:
    client = _Client()
    client.receive(payloads.HANDSHAKE_REQUEST, handshake_request())
    client.receive(payloads.HANDSHAKE_COMPLETE, handshake_complete("hello"))
    client.receive(payloads.HANDSHAKE_COMPLETE, handshake_complete("again"))
    (started,) = client.events
    assert isinstance(started, SessionStarted)
    assert (started.session_type, started.customer_message, started.encrypted) == ("Port", "hello", False)


def test_completion_before_the_request_is_a_protocol_error() -> None:
    client = _Client()
    with pytest.raises(RemoteProtocolError, match="before it had received our answer"):
        client.receive(payloads.HANDSHAKE_COMPLETE, handshake_complete())
    assert client.events == []


def test_nothing_is_answered_until_the_data_key_is_there() -> None:
    client = _Client()
    client.receive(payloads.HANDSHAKE_REQUEST, ENCRYPTED)
    assert client.sent == []
    (asked,) = client.events
    assert isinstance(asked, DataKeyRequested)
    assert asked.kms_key_id == "key"
    assert sorted(asked.encryption_context.values()) == ["Y2hhbGxlbmdl", "i-0123456789abcdef0", "session"]
    client.handshake.provide_data_key(KEY, b"blob", 1.0)
    kms = client.response().actions[1]
    assert payloads.ciphertext_blob_of(kms.result) == b"blob"
    assert kms.status == payloads.STATUS_SUCCESS


def test_completion_without_the_challenge_never_starts_a_session() -> None:
    client = _Client()
    client.receive(payloads.HANDSHAKE_REQUEST, ENCRYPTED)
    client.handshake.provide_data_key(KEY, b"blob", 1.0)
    with pytest.raises(RemoteProtocolError, match="without proving"):
        client.receive(payloads.HANDSHAKE_COMPLETE, handshake_complete())
    assert not any(isinstance(event, SessionStarted) for event in client.events)


def test_challenge_comes_back_under_our_key() -> None:
    client = _Client()
    client.receive(payloads.HANDSHAKE_REQUEST, ENCRYPTED)
    client.handshake.provide_data_key(KEY, b"blob", 1.0)
    agent = SessionCipher(KEY, is_client=False, next_nonce=random_nonces(random.Random(2).randbytes))
    client.receive(payloads.CHALLENGE_REQUEST, payloads.encode_challenge(agent.encrypt(b"prove it")))
    payload_type, payload = client.sent[-1]
    assert payload_type == payloads.CHALLENGE_RESPONSE
    assert agent.decrypt(payloads.decode_challenge(payload)) == b"prove it"
    client.receive(payloads.HANDSHAKE_COMPLETE, handshake_complete())
    started = client.events[-1]
    assert isinstance(started, SessionStarted)
    assert started.encrypted


def test_challenge_before_the_keys_is_a_protocol_error() -> None:
    client = _Client()
    with pytest.raises(RemoteProtocolError, match="before the keys"):
        client.receive(payloads.CHALLENGE_REQUEST, payloads.encode_challenge(b"x" * 40))


def test_refused_key_is_told_to_both_ends() -> None:
    client = _Client()
    client.receive(payloads.HANDSHAKE_REQUEST, ENCRYPTED)
    client.handshake.refuse_data_key("AccessDenied", 1.0)
    assert client.response().actions[1].status == payloads.STATUS_FAILED
    assert client.handshake.state is HandshakeState.FAILED
    failed = client.events[-1]
    assert isinstance(failed, ChannelFailed)
    assert "AccessDenied" in failed.reason


def test_key_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        _Client().handshake.provide_data_key(KEY, b"blob", 1.0)
    with pytest.raises(LocalProtocolError):
        _Client().handshake.refuse_data_key("why", 1.0)
