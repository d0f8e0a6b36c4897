"""Runs forwards: listeners, the sessions behind them, and the connections between the two."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from aws_runas.dataclass import dataclass
from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.destination import Destination, Forward, LocalAddress
from aws_runas.ssm.forward.events import ConnectionRegained, ForwardEvent, Listening, LocalClosed, Notify
from aws_runas.ssm.forward.listener import Listener, bind
from aws_runas.ssm.forward.multiplexer import MultiplexerSettings
from aws_runas.ssm.forward.policy import PoolSettings
from aws_runas.ssm.forward.pool import Pool
from aws_runas.ssm.forward.session import ForwardSession
from aws_runas.ssm.transport.interfaces import OpenChannel


@dataclass(frozen=True, slots=True)
class ForwardingSettings:
    """Settings of all parts of a forward."""

    multiplexer: MultiplexerSettings = field(default_factory=MultiplexerSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures of the status line.

    Args:
        connections: open now.
        sent: bytes from programs to destinations, since the start.
        received: bytes from destinations to programs, since the start.
        sessions: open now.
        resumed: resumed WebSockets, since the start.
    """

    connections: int
    sent: int
    received: int
    sessions: int
    resumed: int

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.connections + other.connections,
            self.sent + other.sent,
            self.received + other.received,
            self.sessions + other.sessions,
            self.resumed + other.resumed,
        )


class Forwarding:
    """Runs forwards from `start` until `close`. Create it on the event loop.

    Args:
        forwards: local addresses and their destinations. Forwards to one destination share its sessions.
        open_channel: returns the function that opens sessions for a destination.
        notify: called with each event, on the event loop.
        settings: settings of multiplexers and pools.
        clock: monotonic seconds.
        listeners: sockets that are already bound, such as those from systemd, by local address.
    """

    def __init__(
        self,
        forwards: Sequence[Forward],
        open_channel: Callable[[Destination], OpenChannel],
        notify: Notify,
        settings: ForwardingSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        listeners: Mapping[LocalAddress, Listener] | None = None,
    ) -> None:
        self._bound = listeners or {}
        self._forwards = forwards
        self._open_channel = open_channel
        self._pass_on = notify
        self._settings = settings or ForwardingSettings()
        self._clock = clock
        self._listeners: list[Listener] = []
        self._pools: dict[Destination, Pool] = {}
        self._connections: dict[int, LocalConnection] = {}
        self._sent = 0  # bytes of connections that have ended
        self._received = 0
        self._resumed = 0

    def bind(self) -> None:
        """Bind every local address, without listening yet.

        Raises:
            SessionError: an address is in use or not permitted.
        """
        for forward in self._forwards[len(self._listeners) :]:
            self._listeners.append(self._bound.get(forward.local) or bind(forward.local))

    async def start(self) -> None:
        """Bind every local address, open the first session of every destination, then listen.

        Raises:
            AwsRunasError: an address cannot be bound, or a session cannot be opened; everything is closed again.
        """
        try:
            self.bind()
            for destination in dict.fromkeys(forward.destination for forward in self._forwards):
                self._pools[destination] = self._make_pool(destination)
            await self._start_pools()
            numbers = itertools.count(1)
            for forward, listener in zip(self._forwards, self._listeners, strict=True):
                acceptor = self._make_acceptor(listener, forward.destination)
                listener.start(acceptor, lambda: next(numbers), self._clock)
                self._notify(_listening_event(listener, forward.destination))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening, end the sessions at the service, and remove the sockets. Idempotent."""
        for listener in self._listeners:
            await listener.close()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()), return_exceptions=True)

    def totals(self) -> Totals:
        """Return the figures of the status line."""
        connections = self._connections.values()
        return Totals(
            len(connections),
            self._sent + sum(connection.sent for connection in connections),
            self._received + sum(connection.received for connection in connections),
            sum(pool.session_count() for pool in self._pools.values()),
            self._resumed,
        )

    def is_opening(self) -> bool:
        """Return True while a session is being opened."""
        return any(pool.is_opening() for pool in self._pools.values())

    def check_connections(self) -> None:
        """Check soon whether the WebSockets still work, after a suspend or a network change."""
        for pool in self._pools.values():
            pool.check_connections()

    def retry_now(self) -> None:
        """Let the next connection open a session at once, regardless of earlier failures."""
        for pool in self._pools.values():
            pool.retry_now()

    async def _start_pools(self) -> None:
        """Start all pools at once. The first error cancels the others; a second cancellation cuts their ends short."""
        starting = [asyncio.ensure_future(pool.start()) for pool in self._pools.values()]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            for task in starting:
                task.cancel()
            await asyncio.wait(starting)
            raise

    def _make_acceptor(self, listener: Listener, destination: Destination) -> Callable[[LocalConnection], None]:
        pool = self._pools[destination]

        def accept(connection: LocalConnection) -> None:
            self._connections[connection.number] = connection
            pool.place(connection, listener.local)

        return accept

    def _make_pool(self, destination: Destination) -> Pool:
        open_channel = self._open_channel(destination)

        async def open_session(pool: Pool) -> ForwardSession:
            session = ForwardSession(
                pool,
                self._notify,
                self._settings.multiplexer,
                destination=str(destination),
                remote_host=destination.remote_host,
                clock=self._clock,
            )
            await session.open(open_channel)
            return session

        return Pool(open_session, self._notify, self._settings.pool, self._clock)

    def _notify(self, event: ForwardEvent) -> None:
        if isinstance(event, ConnectionRegained):
            self._resumed += 1
        elif isinstance(event, LocalClosed):
            self._connections.pop(event.connection, None)
            self._sent += event.sent
            self._received += event.received
        self._pass_on(event)


def _listening_event(listener: Listener, destination: Destination) -> Listening:
    address = listener.address
    return Listening(
        local=listener.local,
        host="" if address.path else address.host,
        port=address.port,
        path=address.path,
        destination=str(destination),
        target=destination.target,
        remote_host=destination.host if destination.remote_host else "",
        remote_port=destination.port,
    )
