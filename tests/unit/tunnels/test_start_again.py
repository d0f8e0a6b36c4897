"""Tunnels that could not start: tried again by themselves, or not, on a loop whose time passes at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError, SessionError, TargetError
from aws_runas.ssm.forward.destination import Destination, Forward, LocalAddress
from aws_runas.ssm.forward.events import Notify, SessionOpened
from aws_runas.ssm.forward.forwarding import Totals
from aws_runas.ssm.forward.policy import PoolSettings
from aws_runas.ssm.transport.interfaces import OpenChannel
from aws_runas.tunnels import tunnel as tunnels
from aws_runas.tunnels.process import TunnelProcess
from aws_runas.tunnels.tunnel import Tunnel, TunnelPlan, lazy_settings
from tests.support.quick_loop import QuickLoop

UNREACHABLE = SessionError("cannot resolve ssm.us-east-1.amazonaws.com", code="endpoint-unreachable")
LOGIN_NEEDED = CredentialsError("p needs a sign-in", code="login-needed")
BROKEN = ConfigError("no such profile", code="profile-unknown")


class World:
    """A tunnel process with one tunnel, whose sessions cannot be opened.

    Args:
        error: that each attempt ends with.
        port: local, 0 for any.
        lazy: no session is opened at the start.
        hangs: the second attempt does not end by itself.
    """

    def __init__(
        self, directory: Path, error: AwsRunasError, *, port: int = 0, lazy: bool = False, hangs: bool = False
    ) -> None:
        self.loop = QuickLoop()
        self.attempts: list[float] = []
        self.address = "192.0.2.7"
        self.ended = False
        self._error = error
        self._hangs = hangs
        self._pool = lazy_settings(PoolSettings(), None) if lazy else PoolSettings()
        self._forward = Forward(LocalAddress("127.0.0.1", port), Destination("i-deadbeef", 22, ""))
        self.process = TunnelProcess(
            directory / "run" / "s", self._plan, lambda _: None, clock=self.loop.time, address=lambda: self.address
        )

    def _plan(self, name: str, _lazy: bool) -> TunnelPlan:
        return TunnelPlan(name, (self._forward,), self._open_channel, self._pool)

    def _open_channel(self, _destination: Destination) -> OpenChannel:
        async def opened(_make_handler: object) -> str:
            self.attempts.append(self.loop.time())
            if self._hangs and len(self.attempts) > 1:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.ended = not self.process.statuses()  # the tunnel is on its way out
            raise self._error

        return opened

    def run(self, act: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            running = asyncio.ensure_future(self.process.run(["t"], lazy=False))
            await asyncio.sleep(0.5)
            await act()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(main())

    def state(self) -> str:
        (status,) = self.process.statuses()
        return status.state


def test_a_tunnel_that_found_no_network_tries_again_ever_more_rarely(tmp_path: Path) -> None:
    world = World(tmp_path, UNREACHABLE)

    async def wait() -> None:
        await asyncio.sleep(200)
        assert world.state() == "failed"
        assert world.process.statuses()[0].error == UNREACHABLE.message

    world.run(wait)
    gaps = [after - before for before, after in zip(world.attempts, world.attempts[1:], strict=False)]
    assert [round(gap) for gap in gaps[:6]] == [1, 2, 4, 8, 15, 30]
    assert {round(gap) for gap in gaps[6:]} == {30}


@pytest.mark.parametrize("before", ["192.0.2.7", ""])
def test_a_change_of_network_is_tried_within_the_next_look_at_it(tmp_path: Path, before: str) -> None:
    world = World(tmp_path, UNREACHABLE)
    world.address = before

    async def change() -> None:
        await asyncio.sleep(100)
        assert world.loop.time() < world.attempts[-1] + 25
        count, world.address = len(world.attempts), "198.51.100.1"
        await asyncio.sleep(6.1)
        assert len(world.attempts) == count + 1

    world.run(change)


@pytest.mark.parametrize(("error", "state"), [(LOGIN_NEEDED, "waiting for a sign-in"), (BROKEN, "failed")])
def test_what_a_person_must_change_is_not_tried_again(tmp_path: Path, error: AwsRunasError, state: str) -> None:
    world = World(tmp_path, error)

    async def wait() -> None:
        await asyncio.sleep(200)
        assert world.state() == state

    world.run(wait)
    assert len(world.attempts) == 1


def test_a_port_that_becomes_free_is_listened_on(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        world = World(tmp_path, UNREACHABLE, port=taken.getsockname()[1], lazy=True)

        async def free() -> None:
            assert world.state() == "failed"
            assert "in use" in world.process.statuses()[0].error
            taken.close()
            await asyncio.sleep(5)
            assert world.state() == "listening"

        world.run(free)


class TakenMeanwhile:
    """A forwarding whose port is taken by another tunnel while its session is opened."""

    def __init__(
        self, _forwards: object, _open_channel: object, notify: Notify, *_: object, **_options: object
    ) -> None:
        self._notify = notify

    async def start(self) -> None:
        self._notify(SessionOpened("s-1", "3.3.0.0", 1))
        raise SessionError("127.0.0.1:5432 is in use already", code="port-taken")

    def is_opening(self) -> bool:
        return False

    def totals(self) -> Totals:
        return Totals(0, 0, 0, 0, 0)


def test_a_tunnel_whose_port_is_taken_at_the_last_moment_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "Forwarding", TakenMeanwhile)
    forward = Forward(LocalAddress("127.0.0.1", 5432), Destination("i-deadbeef", 22, ""))
    shown: list[tuple[str, str]] = []

    async def start() -> None:
        tunnel = Tunnel(TunnelPlan("t", (forward,), lambda _: None, PoolSettings()), lambda: None)  # type: ignore[arg-type,return-value]
        await tunnel.start()
        status = tunnel.status()
        shown.append((status.state, status.error))
        assert not status.sessions

    asyncio.run(start())
    assert shown == [("failed", "127.0.0.1:5432 is in use already")]


def test_the_error_of_a_tunnel_lists_what_was_tried(tmp_path: Path) -> None:
    unknown = TargetError(
        "no instance matches 'x'; tried:", code="target-not-found", details=("tag: none", "DNS: none")
    )
    world = World(tmp_path, unknown)

    async def wait() -> None:
        await asyncio.sleep(1)
        assert world.process.statuses()[0].error == "no instance matches 'x'; tried: tag: none; DNS: none"

    world.run(wait)


def test_closing_ends_an_attempt_that_is_under_way(tmp_path: Path) -> None:
    world = World(tmp_path, UNREACHABLE, hangs=True)

    async def wait() -> None:
        await asyncio.sleep(5)
        assert len(world.attempts) == 2

    world.run(wait)
    assert world.ended
