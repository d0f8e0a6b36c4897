"""The port pump of the sandbox's agent at the official pace, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from types import SimpleNamespace
from typing import cast

import pytest

from aws_runas.sandbox.agent.plugin import PluginHost
from aws_runas.sandbox.agent.port import BasicPortPlugin, Pump

MESSAGE = 1024  # bytes
PAUSE = 0.001  # seconds


class SkippingSelector(selectors.DefaultSelector):
    """Waits for no timer: the time passes at once."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passed += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only when it waits."""

    def __init__(self) -> None:
        self._skipping = SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.passed


def pump(length: int, *, paced: bool, capacity: int = 1 << 20) -> list[tuple[float, int]]:
    """Send so many bytes; returns time and size of each message."""
    sent: list[tuple[float, int]] = []

    async def run() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        agent = SimpleNamespace(machine=SimpleNamespace(paced=paced), capacity=lambda: capacity)
        left = length

        def write() -> None:
            nonlocal left
            while left and (room := under_test.room()):
                size = min(left, room)
                sent.append((loop.time(), size))
                left -= size
                under_test.sent()
            if not left:
                done.set()

        under_test = Pump(cast(PluginHost, agent), write)
        write()
        await done.wait()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())
    return sent


def test_paced_output_is_one_message_of_1024_bytes_a_millisecond() -> None:
    sent = pump(100 * MESSAGE + 1, paced=True)
    assert [size for _, size in sent] == [MESSAGE] * 100 + [1]
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(sent)]
    assert gaps == pytest.approx([PAUSE] * 100)


def test_output_without_a_pace_leaves_as_the_channel_takes_it() -> None:
    assert pump(100 * MESSAGE, paced=False) == [(0.0, 100 * MESSAGE)]


def test_channel_that_takes_less_makes_paced_messages_smaller_and_not_more_frequent() -> None:
    sent = pump(1000, paced=True, capacity=100)
    assert [size for _, size in sent] == [100] * 10
    assert sent[-1][0] == pytest.approx(9 * PAUSE)


def test_input_that_came_before_the_connection_is_written_first() -> None:
    async def first_bytes() -> bytes:
        received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.set_result(await reader.readexactly(2))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        machine = SimpleNamespace(paced=False, port_map={})
        agent = SimpleNamespace(machine=machine, capacity=lambda: 1024, resume_reading=lambda: None)
        plugin = BasicPortPlugin(cast(PluginHost, agent), {"host": "127.0.0.1", "portNumber": str(port)})
        plugin.start()
        plugin.receive(b"1")
        while plugin._connection is None or not plugin._connection.connected:  # noqa: ASYNC110 - one step at a time
            await asyncio.sleep(0)
        plugin.receive(b"2")
        async with server:
            return await received

    assert asyncio.run(first_bytes()) == b"12"
