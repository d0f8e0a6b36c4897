"""Process that holds the tunnels of one user: commands, wake-ups and shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from aws_runas.errors import AwsRunasError
from aws_runas.tunnels.control import ControlServer, Reply
from aws_runas.tunnels.tunnel import WAITING, Tunnel, TunnelPlan, TunnelStatus
from aws_runas.tunnels.wakeup import CHECK_INTERVAL, WakeupDetector, clock_with_sleep, local_address


class TunnelProcess:
    """Holds tunnels until `down`, until idle, or until it is cancelled.

    Args:
        path: the control socket.
        make_plan: returns the plan of a tunnel by its name; the second argument is True for a lazy tunnel.
        report: called with the status of all tunnels after each change; the first call means that the process is ready.
        ends_when_idle: for a process that the service manager starts again at the next connection.
        clock: see `clock_with_sleep`.
        address: see `local_address`.
    """

    def __init__(
        self,
        path: Path,
        make_plan: Callable[[str, bool], TunnelPlan],
        report: Callable[[list[TunnelStatus]], None],
        *,
        ends_when_idle: bool = False,
        clock: Callable[[], float] = clock_with_sleep,
        address: Callable[[], str] = local_address,
    ) -> None:
        self._control = ControlServer(path, self._handle)
        self._make_plan = make_plan
        self._report = report
        self._ends_when_idle = ends_when_idle
        self._clock = clock
        self._address = address
        self._tunnels: dict[str, Tunnel] = {}
        self._lazy: dict[str, bool] = {}
        self._ended = asyncio.Event()
        self._ready = False
        self._used = False

    async def run(self, names: list[str], *, lazy: bool) -> None:
        """Open tunnels and serve commands until the process ends.

        Args:
            names: the tunnels to open.
            lazy: open sessions on demand.

        Raises:
            ConfigError: the control socket is not available, or there is no such tunnel.
        """
        await self._control.start()
        watcher = asyncio.get_running_loop().create_task(self._watch())
        try:
            await self._up(names, lazy=lazy)
            self._ready = True
            self._changed()
            await self._ended.wait()
        finally:
            watcher.cancel()
            await self._control.close()
            await self._down(list(self._tunnels))
            await asyncio.gather(watcher, return_exceptions=True)

    def statuses(self) -> list[TunnelStatus]:
        """Return the status of every tunnel."""
        return [tunnel.status() for tunnel in self._tunnels.values()]

    # commands

    async def _handle(self, request: Mapping[str, object]) -> Reply:
        names = request.get("names")
        listed = [str(name) for name in names] if isinstance(names, list) else []
        try:
            match request.get("command"):
                case "status":
                    pass
                case "up":
                    await self._up(listed, lazy=bool(request.get("lazy")))
                case "down":
                    return await self._handle_down(listed)
                case "retry":
                    for tunnel in self._tunnels.values():
                        tunnel.retry_now()
                    for name in [name for name, tunnel in self._tunnels.items() if tunnel.failed]:
                        await self._up([name], lazy=self._lazy[name])
                case command:
                    return {"error": f"no such command: {command}", "code": "usage"}
        except AwsRunasError as error:
            return {"error": error.summary, "code": error.code, "hint": error.hint}
        outdated = [name for name in listed if request.get("command") == "up" and self._is_outdated(name)]
        return {"tunnels": [status.as_dict() for status in self.statuses()], "outdated": outdated}

    def _is_outdated(self, name: str) -> bool:
        """Return True if the tunnels file has changed the description of an open tunnel."""
        return self._make_plan(name, self._lazy[name]).source != self._tunnels[name].source

    async def _handle_down(self, names: list[str]) -> Reply:
        closed = [name for name in (names or list(self._tunnels)) if name in self._tunnels]
        await self._down(closed)
        if not self._tunnels:
            self._ended.set()
        return {"closed": closed}

    async def _up(self, names: list[str], *, lazy: bool) -> None:
        """Open tunnels that are not open; retry those that failed."""
        wanted = [name for name in names if name not in self._tunnels or self._tunnels[name].failed]
        plans = [self._make_plan(name, lazy) for name in wanted]
        await self._down([name for name in wanted if name in self._tunnels])
        for plan in plans:
            self._tunnels[plan.name] = Tunnel(plan, self._changed)
            self._lazy[plan.name] = lazy
        async with asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(self._tunnels[plan.name].start())

    async def _down(self, names: list[str]) -> None:
        tunnels = [self._tunnels.pop(name) for name in names]
        await asyncio.gather(*(tunnel.close() for tunnel in tunnels), return_exceptions=True)
        self._changed()

    def _changed(self) -> None:
        if self._ready:
            self._report(self.statuses())

    # time

    async def _watch(self) -> None:
        """Check the connections after a sleep or a network change, and end an idle process."""
        detector = WakeupDetector(self._clock(), self._address())
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            now = self._clock()
            woke_up = detector.woke_up(now)
            if detector.address_is_due(now) and detector.address_changed(self._address(), now):
                woke_up = True
            if woke_up:
                self.check_connections()
            for tunnel in self._tunnels.values():
                tunnel.measure(now)
                tunnel.start_again(now=woke_up)
            self._end_if_idle()

    def check_connections(self) -> None:
        """Check at once that the sessions of all tunnels survived a sleep or a network change."""
        for tunnel in self._tunnels.values():
            tunnel.check_connections()

    def _end_if_idle(self) -> None:
        idle = all(tunnel.is_idle() for tunnel in self._tunnels.values())
        self._used = self._used or not idle or any(s.state in WAITING for s in self.statuses())
        if self._ends_when_idle and self._ready and self._used and idle:
            self._ended.set()
