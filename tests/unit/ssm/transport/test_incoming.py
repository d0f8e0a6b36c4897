"""Received bytes become the same messages as `websockets` alone makes of them, however they are cut."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLOSED, CLOSING, OPEN
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from aws_runas.ssm.transport.framing import MAX_MESSAGE, Incoming

HEADS = (
    (b"\x05", b""),
    (b"\x7d", b""),
    (b"\x7e", b"\x01\x00"),
    (b"\x7e\x01\x00", b""),
    (b"\x85", bytes(4)),
)  # and what follows
URI = WebSocketURI(False, "host", 80, "/", "")
PAYLOADS = st.one_of(st.binary(max_size=200), st.sampled_from([bytes(125), bytes(126), bytes(1144), bytes(70_000)]))
MESSAGES = st.one_of(
    st.tuples(st.just(Opcode.BINARY), PAYLOADS),
    st.tuples(st.just(Opcode.TEXT), st.text(max_size=50).map(str.encode)),
    st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125)),
)


def client() -> tuple[Incoming, ClientProtocol, bytes]:
    """Return a client that waits for the answer to its opening request, and that answer."""
    protocol, server = ClientProtocol(URI, max_size=MAX_MESSAGE), ServerProtocol()
    request = protocol.connect()
    protocol.send_request(request)
    server.receive_data(b"".join(protocol.data_to_send()))
    (received,) = server.events_received()
    assert isinstance(received, Request)
    server.send_response(server.accept(received))
    return Incoming(protocol, ignore), protocol, b"".join(server.data_to_send())


def ignore(_event: Request | Response) -> None:
    pass


def frame(opcode: Opcode, data: bytes, *, fin: bool = True, mask: bool = False) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=mask)


def taken(incoming: Incoming, pieces: Iterable[bytes]) -> list[bytes | str]:
    messages: list[bytes | str] = []
    for piece in pieces:
        incoming.take(piece, messages)
    return messages


def _length(head: bytes) -> int:
    """Return the length that the second byte of a frame and those after it announce."""
    return int.from_bytes(head[1:3], "big") if head[0] == 126 else head[0] & 0x7F


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    cut, at = [], 0
    for size in sizes:
        cut.append(data[at : at + size])
        at += size
    return [piece for piece in (*cut, data[at:]) if piece]


@given(st.lists(MESSAGES, max_size=12), st.lists(st.integers(1, 400), max_size=60), st.booleans())
def test_messages_are_complete_and_in_order_wherever_they_are_cut(
    sent: list[tuple[Opcode, bytes]], sizes: list[int], in_fragments: bool
) -> None:
    incoming, protocol, answer = client()
    data = answer
    for opcode, payload in sent:
        if in_fragments and opcode in (Opcode.BINARY, Opcode.TEXT):
            middle = len(payload) // 2
            data += frame(opcode, payload[:middle], fin=False) + frame(Opcode.PING, b"between")
            data += frame(Opcode.CONT, payload[middle:])
        else:
            data += frame(opcode, payload)
    expected = [
        payload.decode() if opcode is Opcode.TEXT else payload
        for opcode, payload in sent
        if opcode in (Opcode.BINARY, Opcode.TEXT)
    ]
    assert taken(incoming, pieces_of(data, sizes)) == expected
    assert protocol.state is OPEN


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 100, 1031])
def test_frame_that_is_cut_is_whole_with_the_next_read(at: int) -> None:
    incoming, _, answer = client()
    whole = frame(Opcode.BINARY, bytes(range(256)) * 4 + b"rest")
    taken(incoming, [answer])
    assert taken(incoming, [whole[:at]]) == []
    assert taken(incoming, [whole[at:] + whole]) == [bytes(range(256)) * 4 + b"rest"] * 2


def test_longest_message_is_taken_and_a_longer_one_ends_the_connection() -> None:
    incoming, protocol, answer = client()
    longest = frame(Opcode.BINARY, bytes(MAX_MESSAGE))
    assert taken(incoming, [answer, *pieces_of(longest, [65_536] * 20)]) == [bytes(MAX_MESSAGE)]
    longer = frame(Opcode.BINARY, bytes(MAX_MESSAGE + 1))
    assert taken(incoming, pieces_of(longer, [20] + [65_536] * 20)) == []
    assert protocol.parser_exc is not None


@pytest.mark.parametrize(
    "wrong",
    [
        frame(Opcode.BINARY, b"masked", mask=True),
        b"\xc2\x01x",  # a reserved bit
        b"\x83\x01x",  # no such opcode
        frame(Opcode.BINARY, b"a", fin=False) + frame(Opcode.BINARY, b"b"),  # a message inside another
        frame(Opcode.CONT, b"of nothing"),
    ],
    ids=["masked", "reserved-bit", "unknown-opcode", "message-inside-another", "continuation-of-nothing"],
)
def test_frame_that_breaks_the_rules_ends_the_connection(wrong: bytes) -> None:
    incoming, protocol, answer = client()
    assert taken(incoming, [answer, wrong, frame(Opcode.BINARY, b"too late")]) == []
    assert protocol.parser_exc is not None


@pytest.mark.parametrize("opcode", range(16))
@pytest.mark.parametrize("is_inside", [False, True], ids=["alone", "inside-a-message"])
def test_head_that_the_library_refuses_with_its_frame_is_refused_alone(opcode: int, is_inside: bool) -> None:
    start = frame(Opcode.TEXT, b"first half", fin=False) if is_inside else b""
    payload = b"\x03\xe8" + b"a" * 254  # begins with a valid code of a close frame
    for bits in (0x00, 0x10, 0x20, 0x40, 0x80, 0xA0, 0xF0):
        for head, rest in HEADS:
            if is_inside and opcode == Opcode.CLOSE and bits == 0x80:
                continue  # the library refuses a regular close as the end of a message that is incomplete
            start_of_frame = bytes([bits | opcode]) + head
            library, ours = client(), client()
            library[1].receive_data(library[2] + start + start_of_frame + rest + payload[: _length(head + rest)])
            assert taken(ours[0], [ours[2], start, *(bytes([octet]) for octet in start_of_frame)]) == []
            assert type(ours[1].parser_exc) is type(library[1].parser_exc), start_of_frame.hex()


def test_nothing_is_taken_after_a_close_frame() -> None:
    incoming, protocol, answer = client()
    close = frame(Opcode.CLOSE, b"\x03\xe8bye")
    data = frame(Opcode.BINARY, b"before") + close + frame(Opcode.BINARY, b"behind")
    assert taken(incoming, [answer, data]) == [b"before"]
    assert protocol.state is CLOSING
    assert protocol.close_rcvd is not None
    assert protocol.close_rcvd.reason == "bye"


def test_end_inside_a_frame_is_not_an_orderly_end() -> None:
    incoming, protocol, answer = client()
    taken(incoming, [answer, frame(Opcode.BINARY, b"cut here")[:5]])
    messages: list[bytes | str] = []
    incoming.end(messages)
    assert messages == []
    assert isinstance(protocol.parser_exc, EOFError)
    assert protocol.state is CLOSED


def test_refusal_keeps_its_text() -> None:
    incoming, protocol, _ = client()
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r"
    taken(incoming, [head[:10], head[10:], b"\nno", b", no"])
    incoming.end([])
    response = getattr(protocol.handshake_exc, "response", None)
    assert response is not None
    assert (response.status_code, response.body) == (403, b"no, no")
