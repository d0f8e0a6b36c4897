"""A connection that carries frames that nobody expects, or a close of any kind: the session goes on."""

from __future__ import annotations

import asyncio
import struct

import pytest

from tests.integration.channel.client import ListedService, connect
from tests.integration.channel.odd_service import (
    BINARY,
    CLOSE,
    CONTINUATION,
    ESCAPES,
    PING,
    PONG,
    TEXT,
    OddService,
    Peer,
    closing,
    frame,
    output,
    rest,
)
from tests.integration.channel.stream_server import channel_closed

# Frames that break the connection; the session goes on in the next one.
BROKEN: dict[str, bytes] = {
    "reserved bits": frame(BINARY, b"x", reserved=4),
    "reserved bits, and the rest never arrives": frame(BINARY, b"x", reserved=4, length=84),
    "a continuation of nothing that never ends": frame(CONTINUATION, b"x", length=84),
    "a ping of 200 bytes that never ends": frame(PING, b"x", length=200),
    "an unknown opcode": frame(3, b"x"),
    "an unknown control opcode": frame(11, b""),
    "a masked frame": frame(BINARY, output(1, b"lost"), masked=True),
    "100 MB announced": frame(BINARY, b"x" * 1000, length=100 << 20),
    "2**63 bytes announced": frame(BINARY, b"x" * 1000, length=1 << 63),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "a message inside a message": frame(BINARY, b"x", fin=False) + frame(BINARY, b"y"),
    "a ping in fragments": frame(PING, b"x", fin=False),
    "a ping of 126 bytes": frame(PING, bytes(126)),
    "a close of 1 byte": frame(CLOSE, b"x"),
    "a close of 126 bytes": frame(CLOSE, struct.pack(">H", 1000) + bytes(124)),
    "a close reason that is no UTF-8": frame(CLOSE, struct.pack(">H", 1000) + b"\xff\xfe"),
    "fragments beyond the limit": b"".join(frame(0 if n else BINARY, bytes(400_000), fin=False) for n in range(4)),
    "plain bytes": b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4,
    "a close and more behind it": closing(1000, "Bye") + frame(BINARY, output(1, b"lost")),
    "half a frame, then the end": frame(BINARY, output(1, b"lost"))[:100],
}
# Frames between which the session goes on in the same connection.
TOLERATED: dict[str, bytes] = {
    "text in place of binary": frame(TEXT, output(1, b"after")),
    "fragments": frame(BINARY, output(1, b"after")[:7], fin=False) + frame(CONTINUATION, output(1, b"after")[7:]),
    "a ping between fragments": b"%b%b%b"
    % (
        frame(BINARY, output(1, b"after")[:130], fin=False),
        frame(PING, b"now"),
        frame(CONTINUATION, output(1, b"after")[130:]),
    ),
    "empty fragments": frame(BINARY, b"", fin=False)
    + frame(CONTINUATION, output(1, b"after"), fin=False)
    + frame(CONTINUATION),
    "fragments of text": frame(TEXT, output(1, b"after")[:7], fin=False) + frame(CONTINUATION, output(1, b"after")[7:]),
    "an empty message": frame(BINARY) + frame(TEXT) + frame(BINARY, output(1, b"after")),
    "a pong that nobody asked for": frame(PONG, b"?") + frame(BINARY, output(1, b"after")),
    "text that is no UTF-8": frame(TEXT, b"\xff\xfe\x80") + frame(BINARY, output(1, b"after")),
    "a JSON text": frame(TEXT, b'{"message":"Forbidden"}') + frame(BINARY, output(1, b"after")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_frame_that_is_none_costs_the_connection_and_not_the_session(name: str) -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(BINARY, output(0, b"before ")) + BROKEN[name])
        if name.startswith("half"):
            peer.hang_up()
        await peer.until_gone()

    async def run() -> None:
        async with OddService(first, rest(1, b"after")) as service:
            calls = ListedService(resumes=[("token-1", "")])
            _, recorder = await connect(service.url, calls)
            await recorder.until(lambda: recorder.ended)
            assert (recorder.output, recorder.error) == (b"before after", None)
            assert len(service.peers) == 2
            assert calls.calls.count("resume") == 1

    asyncio.run(run())


@pytest.mark.parametrize("name", TOLERATED)
def test_frames_that_are_unusual_are_taken(name: str) -> None:
    async def only(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(BINARY, output(0, b"before ")) + TOLERATED[name])
        await peer.until_acknowledged(1)
        await peer.send(frame(BINARY, channel_closed()))
        await peer.until_gone()

    async def run() -> None:
        async with OddService(only) as service:
            _, recorder = await connect(service.url, ListedService(resumes=[("token-1", "")]))
            await recorder.until(lambda: recorder.ended)
            assert (recorder.output, recorder.error, recorder.lost) == (b"before after", None, [])

    asyncio.run(run())


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))], ids=["empty", "short", "125 bytes"])
def test_ping_is_answered_with_its_payload(payload: bytes) -> None:
    async def only(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(PING, payload))
        assert await peer.until(lambda opcode, _: opcode == PONG) == payload
        await peer.send(frame(BINARY, output(0, b"$ ")))
        await peer.until_gone()

    async def run() -> None:
        async with OddService(only) as service:
            channel, recorder = await connect(service.url, ListedService())
            await recorder.until(lambda: recorder.started is not None)
            await channel.terminate()

    asyncio.run(run())


CODES = (
    999,
    1000,
    1001,
    1002,
    1003,
    1004,
    1005,
    1006,
    1007,
    1008,
    1009,
    1010,
    1011,
    1012,
    1013,
    1014,
    1015,
    1016,
    2999,
)
STAGES = ("before a message", "after one", "in a message", "before the opening is read")


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("reason", ["", "Bye", ESCAPES], ids=["no reason", "Bye", "escapes"])
@pytest.mark.parametrize("code", [*CODES, 3000, 4000, 4999, 5000, 65_535])
def test_no_close_code_ends_a_session(code: int, reason: str, stage: str) -> None:
    """The code says nothing: the service closes with 1000 each hour, and only channel_closed ends a session."""
    number = 0 if stage.startswith("before") else 1

    async def first(peer: Peer) -> None:
        if stage == "before the opening is read":
            await peer.read_request()
            await peer.send(peer.acceptance())
        else:
            await peer.accept()
        if number:
            await peer.send(frame(BINARY, output(0, b"before ")))
        if stage == "in a message":
            await peer.send(frame(BINARY, output(1, b"lost"), fin=False))
        await peer.send(closing(code, reason))
        await peer.until_gone()

    async def run() -> None:
        async with OddService(first, rest(number, b"after")) as service:
            calls = ListedService(resumes=[("token-1", "")])
            _, recorder = await connect(service.url, calls)
            await recorder.until(lambda: recorder.ended)
            assert recorder.output == b"before after"[0 if number else 7 :]
            assert recorder.error is None
            assert calls.calls.count("resume") == 1

    asyncio.run(run())
