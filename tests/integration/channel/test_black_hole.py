"""A network that swallows everything, in both directions and for new connections too."""

from __future__ import annotations

import asyncio

import pytest

from aws_runas.ssm.transport.dialling import Dialling
from tests.integration.channel.client import ListedService, connect
from tests.integration.channel.odd_service import BINARY, OddService, Peer, frame, output
from tests.integration.channel.stream_server import channel_closed


class Hole:
    """A way to a port that can swallow everything: nothing is said, and new connections are never answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._arrivals: asyncio.Queue[None] = asyncio.Queue()
        self.port = 0

    async def __aenter__(self) -> Hole:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    def swallow(self) -> None:
        """Let nothing through any more, on connections of now and later."""
        self._is_open.clear()

    async def swallowed(self, connections: int) -> None:
        """Wait until so many connections have said something in vain."""
        for _ in range(connections):
            await asyncio.wait_for(self._arrivals.get(), 15)

    def release(self) -> None:
        """Let new connections through. The old ones have lost bytes, so nothing comes from them."""
        self._is_open.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += (writer, far_writer)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._copy(source, target)))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if not self._is_open.is_set():
                self._arrivals.put_nowait(None)
                await asyncio.Event().wait()
            target.write(data)
        target.close()


@pytest.mark.slow
@pytest.mark.parametrize("types", [False, True], ids=["only receiving", "with something to send"])
def test_black_hole_is_noticed_and_left_and_nothing_is_lost(types: bool) -> None:
    """Packets are dropped both ways, for old and new connections, as by a firewall or a network that is gone."""

    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.send(frame(BINARY, output(0, b"before ")))
        await peer.until_acknowledged(0)
        holes[0].swallow()
        await peer.send(frame(BINARY, output(1, b"after")))
        await peer.until_gone()

    async def later(peer: Peer) -> None:
        await peer.accept()
        if types:
            await peer.until_message(lambda message: message.payload == b"typed")
        await peer.send(frame(BINARY, output(1, b"after")))
        await peer.until_acknowledged(1)
        await peer.send(frame(BINARY, channel_closed()))
        await peer.until_gone()

    async def run() -> None:
        async with OddService(first, later) as service, Hole(service.port) as hole:
            holes.append(hole)
            url = service.url.replace(str(service.port), str(hole.port))
            dialling = Dialling(environ={}, ping_interval=0.5, pong_timeout=1.5, timeout=1.5)
            calls = ListedService(resumes=[("token-1", "")])
            channel, recorder = await connect(url, calls, dialling=dialling)
            await recorder.until(lambda: recorder.output == b"before ")
            if types:
                channel.write(b"typed")
            await recorder.until(lambda: bool(recorder.lost))
            assert "no answer" in recorder.lost[0]
            await hole.swallowed(2)  # connections: the first attempt is never answered
            hole.release()
            await recorder.until(lambda: recorder.ended)
            assert (recorder.output, recorder.error) == (b"before after", None)
            assert (len(recorder.lost), recorder.regained) == (1, 1)

    holes: list[Hole] = []
    asyncio.run(run())
