"""A service, or something in its place, that answers what nobody expects: one clear line, or the session goes on."""

from __future__ import annotations

import asyncio
import re
import struct

import pytest

from aws_runas.errors import AwsRunasError
from aws_runas.ssm.transport.dialling import Dialling
from aws_runas.ssm.transport.resumer import ReconnectPolicy
from tests.integration.channel.client import ListedService, connect
from tests.integration.channel.odd_service import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    OddService,
    Peer,
    Play,
    closing,
    frame,
    output,
    rest,
)
from tests.integration.channel.stream_server import channel_closed

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\r\nsecond line\u202e"


def http(status: str, *headers: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body.encode())}", "", body]
    return "\r\n".join(lines).encode()


def upgrade(*lines: str, status: str = "101 Switching Protocols") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


UPGRADE, CONNECTION = "Upgrade: websocket", "Connection: Upgrade"
WRONG = "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="
# Answers to the opening request, and the code of the error.
REFUSALS: dict[str, tuple[bytes, str]] = {
    "200 with a page": (http("200 OK", "Content-Type: text/html", body="<html>Sign in</html>"), "stream-refused"),
    "204": (http("204 No Content"), "stream-refused"),
    "302": (http("302 Found", "Location: http://login.example.com/"), "stream-refused"),
    "400 with escapes": (http("400 Bad", body=ESCAPES), "stream-refused"),
    "403 with a body": (http("403 Forbidden", body='{"message":"not authorized"}'), "stream-forbidden"),
    "401": (http("401 Unauthorized", "WWW-Authenticate: Basic"), "stream-forbidden"),
    "407": (http("407 Proxy Authentication Required"), "stream-refused"),
    "429": (http("429 Too Many Requests", "Retry-After: 1"), "stream-refused"),
    "500": (http("500 Internal Server Error", body="oops"), "stream-refused"),
    "503 in chunks": (
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n",
        "stream-refused",
    ),
    "101 with a wrong key": (upgrade(UPGRADE, CONNECTION, WRONG), "stream-refused"),
    "101 without a key": (upgrade(UPGRADE, CONNECTION), "stream-refused"),
    "101 without upgrade": (upgrade(CONNECTION, WRONG), "stream-refused"),
    "101 to another protocol": (upgrade("Upgrade: h2c", CONNECTION, WRONG), "stream-refused"),
    "101 and plain bytes": (upgrade() + b"SSH-2.0-OpenSSH_9.2\r\n", "stream-refused"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "stream-refused"),
    "escapes for a status line": (ESCAPES.encode() + b"\r\n\r\n", "stream-refused"),
    "a status line without a status": (b"HTTP/1.1\r\n\r\n", "stream-refused"),
    "a status of letters": (b"HTTP/1.1 abc def\r\n\r\n", "stream-refused"),
    "HTTP/1.0": (b"HTTP/1.0 101 Switching Protocols\r\n\r\n", "stream-refused"),
    "HTTP/2": (b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0\0\5\0\xff\xff\xff", "stream-refused"),
    "NULs": (bytes(2000), "stream-refused"),
    "an alert of TLS": (b"\x15\x03\x03\x00\x02\x02\x28", "stream-refused"),
    "nothing": (b"", "stream-refused"),
    "half a status line": (b"HTTP/1.1 101 Swit", "stream-refused"),
    "a header without end": (b"HTTP/1.1 101 OK\r\nX: " + b"x" * 1_000_000, "stream-refused"),
    "headers without end": (b"HTTP/1.1 101 OK\r\n" + b"X-Header: 1\r\n" * 20_000, "stream-refused"),
    "a page without end": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n" + b"x" * 100_000,
        "stream-refused",
    ),
}


def answering(answer: bytes) -> Play:
    async def play(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer)
        if not answer:
            peer.hang_up()
        await asyncio.sleep(0)
        peer.hang_up()

    return play


def is_one_line(text: str) -> bool:
    return bool(re.fullmatch(r"[ -~]{1,300}", text))


