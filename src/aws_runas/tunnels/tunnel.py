"""Named tunnel: its forwards, and its status for `tunnels status`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from enum import Enum
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError
from aws_runas.ssm.forward.destination import Destination, Forward, LocalAddress
from aws_runas.ssm.forward.events import ForwardEvent, Listening, SessionEnded, SessionNotOpened, SessionOpened
from aws_runas.ssm.forward.forwarding import Forwarding, ForwardingSettings
from aws_runas.ssm.forward.listener import Listener
from aws_runas.ssm.forward.policy import PoolSettings
from aws_runas.ssm.transport.interfaces import OpenChannel

START_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds until a tunnel that failed to start is retried
DEFAULT_IDLE: Final = 600.0  # seconds without a connection until a lazy tunnel closes its session


class State(Enum):
    """State of a tunnel."""

    LISTENING = "listening"  # no session; the first connection opens one
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING_FOR_MFA = "waiting for MFA"
    WAITING_FOR_PASSPHRASE = "waiting for the passphrase"  # noqa: S105 - a state
    WAITING_FOR_SIGN_IN = "waiting for a sign-in"
    FAILED = "failed"


# Codes of errors that `tunnels login` fixes, and the resulting state.
NEEDS_USER: Final = {
    "mfa-no-terminal": State.WAITING_FOR_MFA,
    "keyring-locked": State.WAITING_FOR_PASSPHRASE,
    "login-needed": State.WAITING_FOR_SIGN_IN,
}
WAITING: Final = {state.value: state for state in NEEDS_USER.values()}


@dataclass(frozen=True, slots=True)
class TunnelStatus:
    """Status of a tunnel for `tunnels status`.

    Args:
        name: the name of the tunnel.
        state: see State.
        local: local addresses, as clients write them.
        destinations: destinations of the local addresses, in the same order.
        connections: number of open connections.
        sent: bytes from programs, since the start.
        received: bytes to programs, since the start.
        sent_rate, received_rate: bytes per second, over the last second.
        sessions: ids of the open sessions.
        since: seconds since the epoch; when the state began.
        error: the last error, "" if there has been none since the last session.
    """

    name: str
    state: str
    local: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    connections: int = 0
    sent: int = 0
    received: int = 0
    sessions: tuple[str, ...] = ()
    since: float = 0.0
    error: str = ""
    sent_rate: float = 0.0
    received_rate: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """Return the status for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TunnelPlan:
    """Parts of a tunnel.

    Args:
        name: the name of the tunnel.
        forwards: local addresses and destinations, as the file gives them.
        open_channel: returns the function that opens sessions for a destination. It may resolve the target first.
        pool: limits; a lazy pool opens no session before the first connection.
        listeners: sockets that are already bound, by local address.
        source: the description that the plan was made from, to detect a later change.
    """

    name: str
    forwards: tuple[Forward, ...]
    open_channel: Callable[[Destination], OpenChannel]
    pool: PoolSettings
    listeners: Mapping[LocalAddress, Listener] | None = None
    source: object = None


