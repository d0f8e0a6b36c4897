"""Sessions encrypted by KMS: keys, challenge, and what a wrong key or a changed byte does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.channel import ChannelSettings
from aws_runas.ssm.core.encryption import SessionCipher, counting_nonces
from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.events import ChannelFailed, DataKeyRequested, ExitCodeReceived, SessionStarted
from tests.core import naive
from tests.core.pair import End, Frame, Pair

KEY = bytes(range(64))
KMS = ChannelSettings(
    session_type="InteractiveCommands",
    kms_key_id="arn:aws:kms:us-east-1:111122223333:key/k",
    customer_message="This session is encrypted using AWS KMS.",
)


def asked(end: End) -> DataKeyRequested:
    (request,) = [event for event in end.events if isinstance(event, DataKeyRequested)]
    return request


def failed(end: End) -> str:
    (event,) = [event for event in end.events if isinstance(event, ChannelFailed)]
    return event.reason


def encrypted_pair(client_key: bytes = KEY, agent_key: bytes = KEY) -> Pair:
    pair = Pair(KMS)
    provide_keys(pair, client_key, agent_key)
    return pair


def provide_keys(pair: Pair, client_key: bytes = KEY, agent_key: bytes = KEY) -> None:
    """Answer the request for a data key on both sides, the client first."""
    pair.run(0.1)
    pair.client.channel.provide_data_key(client_key, b"blob", pair.now)
    pair.exchange()
    pair.run(0.1)
    pair.agent.channel.provide_data_key(agent_key, b"", pair.now)
    pair.exchange()
    pair.run(0.5)


def change(payload_type: int, edit: Callable[[bytes], bytes]) -> Callable[[Frame], list[Frame]]:
    """A filter that changes payloads of a type, with a digest that fits."""

    def apply(frame: Frame) -> list[Frame]:
        if isinstance(frame, str):
            return [frame]
        message = naive.parse(frame)
        if message.payload_type != payload_type:
            return [frame]
        number = message.sequence_number
        return [naive.build(message.message_type, number, edit(message.payload), payload_type=payload_type, flags=0)]

    return apply


def test_both_ends_ask_for_the_key_with_the_same_context() -> None:
    pair = encrypted_pair()
    request, question = asked(pair.client), asked(pair.agent)
    assert request.encryption_context == question.encryption_context
    assert set(request.encryption_context) == {"aws:ssm:SessionId", "aws:ssm:TargetId", "aws:ssm:RandomChallenge"}
    assert request.kms_key_id == KMS.kms_key_id
    assert question.ciphertext_blob == b"blob"


def test_session_starts_encrypted_and_carries_data_both_ways() -> None:
    pair = encrypted_pair()
    (started,) = [event for event in pair.client.events if isinstance(event, SessionStarted)]
    assert started.encrypted
    assert started.customer_message == KMS.customer_message
    wire: list[bytes] = []

    def tap(frame: Frame) -> list[Frame]:
        if isinstance(frame, bytes):
            wire.append(frame)
        return [frame]

    pair.client.filter = tap
    pair.send(pair.client, b"secret input " * 500)
    pair.send(pair.agent, b"secret output " * 500)
    pair.send(pair.agent, b"secret error", payloads.STDERR)
    pair.agent.channel.send_exit_code(3, pair.now)
    pair.run(2)
    assert pair.agent.data() == b"secret input " * 500
    assert pair.client.data() == b"secret output " * 500
    assert pair.client.data(payloads.STDERR) == b"secret error"
    assert ExitCodeReceived(3) in pair.client.events
    assert not any(b"secret" in frame for frame in wire)
    sizes = {len(naive.parse(frame).payload) for frame in wire if naive.parse(frame).payload_type == 1}
    assert max(sizes) == 1024 + 28


def test_client_acknowledges_a_challenge_only_where_there_is_one() -> None:
    pair = Pair(KMS)
    pair.agent.channel.messages_to_send(pair.now)
    request = sent_payload(pair.agent, 5)
    assert request["RequestedClientActions"][1]["ActionParameters"]["Challenge"]
    old = Pair(KMS, connect=False)

    def without_challenge(payload: bytes) -> bytes:
        value = json.loads(payload)
        del value["RequestedClientActions"][1]["ActionParameters"]["Challenge"]
        return json.dumps(value).encode()

    old.agent.filter = change(5, without_challenge)
    old.connect()
    old.run(0.1)
    assert "aws:ssm:RandomChallenge" not in asked(old.client).encryption_context
    old.client.channel.provide_data_key(KEY, b"blob", old.now)
    old.exchange()
    old.run(0.1)
    response = sent_payload(old.client, 6)
    assert response["ProcessedClientActions"][1]["ActionResult"] == {
        "KMSCipherTextKey": "YmxvYg==",
        "KMSCipherTextHash": None,
    }
    assert "aws:ssm:RandomChallenge" not in asked(old.agent).encryption_context


def sent_payload(end: End, payload_type: int) -> dict[str, list[dict[str, dict[str, str]]]]:
    """The JSON of the first message of a type that an end sent."""
    messages = [naive.parse(frame) for frame in end.sent if isinstance(frame, bytes)]
    value: dict[str, list[dict[str, dict[str, str]]]] = json.loads(
        next(message.payload for message in messages if message.payload_type == payload_type)
    )
    return value


def test_wrong_key_ends_the_session_with_a_clear_error() -> None:
    pair = encrypted_pair(client_key=bytes(64))
    assert "different keys" in failed(pair.client)
    assert not [event for event in pair.client.events if isinstance(event, SessionStarted)]


def test_message_changed_on_the_way_ends_the_session_with_a_clear_error() -> None:
    pair = encrypted_pair()
    pair.agent.filter = change(payloads.OUTPUT, lambda payload: payload[:-1] + bytes((payload[-1] ^ 1,)))
    pair.send(pair.agent, b"rm -rf build")
    pair.run(1)
    assert "changed on the way" in failed(pair.client)
    assert pair.client.data() == b""


def test_data_in_the_clear_is_refused_in_an_encrypted_session() -> None:
    pair = encrypted_pair()
    pair.agent.filter = change(payloads.OUTPUT, lambda _: b"plain and long enough to hold a nonce and a tag")
    pair.send(pair.agent, b"x")
    pair.run(1)
    assert failed(pair.client)
    assert pair.client.data() == b""


@pytest.mark.parametrize("payload", [b"{}", b'{"Challenge":"AAAA"}', b'{"Challenge":"' + b"A" * 120 + b'"}'])
def test_challenge_that_does_not_fit_the_key_is_refused(payload: bytes) -> None:
    pair = Pair(KMS)
    pair.agent.filter = change(payloads.CHALLENGE_REQUEST, lambda _: payload)
    provide_keys(pair)
    assert failed(pair.client)


def test_agent_that_skips_the_challenge_is_refused() -> None:
    pair = Pair(KMS)
    pair.run(0.1)
    pair.client.channel.provide_data_key(KEY, b"blob", pair.now)
    pair.exchange()
    pair.client.channel.receive_message(
        naive.build("output_stream_data", 1, b'{"HandshakeTimeToComplete":1}', payload_type=7), pair.now
    )
    pair.exchange()
    assert "proving" in failed(pair.client)


def test_output_before_the_key_is_settled_is_refused() -> None:
    pair = Pair(KMS)
    pair.run(0.1)
    frame = naive.build("output_stream_data", 1, b"in the clear", payload_type=1)
    pair.client.channel.receive_message(frame, pair.now)
    pair.exchange()
    assert "in the clear" in failed(pair.client)


def test_refused_key_is_told_to_the_agent_and_ends_the_session() -> None:
    pair = Pair(KMS)
    pair.run(0.1)
    pair.client.channel.refuse_data_key("AccessDenied", pair.now)
    pair.exchange()
    pair.run(0.5)
    assert "AccessDenied" in failed(pair.client)
    assert "AccessDenied" in failed(pair.agent)


def test_agent_that_cannot_decrypt_the_key_ends_the_session() -> None:
    pair = Pair(KMS)
    pair.run(0.1)
    pair.client.channel.provide_data_key(KEY, b"blob", pair.now)
    pair.exchange()
    pair.run(0.1)
    pair.agent.channel.refuse_data_key("InvalidCiphertext", pair.now)
    pair.exchange()
    assert "InvalidCiphertext" in failed(pair.agent)


def test_client_with_another_key_is_refused_by_the_agent_s_challenge() -> None:
    pair = Pair(KMS)
    pair.client.filter = change(
        payloads.CHALLENGE_RESPONSE,
        lambda _: payloads.encode_challenge(
            SessionCipher(KEY, is_client=True, next_nonce=lambda: bytes(12)).encrypt(bytes(64))
        ),
    )
    pair.run(0.1)
    pair.client.channel.provide_data_key(KEY, b"blob", pair.now)
    pair.exchange()
    pair.run(0.1)
    pair.agent.channel.provide_data_key(KEY, b"", pair.now)
    pair.exchange()
    pair.run(0.5)
    assert "challenge is wrong" in failed(pair.agent)


def test_key_of_another_length_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(LocalProtocolError, match="32 bytes"):
        SessionCipher(bytes(32), is_client=True, next_nonce=lambda: bytes(12))


def test_payload_too_short_to_be_encrypted_is_refused() -> None:
    cipher = SessionCipher(KEY, is_client=True, next_nonce=lambda: bytes(12))
    with pytest.raises(RemoteProtocolError, match="too short"):
        cipher.decrypt(bytes(27))


def test_agent_counts_its_nonces_as_a_little_endian_number() -> None:
    nonces = counting_nonces(lambda size: b"\xfe" + b"\xff" * (size - 1))
    assert nonces() == b"\xff" * 12
    assert nonces() == bytes(12)
    assert nonces() == b"\1" + bytes(11)
