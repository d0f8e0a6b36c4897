"""Every way in which a connection can be lost, on real sockets: the session goes on, no byte is lost or repeated."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from websockets.http11 import Request

from aws_runas.errors import CredentialsError, SessionError
from aws_runas.ssm.core.settings import ChannelSettings
from aws_runas.ssm.transport import data_channel
from aws_runas.ssm.transport.dialling import Dialling
from aws_runas.ssm.transport.interfaces import CredentialsRefused, ServiceUnavailable, SessionGone
from aws_runas.ssm.transport.keepalive import PauseTimeout
from aws_runas.ssm.transport.resumer import ReconnectPolicy
from tests.integration.channel.client import SWIFT, ListedService, connect, send_all
from tests.integration.channel.stream_server import (
    Connection,
    StreamServer,
    channel_closed,
    put_together,
)

UNPACED = ChannelSettings(frame_rate=None, window_bytes=None)
BUSY = ServiceUnavailable("busy", code="service-unavailable")


def output(number: int, data: bytes) -> bytes:
    return put_together("output_stream_data", number, data, flags=0 if number else 1)


async def hold(connection: Connection) -> None:
    await connection.websocket.wait_closed()


def cut_first(cut: Callable[[Connection], Awaitable[None] | None]) -> Callable[[Connection], Awaitable[None]]:
    """A service whose first connection is cut after one output and one input; the second says the rest."""
    turns = 0

    async def play(connection: Connection) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            await connection.websocket.send(output(0, b"before "))
            await connection.data()
            result = cut(connection)
            if result is not None:
                await result
            return
        await connection.websocket.send(output(1, b"after"))
        await connection.until_acknowledged({1})
        await connection.websocket.send(channel_closed())
        await hold(connection)

    return play


async def close_in_order(connection: Connection) -> None:
    await connection.websocket.close(1000, "Bye")


def reset(connection: Connection) -> None:
    connection.websocket.transport.abort()


CUTS = {"close 1000 Bye": close_in_order, "TCP reset": reset}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_cut_session_goes_on_with_the_new_token_at_the_new_address(
    cut: Callable[[Connection], Awaitable[None] | None],
) -> None:
    async def run() -> None:
        async with StreamServer(cut_first(cut), acknowledge=False) as server:
            service = ListedService(resumes=[("token-1", server.url(extra="+/cell2=="))])
            channel, recorder = await connect(server.url(), service)
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"kept")
            await recorder.until(lambda: recorder.ended)
            first, second = server.connections
        assert recorder.output == b"before after"
        assert recorder.error is None
        assert (len(recorder.lost), recorder.regained) == (1, 1)
        assert [c.opening["TokenValue"] for c in (first, second)] == ["token-0", "token-1"]
        assert second.path.endswith("?role=publish_subscribe&cell-number=AAEAATf2ktZ+bs/0f==&n=+/cell2==")
        assert first.opening["ClientId"] == second.opening["ClientId"]
        assert first.opening["RequestId"] != second.opening["RequestId"]
        # What the first connection took without confirming it is sent again, under its old number.
        assert [(m.number, m.payload) for m in second.everything if m.kind == "input_stream_data"][:1] == [(0, b"kept")]
        assert "terminate" not in service.calls

    asyncio.run(run())


def test_an_empty_address_of_a_resume_keeps_the_old_one() -> None:
    async def run() -> None:
        async with StreamServer(cut_first(reset)) as server:
            channel, recorder = await connect(server.url(extra="first"), ListedService(resumes=[("token-1", "")]))
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"x")
            await recorder.until(lambda: recorder.ended)
        assert server.connections[1].path == server.connections[0].path

    asyncio.run(run())


def test_a_peer_that_falls_silent_is_left_after_a_ping_without_answer() -> None:
    async def run() -> None:
        released = asyncio.Event()

        async def stall(connection: Connection) -> None:
            connection.websocket.transport.pause_reading()  # alive for TCP, dead for everyone else
            await released.wait()

        async with StreamServer(cut_first(stall)) as server:
            channel, recorder = await connect(
                server.url(),
                ListedService(resumes=[("token-1", "")]),
                dialling=Dialling(environ={}, ping_interval=0.1, pong_timeout=0.2),
            )
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"x")
            await recorder.until(lambda: recorder.ended)
            released.set()
        assert "no answer" in recorder.lost[0]
        assert recorder.output == b"before after"

    asyncio.run(run())


def test_failures_on_the_way_back_are_overcome() -> None:
    """Name resolution gone, the service busy, a gateway in trouble, credentials expired: each passes."""

    async def run() -> None:
        refusals = {1: 503, 2: 403}

        def refuse(number: int, _request: Request) -> int | None:
            return refusals.get(number)

        async with StreamServer(cut_first(reset), refuse=refuse) as server:
            nowhere = f"ws://localhost:1/v1/data-channel/me-0123?was={server.port}"
            service = ListedService(
                resumes=[BUSY, BUSY, ("token-1", nowhere), ("token-2", server.url()), ("token-3", server.url())]
            )
            channel, recorder = await connect(server.url(), service)
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"x")
            await recorder.until(lambda: recorder.ended)
        assert recorder.output == b"before after"
        assert service.calls.count("renew") >= 1
        assert threading.get_ident() not in service.threads, "AWS is asked in threads: the loop never waits for it"

    asyncio.run(run())


ENDS = {
    "the session is gone": (SessionGone("gone", code="session-gone"), "session-gone", 1),
    "resuming is not permitted": (CredentialsRefused("denied", code="resume-denied"), "resume-denied", 3),
    "no credentials any more": (CredentialsError("no code", code="mfa-no-terminal"), "mfa-no-terminal", 3),
}


@pytest.mark.parametrize(("error", "code", "attempts"), ENDS.values(), ids=ENDS)
def test_what_cannot_be_resumed_ends_the_session(error: SessionError, code: str, attempts: int) -> None:
    async def run() -> None:
        async with StreamServer(cut_first(reset)) as server:
            service = ListedService(resumes=[error])
            channel, recorder = await connect(server.url(), service)
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"x")
            await recorder.until(lambda: recorder.ended)
        assert getattr(recorder.error, "code", "") == code
        assert service.calls.count("resume") == attempts

    asyncio.run(run())


def test_giving_up_comes_after_the_longest_life_of_a_session() -> None:
    policy = ReconnectPolicy(first_delay=0.01, longest_delay=0.02, give_up_after=3600)

    class Busy(ListedService):
        def resume_session(self, session_id: str) -> tuple[str, str]:
            if self.calls.count("resume") == 3:  # a time that a busy machine cannot fill with less
                object.__setattr__(policy, "give_up_after", 0.0)
            return super().resume_session(session_id)

    async def run() -> None:
        async with StreamServer(cut_first(reset)) as server:
            service = Busy(resumes=[BUSY])
            channel, recorder = await connect(server.url(), service, policy=policy)
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"x")
            await recorder.until(lambda: recorder.ended)
        assert isinstance(recorder.error, ServiceUnavailable)
        assert service.calls.count("resume") in (4, 5)

    asyncio.run(run())


def test_a_403_at_the_first_connection_names_the_permission_and_ends_the_session() -> None:
    async def run() -> None:
        async with StreamServer(hold, refuse=lambda _n, _r: 403) as server:
            service = ListedService(resumes=[("token-1", "")])
            with pytest.raises(SessionError) as caught:
                await connect(server.url(), service)
        assert caught.value.code == "stream-forbidden"
        assert "ssmmessages:OpenDataChannel" in str(caught.value.hint)
        assert service.calls.count("renew") == 1
        assert service.calls[-1] == "terminate"

    asyncio.run(run())


def test_a_first_connection_that_fails_once_is_tried_again_with_a_token_of_its_own() -> None:
    async def run() -> None:
        async with StreamServer(hold, refuse=lambda number, _r: 502 if number == 0 else None) as server:
            service = ListedService(resumes=[("token-1", "")])
            channel, _ = await connect(server.url(), service)
            assert (await server.until_connected()).opening["TokenValue"] == "token-1"
            await channel.terminate()

    asyncio.run(run())


def test_an_upload_through_many_cuts_arrives_whole_and_in_order() -> None:
    data = bytes(range(256)) * 1200

    async def run() -> None:
        async def play(connection: Connection) -> None:
            if len(server.connections) == 1:
                await connection.websocket.send(output(0, b"$ "))
            await hold(connection)

        async with StreamServer(play, cut_after=60) as server:
            service = ListedService(resumes=[("again", "")])
            channel, recorder = await connect(server.url(), service, settings=UNPACED)
            await recorder.until(lambda: recorder.started is not None)
            await send_all(channel, recorder, data)
            async with asyncio.timeout(20):
                await channel.drained()
            await channel.terminate()
        # The server confirms whatever it reads, so that is what counts as arrived; a number may come twice, as it was.
        arrived: dict[int, bytes] = {}
        for message in (m for c in server.connections for m in c.everything if m.kind == "input_stream_data"):
            assert arrived.setdefault(message.number, message.payload) == message.payload
        assert b"".join(arrived[number] for number in sorted(arrived)) == data
        assert len(server.connections) == 5
        assert recorder.regained == len(recorder.lost)

    asyncio.run(run())


def test_leaving_while_the_connection_is_lost_ends_the_session_at_once() -> None:
    async def run() -> None:
        async with StreamServer(cut_first(reset)) as server:
            service = ListedService(resumes=[BUSY])
            channel, recorder = await connect(server.url(), service, policy=SWIFT)
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"x")
            await recorder.until(lambda: bool(recorder.lost))
            async with asyncio.timeout(30):
                await asyncio.gather(channel.terminate(), channel.terminate())
        assert recorder.ended
        assert recorder.error is None
        assert service.calls.count("terminate") == 1

    asyncio.run(run())


def test_leaving_after_a_failure_waits_until_the_service_knows_of_the_end() -> None:
    told = threading.Event()

    class Slow(ListedService):
        def terminate_session(self, session_id: str) -> None:
            told.wait(10)
            super().terminate_session(session_id)

    async def run() -> None:
        async with StreamServer(cut_first(reset)) as server:
            service = Slow(resumes=[SessionGone("over", code="session-gone")])
            channel, recorder = await connect(server.url(), service)
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"x")
            await recorder.until(lambda: recorder.ended)
            leaving = asyncio.create_task(channel.terminate())
            done, _ = await asyncio.wait([leaving], timeout=0.1)
            assert not done
            told.set()
            await leaving
        assert service.calls.count("terminate") == 1

    asyncio.run(run())


def _connections_until(play: Callable[[Connection], Awaitable[None]], stop_after: int) -> list[float]:
    """Serve ``play`` until the n-th connection; return the delays that the policy was asked for."""
    asked: list[int] = []

    class Recording(ReconnectPolicy):
        def delay(self, attempt: int, chance: Callable[[], float]) -> float:
            asked.append(attempt)
            return 0.0

    async def run() -> None:
        enough = asyncio.Event()

        async def counted(connection: Connection) -> None:
            if len(server.connections) >= stop_after:
                enough.set()
                await hold(connection)
            else:
                await play(connection)

        async with StreamServer(counted) as server:
            channel, _ = await connect(server.url(), ListedService(resumes=[("token", "")]), policy=Recording())
            async with asyncio.timeout(20):
                await enough.wait()
            await channel.terminate()

    asyncio.run(run())
    return [float(attempt) for attempt in asked]


def test_peer_that_accepts_and_breaks_each_connection_meets_a_growing_back_off() -> None:
    async def accept_and_break(connection: Connection) -> None:
        await connection.websocket.send(put_together("start_publication", 0, b"{}"))
        reset(connection)

    assert _connections_until(accept_and_break, 6) == [0, 1, 2, 3, 4]


def test_cut_in_the_middle_of_data_is_resumed_at_once() -> None:
    async def send_and_break(connection: Connection) -> None:
        number = len(server_numbers)
        server_numbers.append(number)
        await connection.websocket.send(output(number, b"data"))
        await connection.until_acknowledged({number})
        reset(connection)

    server_numbers: list[int] = []
    # No delay is asked for: each loss is a new one, and data was flowing.
    assert _connections_until(send_and_break, 5) == []


class Overlapping(ListedService):
    """ResumeSession does not answer before the stream's request has been signed."""

    def __init__(self) -> None:
        super().__init__(resumes=[("token-1", "")])
        self.signed = threading.Event()

    def stream_headers(self, url: str) -> list[tuple[str, str]]:
        if "connected" in self.calls:
            self.signed.set()
        return super().stream_headers(url)

    def resume_session(self, session_id: str) -> tuple[str, str]:
        if not self.signed.wait(10):
            raise SessionGone("nobody signs while ResumeSession is under way", code="session-gone")
        return super().resume_session(session_id)


