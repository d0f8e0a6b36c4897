"""One client process of bench.channel: opens a session, performs one operation, prints its cost as JSON.

python -m bench.channel_client ours|model upload|download|echo|beside PORT AMOUNT [rate=off] [spacing=off]

spacing=off sends data messages in batches of four per wake-up, as before ADR 0106; the difference is the cost of even
pacing.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aws_runas.aws.session import StartedSession
from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.signin.context import RunContext
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.core.recovery.pacing import BATCH, DataSpacing, Pacer
from aws_runas.ssm.core.settings import ChannelSettings
from aws_runas.ssm.transport import event_loop, kernel_pacing
from aws_runas.ssm.transport.data_channel import SessionChannel, StreamOptions, open_data_channel
from bench.plugin_model import PluginModel

TARGET = "i-deadbeef"
DEADLINE = 40.0  # seconds


def unlimited(_self: DataSpacing, _now: float) -> int:
    """Allow any number of data messages; replaces DataSpacing.allowed."""
    return 1 << 30


def ignore_departures(_self: DataSpacing, _count: int, _now: float) -> None:
    """Do nothing; replaces DataSpacing.sent."""


def pace_batches() -> None:
    """Send data messages in batches, one batch per wake-up."""
    ready_at = Pacer.ready_at

    def ready_for_batch(pacer: Pacer, waiting: int) -> float:
        return ready_at(pacer, max(waiting, BATCH))

    setattr(Pacer, "ready_at", ready_for_batch)  # noqa: B010 - mypy refuses the plain form
    setattr(DataSpacing, "allowed", unlimited)  # noqa: B010
    setattr(DataSpacing, "sent", ignore_departures)  # noqa: B010
    setattr(kernel_pacing, "is_supported", lambda: False)  # noqa: B010


class Ours:
    """Our client, with the methods of PluginModel."""

    def __init__(self, started: StartedSession, api: SsmApi, settings: ChannelSettings) -> None:
        self._started = started
        self._api = api
        self._settings = settings
        self._channel: SessionChannel | None = None
        self._ready = asyncio.Event()
        self._writable = asyncio.Event()
        self.received: Callable[[bytes], None] = lambda _data: None

    async def open(self) -> None:
        self._channel = await open_data_channel(
            self._started, lambda _: self, service=self._api, options=StreamOptions(self._settings)
        )
        await self._ready.wait()

    async def write(self, data: bytes) -> None:
        channel = self._channel
        assert channel is not None
        view, position = memoryview(data), 0
        while position < len(data):
            room = channel.send_capacity()
            if not room:
                self._writable.clear()
                await self._writable.wait()
                continue
            channel.write(bytes(view[position : position + room]))
            position += room

    async def close(self) -> None:
        assert self._channel is not None
        await self._channel.terminate()
        await asyncio.sleep(0.05)

    def session_started(self, _event: SessionStarted) -> None:
        self._ready.set()

    def data_received(self, data: bytes, _payload_type: int) -> None:
        self.received(data)

    def exit_code_received(self, exit_code: int) -> None:
        pass

    def flag_received(self, flag: int) -> None:
        pass

    def writable(self) -> None:
        self._writable.set()

    def connection_lost(self, reason: str) -> None:
        pass

    def connection_regained(self, seconds: float) -> None:
        pass

    def session_ended(self, error: Exception | None, _output: str) -> None:
        if error is not None:
            print(f"session ended: {error}", file=sys.stderr)


async def main(who: str, what: str, port: str, amount: int, unpaced: bool) -> dict[str, object]:
    """Run one measurement."""
    environ = dict(os.environ)
    access = open_access(
        "my-profile",
        Overrides(),
        RunContext(environ=environ, home=Path(environ["HOME"]), now=time.time, warn=print),
        Prompts(_nobody),
    )
    api = SsmApi(access)
    started = api.start_session(TARGET, "AWS-StartSSHSession", {"portNumber": [port]})
    count, arrived = 0, asyncio.Event()

    def received(data: bytes) -> None:
        nonlocal count
        count += len(data)
        arrived.set()

    client: Ours | PluginModel
    if who == "ours":
        limits = {"frame_rate": None, "window_bytes": None} if unpaced else {}
        client = Ours(started, api, ChannelSettings(**limits))  # type: ignore[arg-type]
        client.received = received
    else:
        client = PluginModel(started, received)

    async def until(total: int) -> None:
        while count < total:
            arrived.clear()
            await arrived.wait()

    begun = time.perf_counter()
    await client.open()
    result: dict[str, object] = {"open": time.perf_counter() - begun}
    before, begun = _cpu(), time.perf_counter()
    try:
        async with asyncio.timeout(DEADLINE):
            if what == "upload":
                await client.write(b"U" + struct.pack("!Q", amount) + bytes(amount))
                await until(1)
            elif what == "download":
                await client.write(b"D" + struct.pack("!Q", amount))
                await until(amount)
            elif what == "echo":
                result["times"] = await _echoes(client, until, amount)
            else:
                result["times"] = await _echoes_beside(client, until, amount)
    except TimeoutError:
        result["failed"] = f"not done after {DEADLINE:.0f} s"
    result["seconds"], result["cpu"] = time.perf_counter() - begun, _cpu() - before
    await client.close()
    return result


async def _echoes(client: Ours | PluginModel, until: Callable[[int], Awaitable[None]], amount: int) -> list[float]:
    await client.write(b"E")
    times = []
    for number in range(amount):
        begun = time.perf_counter()
        if isinstance(client, Ours):
            await client.write(b"x")
        else:
            client.send(b"x")  # without the sleep, which follows it
        await until(number + 1)
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(0.005)
    return times


async def _echoes_beside(
    client: Ours | PluginModel, until: Callable[[int], Awaitable[None]], amount: int
) -> list[float]:
    """Upload at full speed; at intervals, send a byte that is echoed in place of the next data."""
    await client.write(b"M")
    times: list[float] = []
    frame = b"d" + struct.pack("!I", 4091) + bytes(4091)
    asked, waiting = 0.0, False

    async def answers() -> None:
        nonlocal waiting
        for number in range(amount):
            await until(number + 1)
            times.append(time.perf_counter() - asked)
            waiting = False

    listener = asyncio.ensure_future(answers())
    last = time.perf_counter()
    while not listener.done():
        if not waiting and time.perf_counter() - last > 0.05:
            last = asked = time.perf_counter()
            waiting = True
            await client.write(b"e\0\0\0\0")
        await client.write(frame)
    return times[5:]  # the window needs a few rounds to find its size


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _nobody(_question: str) -> str:
    raise AssertionError("nobody is asked for a code here")


if __name__ == "__main__":
    words = sys.argv[1:]
    if "spacing=off" in words:
        pace_batches()
    print(json.dumps(event_loop.run(main(words[0], words[1], words[2], int(words[3]), "rate=off" in words))))
