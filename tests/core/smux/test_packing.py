"""How frames become messages: in order, and never so that a repeated message is a run of whole frames."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from aws_runas.ssm.core.smux.frame import HEADER_LENGTH, KEEPALIVE
from aws_runas.ssm.core.smux.packing import MessagePacker

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


@given(bursts=bursts, size=sizes)
def test_bytes_missing_at_the_end_differ_from_those_at_the_beginning(bursts: list[list[int]], size: int) -> None:
    messages = pack(bursts, size)
    frames, rest = frames_of(b"".join(messages))
    if rest:
        frames.append(KEEPALIVE)  # begun, and not complete yet
    borders = [0, *accumulate(map(len, frames))]

    def missing(at: int) -> int:
        return borders[bisect_left(borders, at)] - at

    begin = 0
    for message in messages:
        end = begin + len(message)
        assert missing(begin) != missing(end), "repeated, this message would keep the stream in step"
        begin = end
