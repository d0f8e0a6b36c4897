"""A service, or something in its place, that answers what nobody expects: one clear line, or the session goes on."""

from __future__ import annotations

import asyncio
import re

import pytest

from aws_runas.errors import AwsRunasError
from aws_runas.redact import printable
from aws_runas.sandbox.world import Sandbox
from aws_runas.ssm.transport.dialling import Dialling
from aws_runas.ssm.transport.interfaces import AnsweredByAnother
from aws_runas.ssm.transport.resumer import ReconnectPolicy
from tests.integration.channel.client import ListedService, connect
from tests.integration.channel.odd_service import (
    BINARY,
    ESCAPES,
    OddService,
    Peer,
    Play,
    closing,
    frame,
    output,
    rest,
)
from tests.integration.conftest import AWS_RUNAS


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
    return bool(re.fullmatch(r"[ -~]{1,600}", text))


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
            assert (len(recorder.lost), recorder.regained) == (1 + (name not in ("401", "403 with a body")), 1)

    asyncio.run(run())


def test_answer_of_another_to_a_resume_is_told_once_and_the_session_goes_on() -> None:
    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(BINARY, output(0, b"before ")))
        await peer.until_acknowledged(0)
        peer.reset()

    async def run() -> None:
        page = AnsweredByAnother("the answer is not from AWS", code="service-unavailable")
        async with OddService(first, rest(1, b"after")) as service:
            calls = ListedService(resumes=[page, page, page, page, ("token-1", "")])
            _, recorder = await connect(service.url, calls)
            await recorder.until(lambda: recorder.ended)
            assert (recorder.output, recorder.error) == (b"before after", None)
            assert recorder.lost[1:] == ["the answer is not from AWS"]
            assert (len(service.peers), recorder.regained) == (2, 1)

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
    policy = ReconnectPolicy(first_delay=0.01, longest_delay=0.02, refused_after=3600)

    async def run() -> None:
        async def refusing_until_the_fourth(peer: Peer) -> None:
            if len(service.peers) == 4:  # a time that a busy machine cannot fill with less
                object.__setattr__(policy, "refused_after", 0.0)
            await refusing(peer)

        async with OddService(first, refusing_until_the_fourth) as service:
            calls = ListedService(resumes=[("token-1", "")])
            channel, recorder = await connect(service.url, calls, policy=policy)
            await recorder.until(lambda: recorder.ended)
            assert isinstance(recorder.error, AwsRunasError)
            assert recorder.error.code == "resume-refused"
            assert "closed with code 1008 (the token is not valid" in recorder.error.message
            assert (len(recorder.lost), recorder.regained) == (1, 0)
            await channel.terminate()
            assert calls.calls[-1] == "terminate"
            assert len(service.peers) in (4, 5)

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


# Answers to CONNECT, or in place of a TLS handshake.
GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "NULs": bytes(2000) + b"\r\n\r\n",
    "escapes": ESCAPES.encode() + b"\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a status without a line": b"200\r\n\r\n",
    "half an answer": b"HTTP/1.1 200 Connec",
    "407": http("407 Proxy Authentication Required", "Proxy-Authenticate: Basic", body="who are you"),
    "502 with a page": http("502 Bad Gateway", body="<html>" * 1000),
    "an answer without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000,
    "an alert of TLS": b"\x15\x03\x03\x00\x02\x02\x28",
    "half a record of TLS": b"\x16\x03\x03\x40\x00\x02",
    "a record that is too long": b"\x16\x03\x03\xff\xff" + bytes(70_000),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_in_place_of_a_proxys_answer_is_one_line(name: str) -> None:
    async def run() -> None:
        async with OddService(answering(GARBAGE[name])) as proxy:
            calls = ListedService(resumes=[("token-1", "")])
            dialling = Dialling(environ={"HTTPS_PROXY": f"http://me:secret-word@127.0.0.1:{proxy.port}"})
            with pytest.raises(AwsRunasError) as caught:
                await connect("wss://stream.example.com/x", calls, dialling=dialling)
            assert caught.value.code == "proxy-refused"
            assert caught.value.exit_status in (3, 6)
            assert is_one_line(printable(caught.value.message)), caught.value.message
            assert "secret-word" not in caught.value.message
            assert calls.calls[-1] == "terminate"

    asyncio.run(run())


@pytest.mark.parametrize("behind_proxy", [False, True], ids=["directly", "behind a proxy"])
@pytest.mark.parametrize("name", GARBAGE)
def test_end_of_a_connection_in_its_tls_handshake_is_one_line(name: str, behind_proxy: bool) -> None:
    async def play(peer: Peer) -> None:
        if behind_proxy:
            await peer.read_request()
            await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await peer.hello()
        await peer.send(GARBAGE[name])
        peer.hang_up()

    async def run() -> None:
        async with OddService(play) as service:
            calls = ListedService(resumes=[("token-1", "")])
            environ = {"HTTPS_PROXY": f"http://127.0.0.1:{service.port}"} if behind_proxy else {}
            host = "stream.example.com" if behind_proxy else f"localhost:{service.port}"
            with pytest.raises(AwsRunasError) as caught:
                await connect(f"wss://{host}/x", calls, dialling=Dialling(environ=environ))
            assert caught.value.code == "stream-unreachable", caught.value
            assert caught.value.exit_status == 6
            assert is_one_line(caught.value.message), caught.value.message
            assert calls.calls[-1] == "terminate"

    asyncio.run(run())


VERBS: dict[str, tuple[str, ...]] = {
    "shell": ("my-profile", "i-deadbeef"),
    "ssh": ("my-profile", "i-deadbeef:22"),
    "forward": ("my-profile", "i-deadbeef:9000"),
    "run": ("my-profile", "i-deadbeef", "true"),
}


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_command_whose_stream_is_answered_by_something_else_says_so_and_ends_its_session(
    sandbox: Sandbox, verb: str
) -> None:
    async def run(name: str) -> tuple[int | None, bytes]:
        async with OddService(answering(REFUSALS[name][0])) as service:
            words = [*AWS_RUNAS, verb, "--stream-host", f"127.0.0.1:{service.port}", *VERBS[verb]]
            pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(
                *words, env=sandbox.environ, stdin=nothing, stdout=pipe, stderr=pipe
            )
            output, error = await process.communicate()
            assert output == b""
            return process.returncode, error

    for name in ("400 with escapes", "101 with a wrong key", "escapes for a status line"):
        before = sandbox.count("TerminateSession")
        status, error = asyncio.run(run(name))
        assert (status, len(error.splitlines())) == (6, 2), error
        assert b"answered the data channel with" in error.splitlines()[0]
        assert is_one_line(error.replace(b"\n", b"").decode())
        assert sandbox.count("TerminateSession") == before + 1
