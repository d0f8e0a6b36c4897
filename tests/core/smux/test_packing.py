"""How frames become messages: in order, and never so that a repeated message is a run of whole frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.ssm.core.smux.frame import HEADER_LENGTH, KEEPALIVE
from aws_runas.ssm.core.smux.packing import MessagePacker
from aws_runas.ssm.core.smux.session import Side, SmuxSession

FRAME_DATA = 300


def frame(length: int) -> bytes:
    """Return a PSH frame of stream 3 with so many bytes of data."""
    return bytes((1, 2)) + length.to_bytes(2, "little") + (3).to_bytes(4, "little") + b"\xff" * length


def pack(bursts: list[list[int]], size: int) -> list[bytes]:
    """Return the messages of frames that become ready in bursts."""
    ready: deque[bytes] = deque()

    def next_frames(room: int) -> bytes:
        return ready.popleft() if ready and len(ready[0]) <= room else b""

    packer, messages = MessagePacker(next_frames), []
    for burst in bursts:
        ready.extend(frame(length) for length in burst)
        while ready or packer.has_data():
            messages.append(packer.next_message(size, FRAME_DATA))
    return messages


def frames_of(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole frames of a stream, and what is left."""
    frames = []
    while len(stream) >= HEADER_LENGTH:
        end = HEADER_LENGTH + int.from_bytes(stream[2:4], "little")
        if len(stream) < end:
            break
        frames.append(stream[:end])
        stream = stream[end:]
    return frames, stream


bursts = st.lists(st.lists(st.integers(0, FRAME_DATA), max_size=8), max_size=12)
sizes = st.integers(HEADER_LENGTH + 1, 1024)


@given(bursts=bursts, size=sizes)
def test_messages_hold_the_frames_in_order_and_padding_only(bursts: list[list[int]], size: int) -> None:
    messages = pack(bursts, size)
    assert all(0 < len(message) <= size for message in messages)
    frames, rest = frames_of(b"".join(messages))
    sent = [data for data in frames if data != KEEPALIVE]
    assert sent == [frame(length) for burst in bursts for length in burst]
    assert KEEPALIVE.startswith(rest)


def read_as_official(stream: bytes) -> tuple[dict[int, bytes], bool]:
    """Read frames as xtaci/smux does: it ignores the length of a frame without data, and reads UPD in version 1 too.

    Returns:
        The data of each stream, and whether the session broke.
    """
    position, streams = 0, dict[int, bytes]()
    while len(stream) - position >= HEADER_LENGTH:
        version, command = stream[position], stream[position + 1]
        length = int.from_bytes(stream[position + 2 : position + 4], "little")
        stream_id = int.from_bytes(stream[position + 4 : position + 8], "little")
        if version != 1 or command > 4:
            return streams, True
        position += HEADER_LENGTH
        if command == 4:
            position += 8
        elif command == 0:
            streams.setdefault(stream_id, b"")
        elif command == 2:
            if len(stream) - position < length:
                break
            if stream_id in streams:
                streams[stream_id] += stream[position : position + length]
            position += length
    return streams, False


def messages_of(payload: bytes, frame_data: int, size: int, chunks: Sequence[int]) -> list[bytes]:
    """Return the messages of one stream that sends a payload in chunks, in turn of these sizes."""
    session = SmuxSession(Side.CLIENT, frame_data=frame_data, stream_queue=1 << 20)
    stream = session.open_stream()
    position, turn, messages = 0, 0, list[bytes]()
    while position < len(payload) or session.wants_to_send():
        chunk = payload[position : position + chunks[turn % len(chunks)]]
        position, turn = position + len(chunk), turn + 1
        session.send_data(stream, chunk)
        while message := session.message_to_send(size):
            messages.append(message)
    return messages


# Text of headers: official agents take each of these for one frame after the other, from any byte, or from each eighth.
FORGED = {
    "frames from any byte": b"\x01" * 40_000,
    "frames of eight bytes": b"\x01\x03\0\0\0\0\0\0" * 5_000,
    "updates": b"\x01\x04\0\0\0\0\0\0" * 5_000,
    "updates and frames from any byte": (b"\x01\x04" + b"\x01" * 30) * 1_250,
    "jumps": (b"\x01" * 31 + b"\x01\x02\x00\x01" + b"\x01" * 260) * 130,
    "data of another stream": b"\x01\x02\x04\x00\x05\0\0\0evil" * 3_300,
    "zeros": bytes(40_000),
    "text": b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n" * 1_000,
}


