"""One smux stream: what leaves in one turn."""

from __future__ import annotations

from aws_runas.ssm.core.smux import frame
from aws_runas.ssm.core.smux.stream import Stream

ROOM = 10_000
SYN = frame.encode(frame.SYN, 3)
FIN = frame.encode(frame.FIN, 3)


def psh(data: bytes) -> bytes:
    return bytes(frame.encode(frame.PSH, 3, data))


def test_one_turn_sends_syn_data_and_fin() -> None:
    stream = Stream(3, opening=True, closing=True)
    stream.queue(b"abc")
    assert stream.next_bytes(ROOM, 100) == SYN + psh(b"abc") + FIN
    assert not stream.wants_to_send()
    assert stream.next_bytes(ROOM, 100) == b""


def test_syn_needs_room_and_no_data_goes_before_it() -> None:
    stream = Stream(3, opening=True)
    stream.queue(b"abc")
    assert stream.next_bytes(frame.HEADER_LENGTH - 1, 100) == b""
    assert stream.next_bytes(frame.HEADER_LENGTH, 100) == SYN
    assert stream.next_bytes(ROOM, 100) == psh(b"abc")


def test_chunks_are_joined_and_cut_to_the_frame() -> None:
    stream = Stream(3)
    for chunk in (b"ab", b"cde", b"f", b""):
        stream.queue(chunk)
    sent = [stream.next_bytes(ROOM, 4) for _ in range(2)]
    assert sent == [psh(b"abcd"), psh(b"ef")]
    assert stream.queued == 0


def test_data_is_cut_to_the_room() -> None:
    stream = Stream(3)
    stream.queue(b"abcdef")
    assert stream.next_bytes(frame.HEADER_LENGTH + 2, 100) == psh(b"ab")
    assert stream.queued == 4


def test_fin_waits_for_the_last_byte_and_is_sent_once() -> None:
    stream = Stream(3, closing=True)
    stream.queue(b"abcd")
    assert stream.next_bytes(ROOM, 3) == psh(b"abc")
    assert stream.next_bytes(ROOM, 3) == psh(b"d") + FIN
    assert stream.next_bytes(ROOM, 3) == b""


def test_discarded_queue_leaves_the_fin() -> None:
    stream = Stream(3, closing=True)
    stream.queue(b"abcd")
    stream.discard_queue()
    assert stream.wants_to_send()
    assert stream.next_bytes(ROOM, 3) == FIN
