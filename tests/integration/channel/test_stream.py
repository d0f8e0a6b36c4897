"""The WebSocket as such: fragments, text frames, back-pressure, headers, limits."""

from __future__ import annotations

import asyncio

import pytest

from aws_runas.errors import SessionError
from tests.integration.channel.client import ListedService, connect
from tests.integration.channel.stream_server import Connection, StreamServer, channel_closed, put_together


def output(number: int, data: bytes) -> bytes:
    return put_together("output_stream_data", number, data)


def test_fragments_are_put_together_and_text_frames_taken_like_binary_ones() -> None:
    async def run() -> None:
        async def play(connection: Connection) -> None:
            whole = output(0, b"in pieces ")
            await connection.websocket.send([whole[:10], whole[10:11], whole[11:]])
            await connection.until_acknowledged({0})
            await connection.websocket.send(output(1, b"as text"), text=True)
            await connection.until_acknowledged({1})
            await connection.websocket.send(channel_closed())
            await connection.websocket.wait_closed()

        async with StreamServer(play) as server:
            _, recorder = await connect(server.url(), ListedService(resumes=[("never", "")]))
            await recorder.until(lambda: recorder.ended)
        assert recorder.output == b"in pieces as text"

    asyncio.run(run())


def test_the_opening_request_offers_no_compression_and_carries_the_signature() -> None:
    async def run() -> None:
        async def play(connection: Connection) -> None:
            await connection.websocket.wait_closed()

        async with StreamServer(play) as server:
            service = ListedService(headers=[("Authorization", "signed {url}")], resumes=[("never", "")])
            channel, _ = await connect(server.url(), service)
            headers = (await server.until_connected()).headers
            await channel.terminate()
        assert "Sec-WebSocket-Extensions" not in headers
        assert headers["Authorization"] == f"signed {server.url()}"
        assert headers["Host"] == f"localhost:{server.port}"
        assert server.url().endswith(server.connections[0].path)

    asyncio.run(run())


def test_a_local_side_that_takes_nothing_holds_the_other_side_back() -> None:
    limit = 640  # messages, 40 MiB: more than the kernel takes for a connection that nobody reads

    async def run() -> None:
        sent = 0
        resumed = False

        async def play(connection: Connection) -> None:
            nonlocal sent
            while sent < limit and not resumed:
                await connection.websocket.send(output(sent, bytes(65_536)))
                sent += 1
            await connection.websocket.wait_closed()

        async with StreamServer(play) as server:
            channel, recorder = await connect(server.url(), ListedService(resumes=[("never", "")]))
            channel.pause_reading()
            transport = (await server.until_connected()).websocket.transport
            before = -1
            while before != sent or not transport.get_write_buffer_size():
                before = sent  # the kernel's buffers fill, then what is sent stays with the server
                for _ in range(200):
                    await asyncio.sleep(0)
                assert sent < limit
            received = len(recorder.output)
            resumed = True
            channel.resume_reading()
            await recorder.until(lambda: len(recorder.output) == sent * 65_536)
            assert received < sent * 65_536
            await channel.terminate()

    asyncio.run(run())


def test_a_message_beyond_the_limit_ends_the_connection_not_the_session() -> None:
    async def run() -> None:
        async def play(connection: Connection) -> None:
            if len(server.connections) == 1:
                await connection.websocket.send(bytes(2 * 1024 * 1024))
                await connection.websocket.wait_closed()
                return
            await connection.websocket.send(output(0, b"small again"))
            await connection.until_acknowledged({0})
            await connection.websocket.send(channel_closed())
            await connection.websocket.wait_closed()

        async with StreamServer(play) as server:
            _, recorder = await connect(server.url(), ListedService(resumes=[("token-1", "")]))
            await recorder.until(lambda: recorder.ended)
        assert recorder.output == b"small again"
        assert recorder.error is None

    asyncio.run(run())


@pytest.mark.parametrize(
    "url",
    ["ws://stream.example.com/v1/data-channel/x", "ws://10.0.0.1/v1/data-channel/x", "ws://localhost.example.com/"],
)
def test_clear_text_goes_to_this_machine_only(url: str) -> None:
    service = ListedService(resumes=[("never", "")])
    with pytest.raises(SessionError) as caught:
        asyncio.run(connect(url, service))
    assert caught.value.code == "stream-not-encrypted"
    assert service.calls == ["terminate"]