def test_the_stream_request_is_signed_while_the_session_is_resumed() -> None:
    async def run() -> None:
        service = Overlapping()
        async with StreamServer(cut_first(reset)) as server:
            channel, recorder = await connect(server.url(), service)
            service.calls.append("connected")
            await recorder.until(lambda: recorder.started is not None)
            channel.write(b"x")
            await recorder.until(lambda: recorder.ended)
            assert recorder.error is None
        assert service.calls == ["sign", "connected", "sign", "resume"]  # once for the address that stays

    asyncio.run(run())


class Preparing(ListedService):
    """Says when it is asked to prepare a resume."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared = threading.Event()

    def prepare_resume(self) -> None:
        super().prepare_resume()
        self.prepared.set()


def test_data_keeps_a_connection_for_the_resume_ready_and_silence_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aws_runas.ssm.transport.data_channel.PREPARE_INTERVAL", 0.01)

    async def run() -> None:
        service = Preparing()

        async def play(connection: Connection) -> None:
            await connection.websocket.send(output(0, b"data"))
            await asyncio.to_thread(service.prepared.wait, 10)
            await connection.websocket.send(channel_closed())
            await hold(connection)

        async with StreamServer(play) as server:
            _, recorder = await connect(server.url(), service)
            await recorder.until(lambda: recorder.ended)
        assert service.calls.count("prepare") == 1

    asyncio.run(run())


@pytest.mark.parametrize("waits", [True, False])
def test_end_just_after_a_cut_is_certain_if_the_agent_waits_for_acknowledgements(
    monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr("aws_runas.ssm.core.receiving.WAITED_LESS", 100.0)  # a busy machine is slow

    async def play(connection: Connection) -> None:
        if len(server.connections) == 1:
            await connection.websocket.send(output(0, b"all "))
            await connection.websocket.send(output(1, b"of it"))
            await connection.until_acknowledged({0, 1})
            reset(connection)
        else:
            await connection.websocket.send(channel_closed())
            await hold(connection)

    async def run() -> None:
        async with server:
            service = ListedService(resumes=[("token-1", "")], waits=waits)
            channel, recorder = await connect(server.url(), service)
            await recorder.until(lambda: recorder.ended)
            assert (recorder.output, recorder.error) == (b"all of it", None)
            assert channel.end_may_be_missing() is not waits
            assert service.calls[-1] == "waits "

    server = StreamServer(play)
    asyncio.run(run())


@pytest.mark.parametrize("is_slow", [False, True], ids=["at-once", "slow"])
def test_connection_that_is_replaced_because_the_agent_is_away_is_no_loss_unless_that_takes_long(
    monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    """Users were told of a lost connection that was "resumed after 0.0 s", while it was the agent that was gone."""
    monkeypatch.setattr(data_channel, "PauseTimeout", partial(PauseTimeout, 0.02))
    monkeypatch.setattr(data_channel, "RENEWAL_TIMEOUT", 0.01 if is_slow else 60.0)
    sizes: list[str] = []
    turns = 0

    async def play(connection: Connection) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            await connection.websocket.send(output(0, b"before "))
            await connection.until_acknowledged({0})
            await connection.websocket.send(put_together("pause_publication", 0, b"{}"))
            await hold(connection)
            return
        if not is_slow:  # else the handler sends it, as after each loss
            sizes.append((await connection.data()).payload.decode())
        await connection.websocket.send(output(1, b"after"))
        await connection.until_acknowledged({1})
        await connection.websocket.send(channel_closed())
        await hold(connection)

    async def run() -> None:
        async with StreamServer(play) as server:
            service = ListedService(resumes=[("token-1", "")])
            channel, recorder = await connect(server.url(), service)
            channel.send_size(80, 24)
            if is_slow:
                resume, told = service.resume_session, threading.Event()

                def resume_late(session_id: str) -> tuple[str, str]:
                    assert told.wait(15)
                    return resume(session_id)

                service.resume_session = resume_late  # type: ignore[method-assign]
                await recorder.until(lambda: bool(recorder.lost))
                told.set()
            await recorder.until(lambda: recorder.ended)
            assert recorder.output == b"before after"
            assert (len(recorder.lost), recorder.regained) == ((1, 1) if is_slow else (0, 0))
            assert is_slow or '"cols":80' in sizes[0]

    asyncio.run(run())