@pytest.mark.parametrize("name", REFUSALS)
def test_answer_that_opens_no_stream_is_said_in_one_line_and_ends_the_session(name: str) -> None:
    answer, code = REFUSALS[name]

    async def run() -> None:
        async with OddService(answering(answer)) as service:
            calls = ListedService(resumes=[("token-1", "")])
            with pytest.raises(AwsRunasError) as caught:
                await connect(service.url, calls)
            assert caught.value.code == code, caught.value
            assert caught.value.exit_status == 6
            assert is_one_line(caught.value.message), caught.value.message
            assert caught.value.hint
            assert calls.calls[-1] == "terminate"
            assert 2 <= len(service.peers) <= 4

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSALS)
def test_session_goes_on_when_such_an_answer_to_a_resume_is_followed_by_a_good_one(name: str) -> None:
    answer, _ = REFUSALS[name]

    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(BINARY, output(0, b"before ")))
        await peer.until_acknowledged(0)
        peer.reset()

    async def run() -> None:
        async with OddService(first, answering(answer), answering(answer), rest(1, b"after")) as service:
            calls = ListedService(resumes=[("token-1", "")])
            _, recorder = await connect(service.url, calls)
            await recorder.until(lambda: recorder.ended)
            assert (recorder.output, recorder.error) == (b"before after", None)
            assert len(service.peers) == 4
            assert (len(recorder.lost), recorder.regained) == (1, 1)

    asyncio.run(run())


def test_service_that_never_answers_is_given_up_after_the_time_for_it() -> None:
    async def silent(peer: Peer) -> None:
        await peer.until_gone()

    async def dripping(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 101 OK\r\n")
        while True:
            await peer.send(b"X: y\r\n")
            await asyncio.sleep(0.01)

    async def run(play: Play) -> None:
        async with OddService(play) as service:
            calls = ListedService(resumes=[("token-1", "")])
            with pytest.raises(AwsRunasError) as caught:
                await connect(service.url, calls, dialling=Dialling(environ={}, timeout=0.1))
            assert caught.value.code == "stream-unreachable"
            assert "did not answer in time" in caught.value.message
            assert calls.calls[-1] == "terminate"

    asyncio.run(run(silent))
    asyncio.run(run(dripping))


# Frames that break the connection; the session goes on in the next one.
BROKEN: dict[str, bytes] = {
    "reserved bits": frame(BINARY, b"x", reserved=4),
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


async def refusing(peer: Peer) -> None:
    """Accept the connection, and the token not."""
    await peer.accept()
    await peer.send(closing(1008, f"the token is not valid {ESCAPES}"))
    await peer.until_gone()


async def losing(peer: Peer) -> None:
    """Say something, and close as the service does each hour."""
    await peer.accept()
    await peer.send(frame(BINARY, output(0, b"before ")))
    await peer.until_acknowledged(0)
    await peer.send(closing(1000, "Bye"))
    await peer.until_gone()


def test_tokens_that_are_refused_again_and_again_are_one_loss_and_one_return() -> None:
    async def run() -> None:
        async with OddService(losing, *[refusing] * 6, rest(1, b"after")) as service:
            calls = ListedService(resumes=[(f"token-{n}", "") for n in range(1, 9)])
            _, recorder = await connect(service.url, calls)
            await recorder.until(lambda: recorder.ended)
            assert (recorder.output, recorder.error) == (b"before after", None)
            assert [peer.opening["TokenValue"] for peer in service.peers] == [f"token-{n}" for n in range(8)]
            assert (recorder.lost, recorder.regained) == (["closed with code 1000 (Bye)"], 1)

    asyncio.run(run())


@pytest.mark.parametrize("first", [losing, refusing], ids=["in the session", "from the start"])
def test_tokens_that_are_always_refused_end_the_session_in_the_end(first: Play) -> None:
    policy = ReconnectPolicy(first_delay=0.01, longest_delay=0.02, refused_after=0.2)

    async def run() -> None:
        async with OddService(first, refusing) as service:
            calls = ListedService(resumes=[("token-1", "")])
            channel, recorder = await connect(service.url, calls, policy=policy)
            await recorder.until(lambda: recorder.ended)
            assert isinstance(recorder.error, AwsRunasError)
            assert recorder.error.code == "resume-refused"
            assert "closed with code 1008 (the token is not valid" in recorder.error.message
            assert (len(recorder.lost), recorder.regained) == (1, 0)
            await channel.terminate()
            assert calls.calls[-1] == "terminate"
            assert len(service.peers) > 4

    asyncio.run(run())


def test_connections_that_break_do_not_count_as_refused() -> None:
    """A network that lets nothing live may be left behind; the session waits for another one."""

    async def breaking(peer: Peer) -> None:
        await peer.accept()
        peer.reset()

    policy = ReconnectPolicy(first_delay=0.01, longest_delay=0.02, refused_after=0.0)

    async def run() -> None:
        async with OddService(losing, *[breaking] * 5, rest(1, b"after")) as service:
            _, recorder = await connect(service.url, ListedService(resumes=[("token-1", "")]), policy=policy)
            await recorder.until(lambda: recorder.ended)
            assert (recorder.output, recorder.error) == (b"before after", None)
            assert (len(recorder.lost), recorder.regained) == (1, 1)

    asyncio.run(run())