@pytest.mark.parametrize("frame_data", [300, 1016, 8184, 32_768])
@pytest.mark.parametrize("payload", FORGED.values(), ids=FORGED)
def test_repetition_is_noticed_whatever_the_payload_is_made_to_look_like(payload: bytes, frame_data: int) -> None:
    messages = messages_of(payload, frame_data, 1024, [60_000])
    assert read_as_official(b"".join(messages)) == ({3: payload}, False)
    behind = 2 + frame_data // 1000  # the agent notices at the next header
    for number in range(1, len(messages) - behind, 3):
        _, broken = read_as_official(b"".join(messages[: number + 1] + messages[number : number + 1 + behind]))
        assert broken, f"message {number} of {len(messages)}"


@pytest.mark.parametrize("frame_data", [300, 1016, 8184])
@pytest.mark.parametrize("payload", FORGED.values(), ids=FORGED)
def test_repetition_at_the_very_end_is_noticed_at_once(payload: bytes, frame_data: int) -> None:
    """Nothing follows that could show it: the message shows it itself, or NOP frames are sent behind it."""
    for length in (*range(1, 60), *range(900, 6000, 97)):
        messages = messages_of(payload[:length], frame_data, 1024, [60_000])
        for number in range(max(0, len(messages) - 3), len(messages)):
            _, broken = read_as_official(b"".join(messages[: number + 1] + messages[number:]))
            assert broken, f"{length} bytes, message {number} of {len(messages)}"


@pytest.mark.slow
@given(
    payload=st.lists(st.sampled_from(b"\0\1\1\1\2\3\4\x10\xff"), min_size=2000, max_size=6000).map(bytes),
    chunks=st.lists(st.integers(1, 700), min_size=1, max_size=8),
    frame_data=st.integers(50, 2000),
    number=st.integers(0, 1_000),
)
@settings(max_examples=40, deadline=None)
def test_repetition_among_frames_of_any_size_is_noticed(
    payload: bytes, chunks: list[int], frame_data: int, number: int
) -> None:
    messages = messages_of(payload, frame_data, 1024, chunks)
    number %= len(messages)
    repeated, broken = read_as_official(b"".join(messages[: number + 1] + messages[number:]))
    assert broken or repeated == {3: payload}


# A frame of 1,016 bytes of data fills a message of 1,024; from 1,017 on it straddles two, and its header may be cut.
BORDERS = (0, 1, 2, 7, 8, 9, *range(1003, 1027), *range(2035, 2045), 4_096, 32_768, 65_535)


@pytest.mark.parametrize("payload", [bytes(140_000), *(text * 4 for text in FORGED.values())], ids=["0", *FORGED])
def test_chunks_around_the_size_of_a_message_arrive_once_and_their_repetition_is_noticed(payload: bytes) -> None:
    """Two chunks of each size, alone and behind a short one, so that frames begin at and just off the border."""
    for size in BORDERS:
        for chunks in ([size], [3, size, 5]):
            total = payload[: 2 * sum(chunks)]
            messages = messages_of(total, 32_768, 1024, chunks if size else [1])
            assert all(0 < len(message) <= 1024 for message in messages), size
            assert read_as_official(b"".join(messages)) == ({3: total}, False), size
            for number in {0, len(messages) // 2, *range(max(0, len(messages) - 2), len(messages))}:
                behind = messages[number:]
                repeated, broken = read_as_official(b"".join(messages[: number + 1] + behind))
                assert broken or repeated == {3: total}, f"{size} in {chunks}, message {number} of {len(messages)}"


@given(
    lengths=st.lists(st.integers(1006, 1016) | st.sampled_from((0, 1, 1014, 2_040, 2_048)), min_size=1, max_size=6),
    first=st.integers(0, 20),
)
@settings(max_examples=60, deadline=None)
def test_no_message_is_a_run_of_whole_frames_around_the_border(lengths: list[int], first: int) -> None:
    ready = deque([frame(first), *map(frame, lengths)])
    packer = MessagePacker(lambda room: ready.popleft() if ready and len(ready[0]) <= room else b"")
    messages = []
    while ready or packer.has_data():
        messages.append(packer.next_message(1024, 2_048))
    stream, position = b"".join(messages), 0
    frames, _ = frames_of(stream)
    assert [each for each in frames if each != KEEPALIVE] == [frame(first), *map(frame, lengths)]
    borders = {0}
    for each in frames:
        borders.add(max(borders) + len(each))
    for message in messages:
        assert not (position in borders and position + len(message) in borders)
        position += len(message)
