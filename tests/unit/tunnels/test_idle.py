"""Ten lazy tunnels in an idle hour, and a sleep: a real process object on a loop whose time passes at once."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from aws_runas.ssm.forward.destination import Destination, Forward, LocalAddress
from aws_runas.ssm.forward.policy import PoolSettings
from aws_runas.ssm.transport.interfaces import OpenChannel
from aws_runas.tunnels.process import TunnelProcess
from aws_runas.tunnels.tunnel import TunnelPlan, TunnelStatus, lazy_settings
from tests.support.quick_loop import QuickLoop

HOUR = 3600.0
SETTLED = 60.0  # seconds after which everything that is made once is there


def _plan(name: str, _lazy: bool) -> TunnelPlan:
    def open_channel(_destination: Destination) -> OpenChannel:
        async def opened(_make_handler: object) -> str:
            raise AssertionError("an idle tunnel opens no session")

        return opened

    forward = Forward(LocalAddress("127.0.0.1", 0), Destination("i-deadbeef", 22, ""))
    return TunnelPlan(name, (forward,), open_channel, lazy_settings(PoolSettings(), None))


@pytest.mark.slow
def test_ten_lazy_tunnels_idle_for_an_hour_wake_once_a_second_and_grow_by_nothing(tmp_path: Path) -> None:
    loop = QuickLoop()
    shown: list[list[TunnelStatus]] = []
    process = TunnelProcess(
        tmp_path / "run" / "s", _plan, shown.append, clock=lambda: loop.selector.now, address=lambda: "192.0.2.7"
    )

    async def idle() -> tuple[int, int]:
        running = asyncio.ensure_future(process.run([f"t{number}" for number in range(10)], lazy=True))
        await asyncio.sleep(SETTLED)
        waits, memory = loop.selector.waits, tracemalloc.get_traced_memory()[0]
        await asyncio.sleep(HOUR)
        states = {status.state for status in process.statuses()}
        assert states == {"listening"}
        used = loop.selector.waits - waits, tracemalloc.get_traced_memory()[0] - memory
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return used

    tracemalloc.start()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            waits, grown = runner.run(idle())
    finally:
        tracemalloc.stop()
    assert waits <= HOUR + 1  # the clock of WakeupDetector; the tunnels have no timer of their own
    assert grown < 100_000  # bytes
    assert len(shown) <= 12  # once ready, once a tunnel at its end


def test_after_a_sleep_the_connections_are_checked_within_a_second(tmp_path: Path) -> None:
    loop = QuickLoop()
    slept = [0.0]
    checked: list[float] = []

    class Watched(TunnelProcess):
        def check_connections(self) -> None:
            checked.append(loop.time())
            super().check_connections()

    process = Watched(
        tmp_path / "run" / "s", _plan, lambda _: None, clock=lambda: loop.selector.now + slept[0], address=lambda: "x"
    )

    async def sleep() -> float:
        running = asyncio.ensure_future(process.run(["t"], lazy=True))
        await asyncio.sleep(100.5)
        assert checked == []
        slept[0] += 60
        back = loop.time()
        await asyncio.sleep(3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return back

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        back = runner.run(sleep())
    assert len(checked) == 1
    assert checked[0] - back <= 1.0