class Tunnel:
    """Runs one tunnel. Create it on the event loop.

    Args:
        plan: its parts.
        changed: called after each change of its state.
        wall_clock: seconds since the epoch.
    """

    def __init__(
        self, plan: TunnelPlan, changed: Callable[[], None], wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.name = plan.name
        self.source = plan.source
        self._changed = changed
        self._wall_clock = wall_clock
        self._plan = plan
        self._forwarding = self._new_forwarding()
        self._restart: asyncio.Task[None] | None = None
        self._start_failures = 0
        self._may_pass = False
        self._start_at = 0.0
        self._local: list[str] = []
        self._destinations: list[str] = []
        self._sessions: dict[str, None] = {}
        self._error = ""
        self._error_code = ""
        self._failed = False
        self._shown = State.CONNECTING
        self._since = wall_clock()
        self._measured: tuple[float, int, int] | None = None
        self._rates = 0.0, 0.0

    def _new_forwarding(self) -> Forwarding:
        return Forwarding(
            self._plan.forwards,
            self._plan.open_channel,
            self._notify,
            ForwardingSettings(pool=self._plan.pool),
            listeners=self._plan.listeners,
        )

    async def start(self) -> None:
        """Listen, and open the first session unless the tunnel is lazy. A failure becomes the tunnel's state."""
        try:
            await self._forwarding.start()
            self._failed = False
        except AwsRunasError as error:
            self._failed = True
            self._sessions.clear()  # a port may turn out to be taken after the session was opened; it is ended by now
            self._may_pass = error.code not in NEEDS_USER and not isinstance(error, ConfigError)
            delay = START_DELAYS[min(self._start_failures, len(START_DELAYS) - 1)]
            self._start_at = asyncio.get_running_loop().time() + delay
            self._start_failures += 1
            self._error, self._error_code = error.summary, error.code
        self._update()

    def start_again(self, *, now: bool = False) -> None:
        """Retry in the background if the tunnel failed to start and its delay has passed.

        The network, a name server or an instance may have been unavailable, or a port in use. Errors that the user must
        fix are not retried.

        Args:
            now: skip the delay, because something has changed.
        """
        due = now or asyncio.get_running_loop().time() >= self._start_at
        if self._failed and self._may_pass and due and (self._restart is None or self._restart.done()):
            self._local, self._destinations = [], []
            self._forwarding = self._new_forwarding()
            self._restart = asyncio.get_running_loop().create_task(self.start())

    async def close(self) -> None:
        """Stop listening and end the sessions."""
        if self._restart is not None:
            self._restart.cancel()
            await asyncio.gather(self._restart, return_exceptions=True)
        await self._forwarding.close()

    def check_connections(self) -> None:
        """Check at once that the sessions survived a sleep or a network change."""
        self._forwarding.check_connections()

    def measure(self, now: float) -> None:
        """Compute the rates since the last call; call it every second.

        Args:
            now: monotonic seconds.
        """
        totals = self._forwarding.totals()
        if self._measured is not None and now > self._measured[0]:
            passed = now - self._measured[0]
            sent, received = totals.sent - self._measured[1], totals.received - self._measured[2]
            self._rates = max(sent, 0) / passed, max(received, 0) / passed
        self._measured = now, totals.sent, totals.received

    def retry_now(self) -> None:
        """Clear the last error; the next connection retries at once."""
        self._error = self._error_code = ""
        self._forwarding.retry_now()
        self._update()

    def is_idle(self) -> bool:
        """Return True if the tunnel has neither a session nor a connection."""
        return not self._sessions and not self._forwarding.totals().connections and not self._forwarding.is_opening()

    @property
    def failed(self) -> bool:
        """True if the tunnel failed to start."""
        return self._failed

    def status(self) -> TunnelStatus:
        """Return the status for `tunnels status`."""
        self._update()
        totals = self._forwarding.totals()
        return TunnelStatus(
            self.name,
            self._shown.value,
            tuple(self._local),
            tuple(self._destinations),
            totals.connections,
            totals.sent,
            totals.received,
            tuple(self._sessions),
            self._since,
            self._error,
            round(self._rates[0], 1),
            round(self._rates[1], 1),
        )

    def _notify(self, event: ForwardEvent) -> None:
        match event:
            case Listening():
                self._local.append(event.local)
                self._destinations.append(event.destination)
            case SessionOpened():
                self._sessions[event.session] = None
                self._error = self._error_code = ""
            case SessionEnded():
                self._sessions.pop(event.session, None)
                self._error = event.reason or self._error
            case SessionNotOpened():
                self._error, self._error_code = event.reason, event.code
            case _:
                return
        self._update()

    def _update(self) -> None:
        state = self._state()
        if state is not self._shown:
            self._shown = state
            self._since = self._wall_clock()
            self._changed()

    def _state(self) -> State:
        if self._sessions:
            return State.CONNECTED
        if self._error_code in NEEDS_USER:
            return NEEDS_USER[self._error_code]
        if self._failed:
            return State.FAILED
        return State.CONNECTING if self._forwarding.is_opening() or not self._local else State.LISTENING


def lazy_settings(settings: PoolSettings, idle: float | None) -> PoolSettings:
    """Return the settings of a tunnel that opens its session on demand.

    Args:
        settings: the settings of the tunnel.
        idle: seconds, None for DEFAULT_IDLE.
    """
    return replace(settings, lazy=True, idle_timeout=DEFAULT_IDLE if idle is None else idle)


def summary(statuses: Sequence[TunnelStatus]) -> str:
    """Return one line about all tunnels, for the service manager."""
    counts = {state: sum(status.state == state.value for status in statuses) for state in State}
    return ", ".join(f"{count} {state.value}" for state, count in counts.items() if count) or "no tunnels"
