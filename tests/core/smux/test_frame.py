"""The codec, against the bytes of the official pair and against every way of cutting them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.smux import frame
from tests.core.smux.pair import RECORDED, recorded

PIPES = [(name, sender) for name in RECORDED for sender in ("client", "agent")]


def joined(parts: list[frame.Part]) -> list[tuple[int, int, bytes]]:
    """Parts as whole runs: pieces of one stream's data that follow each other belong together."""
    runs: list[tuple[int, int, bytes]] = []
    for part in parts:
        if part.command == frame.PSH and runs and runs[-1][:2] == (frame.PSH, part.stream_id):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + part.data)
        else:
            runs.append((part.command, part.stream_id, part.data))
    return runs


@pytest.mark.parametrize(("name", "sender"), PIPES)
def test_recorded_frames_are_the_same_however_they_are_cut(name: str, sender: str) -> None:
    data = recorded(name, sender)
    whole = joined(list(frame.FrameDecoder().receive(data)))
    for size in (1, 7, 8, 9, 1024):
        decoder = frame.FrameDecoder()
        cut = [part for i in range(0, len(data), size) for part in decoder.receive(data[i : i + size])]
        assert joined(cut) == whole


@pytest.mark.parametrize(("name", "sender"), PIPES)
def test_recorded_frames_are_written_byte_for_byte(name: str, sender: str) -> None:
    data = recorded(name, sender)
    written, position = b"", 0
    while position < len(data):
        length = int.from_bytes(data[position + 2 : position + 4], "little")
        command, stream_id = data[position + 1], int.from_bytes(data[position + 4 : position + 8], "little")
        written += frame.encode(command, stream_id, data[position + 8 : position + 8 + length])
        position += 8 + length
    assert written == data


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"\x02\x00\x00\x00\x03\x00\x00\x00", id="version 2"),
        pytest.param(b"\x00", id="version 0, first byte only"),
        pytest.param(b"\x01\x05\x00\x00\x03\x00\x00\x00", id="command 5"),
        pytest.param(b"\x01\xff", id="unknown command, two bytes only"),
        pytest.param(b"\x01\x00\x05\x00\x03\x00\x00\x00", id="SYN with data"),
        pytest.param(b"SSH-2.0-x", id="not smux at all"),
    ],
)
def test_what_version_1_does_not_know_is_the_peers_error(bad: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        list(frame.FrameDecoder().receive(bad))


@pytest.mark.parametrize("length", [0, 8, 500])
@pytest.mark.parametrize("size", [1, 5, 9, 100])
def test_update_and_its_eight_bytes_are_skipped_as_the_library_does(length: int, size: int) -> None:
    """What xtaci/smux does in a session of version 1; test_smux_library.py sends it the same bytes."""
    update = b"\x01\x04" + length.to_bytes(2, "little") + b"\x03\x00\x00\x00" + b"\x01\x02" * 4
    data = frame.encode(frame.PSH, 3, b"before") + update + frame.encode(frame.PSH, 3, b" and after")
    decoder = frame.FrameDecoder()
    parts = [part for at in range(0, len(data), size) for part in decoder.receive(data[at : at + size])]
    assert joined(parts) == [(frame.PSH, 3, b"before and after")]


@pytest.mark.parametrize(
    ("command", "stream_id", "data"),
    [(frame.PSH, 3, bytes(65_536)), (frame.FIN, 3, b"x"), (frame.SYN, 1 << 32, b""), (frame.SYN, -1, b"")],
)
def test_frames_that_cannot_be_are_not_written(command: int, stream_id: int, data: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        frame.encode(command, stream_id, data)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_decode_or_are_refused_and_nothing_else(pieces: list[bytes]) -> None:
    decoder = frame.FrameDecoder()
    try:
        for piece in pieces:
            list(decoder.receive(piece))
    except RemoteProtocolError:
        pass
