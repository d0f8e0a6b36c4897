"""The layout of a message: what is accepted, what is refused, and that ours and a plain implementation agree."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.message import (
    MESSAGE_LIMIT,
    OUTPUT_STREAM_DATA,
    AcknowledgeEncoder,
    DataEncoder,
    Message,
    MessageIds,
    decode_message,
    encode_message,
    message_id_text,
    message_type_of,
    read_plain_acknowledgement,
)
from aws_runas.ssm.core.payloads import decode_acknowledge
from tests.core import naive
from tests.core.recorded import binary_frames

SIGNED_64 = st.integers(-(2**63), 2**63 - 1)
UNSIGNED_32 = st.integers(0, 2**32 - 1)
UNSIGNED_64 = st.integers(0, 2**64 - 1)
FRAMES = binary_frames()


def ids(seed: int = 1) -> MessageIds:
    return MessageIds(random.Random(seed).randbytes)


def changed(frame: bytes, at: int, new: bytes) -> bytes:
    return frame[:at] + new + frame[at + len(new) :]


def test_message_has_the_layout_of_the_specification() -> None:
    identity = uuid.UUID("00112233-4455-4677-8899-aabbccddeeff")
    frame = encode_message(
        Message(
            "input_stream_data",
            sequence_number=5,
            flags=1,
            payload_type=1,
            payload=b"ls\n",
            message_id=identity.bytes[8:] + identity.bytes[:8],
            created_date=0x0102030405060708,
        )
    )
    assert frame[:4] == bytes((0, 0, 0, 116))
    assert frame[4:36] == b"input_stream_data               "
    assert frame[36:40] == bytes((0, 0, 0, 1))
    assert frame[40:48] == bytes(range(1, 9))
    assert frame[48:56] == bytes((0, 0, 0, 0, 0, 0, 0, 5))
    assert frame[56:64] == bytes((0, 0, 0, 0, 0, 0, 0, 1))
    assert frame[64:80].hex() == "8899aabbccddeeff" + "0011223344554677"
    assert frame[112:120] == bytes((0, 0, 0, 1, 0, 0, 0, 3))
    assert frame[120:] == b"ls\n"


def test_message_id_text_has_its_halves_swapped_back() -> None:
    identity = uuid.uuid4()
    assert message_id_text(identity.bytes[8:] + identity.bytes[:8]).decode() == str(identity)


def test_message_ids_are_random_uuids_of_version_4_and_never_repeat() -> None:
    source = ids()
    made = [uuid.UUID(source.take_text()) for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {identity.version for identity in made} == {4}
    assert {identity.variant for identity in made} == {uuid.RFC_4122}


@pytest.mark.parametrize("padding", [b" ", b"\0"])
@pytest.mark.parametrize("header_length", [112, 116])
def test_both_paddings_and_both_header_lengths_are_understood(padding: bytes, header_length: int) -> None:
    frame = naive.build("channel_closed", 0, b"{}", header_length=header_length, padding=padding)
    message = decode_message(frame)
    assert message.message_type == "channel_closed"
    assert message.payload == b"{}"
    assert encode_message(message) == frame


def test_payload_length_does_not_cut_the_payload() -> None:
    frame = naive.build("output_stream_data", 0, b"whole", payload_type=1)
    assert decode_message(changed(frame, 116, bytes(4))).payload == b"whole"


@pytest.mark.parametrize("length", range(0, 120, 7))
def test_truncated_header_is_refused(length: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_message(naive.build("output_stream_data", 0, b"")[:length])


@pytest.mark.parametrize(
    ("at", "new"),
    [
        (0, bytes(4)),  # no header length
        (0, bytes((0, 0, 0, 117))),
        (0, b"\xff\xff\xff\xff"),
        (4, b" " * 32),  # no type
        (4, bytes(32)),
        (4, b"\xff"),  # not ASCII
        (40, bytes(8)),  # no date
        (80, bytes(32)),  # no digest
        (120, b"x"),  # another payload than the digest's
    ],
)
def test_damaged_message_is_refused(at: int, new: bytes) -> None:
    frame = naive.build("output_stream_data", 0, b"payload", payload_type=1)
    decode_message(frame)
    with pytest.raises(RemoteProtocolError):
        decode_message(changed(frame, at, new))


def test_message_beyond_the_limit_is_refused() -> None:
    frame = naive.build("output_stream_data", 0, bytes(MESSAGE_LIMIT), payload_type=1)
    with pytest.raises(RemoteProtocolError, match="more than"):
        decode_message(frame)


def test_empty_payload_needs_no_digest() -> None:
    frame = changed(naive.build("output_stream_data", 3, b"", payload_type=1), 80, bytes(32))
    assert decode_message(frame).payload == b""


@given(
    kind=st.sampled_from(["input_stream_data", "output_stream_data", "acknowledge", "x"]),
    number=SIGNED_64,
    flags=UNSIGNED_64,
    payload_type=UNSIGNED_32,
    payload=st.binary(max_size=2000),
    created=st.integers(1, 2**64 - 1),
    identity=st.uuids(),
    header_length=st.sampled_from([112, 116]),
)
def test_any_message_survives_encoding_and_agrees_with_the_plain_implementation(
    kind: str,
    number: int,
    flags: int,
    payload_type: int,
    payload: bytes,
    created: int,
    identity: uuid.UUID,
    header_length: int,
) -> None:
    frame = naive.build(
        kind,
        number,
        payload,
        payload_type=payload_type,
        flags=flags,
        header_length=header_length,
        message_id=identity,
        created_date=created,
    )
    message = decode_message(frame)
    assert encode_message(message) == frame
    judge = naive.parse(frame)
    assert (message.sequence_number, message.flags, message.payload) == (number, flags, payload)
    assert message.payload_type == judge.payload_type
    assert message_id_text(message.message_id).decode() == str(identity)


@given(number=st.integers(0, 2**63 - 1), payload=st.binary(max_size=1500), payload_type=st.integers(1, 12))
def test_data_encoder_agrees_with_the_plain_implementation(number: int, payload: bytes, payload_type: int) -> None:
    frame = DataEncoder(OUTPUT_STREAM_DATA, ids()).encode(number, 1, payload_type, payload, 1_700_000_000_000)
    identity = naive.parse(frame).message_id
    assert frame == naive.build(
        OUTPUT_STREAM_DATA, number, payload, payload_type=payload_type, flags=1, message_id=identity
    )


@given(number=st.integers(0, 10**18 - 1), identity=st.uuids(), seed=st.integers(0, 1000))
def test_acknowledgement_by_formatting_is_what_a_json_library_writes(
    number: int, identity: uuid.UUID, seed: int
) -> None:
    acknowledged = naive.parse(naive.build(OUTPUT_STREAM_DATA, number, b"", message_id=identity))
    wire = identity.bytes[8:] + identity.bytes[:8]
    frame = AcknowledgeEncoder(OUTPUT_STREAM_DATA, ids(seed)).encode(number, wire, 1_700_000_000_000)
    assert frame == naive.build_acknowledgement(acknowledged, naive.parse(frame).message_id)
    assert read_plain_acknowledgement(frame) == number


@given(st.binary(max_size=400))
def test_decoder_refuses_with_its_own_error_or_accepts(data: bytes) -> None:
    message_type_of(data)
    assert read_plain_acknowledgement(data) is None
    try:
        message = decode_message(data)
    except RemoteProtocolError:
        return
    assert decode_message(encode_message(message)).payload == message.payload


@given(
    frame=st.sampled_from(FRAMES),
    changes=st.lists(st.tuples(st.integers(0, 500), st.binary(min_size=1, max_size=8)), max_size=4),
    cut=st.integers(0, 300),
)
def test_recorded_frame_changed_anywhere_is_refused_or_accepted(
    frame: bytes, changes: list[tuple[int, bytes]], cut: int
) -> None:
    for at, new in changes:
        frame = changed(frame, at % len(frame), new)
    frame = frame[: len(frame) - cut] if cut < len(frame) else frame
    number = read_plain_acknowledgement(frame)
    try:
        message = decode_message(frame)
    except RemoteProtocolError:
        assert number is None, "the short way accepts what the long way refuses"
        return
    if number is not None:
        assert decode_acknowledge(message.payload) == number


@given(st.binary(max_size=200).map(lambda body: body.replace(b"\0", b"0")), st.integers(0, 3))
def test_short_and_long_way_of_an_acknowledgement_agree(body: bytes, shape: int) -> None:
    head = b'{"AcknowledgedMessageType":"input_stream_data","AcknowledgedMessageId":"'
    whole = head + b"0" * 36 + b'","AcknowledgedMessageSequenceNumber":%b,"IsSequentialMessage":true}'
    payload = [
        whole % body[:20],
        whole % b"12" + body,
        head + body[:36] + whole[len(head) + 36 :] % b"7",
        head + body,
    ][shape]
    frame = naive.build("acknowledge", 0, payload)
    number = read_plain_acknowledgement(frame)
    if number is not None:
        assert decode_acknowledge(decode_message(frame).payload) == number
