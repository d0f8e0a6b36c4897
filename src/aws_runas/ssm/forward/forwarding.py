"""A forward as a whole: listeners, the sessions behind them, and the connections between the two."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aws_runas.ssm.forward.connection import LocalConnection
from aws_runas.ssm.forward.destination import Destination, Forward
from aws_runas.ssm.forward.events import ConnectionRegained, ForwardEvent, Listening, LocalClosed, Notify
from aws_runas.ssm.forward.listener import Listener, bind
from aws_runas.ssm.forward.pool import SessionPool
from aws_runas.ssm.forward.session import ForwardSession, OpenChannel
from aws_runas.ssm.forward.settings import CarrierSettings, PoolSettings


@dataclass(frozen=True, slots=True)
class ForwardingSettings:
    """Of everything below."""

    carrier: CarrierSettings = field(default_factory=CarrierSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)


@dataclass(frozen=True, slots=True)
class Totals:
    """What the status line shows. sent and received: bytes since the start."""

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
    """Runs forwards until it is closed. Made on the event loop.

    Args:
        forwards: each with its listener; those that lead to one destination share its sessions.
        open_channel: makes what opens sessions for a destination.
        notify: hears of everything; called on the event loop.
    """

    def __init__(
        self,
        forwards: Sequence[Forward],
        open_channel: Callable[[Destination], OpenChannel],
        notify: Notify,
        settings: ForwardingSettings | None = None,
    ) -> None:
        self._forwards = forwards
        self._open_channel = open_channel
        self._tell = notify
        self._settings = settings or ForwardingSettings()
        self._listeners: list[Listener] = []
        self._pools: dict[Destination, SessionPool] = {}
        self._connections: dict[int, LocalConnection] = {}
        self._sent = 0  # by connections that are over
        self._received = 0
        self._resumed = 0

    def bind(self) -> None:
        """Take every address, without listening yet.

        Raises:
            SessionError: one is not to be had.
        """
        for forward in self._forwards[len(self._listeners) :]:
            self._listeners.append(bind(forward.local))

    async def start(self) -> None:
        """Bind every address, open the first session of every destination, then listen.

        Raises:
            AwsRunasError: an address or a destination is not to be had; nothing is left behind.
        """
        try:
            self.bind()
            for destination in dict.fromkeys(forward.destination for forward in self._forwards):
                self._pools[destination] = self._pool(destination)
            await _all(*(pool.start() for pool in self._pools.values()))
            numbers = itertools.count(1)
            for forward, listener in zip(self._forwards, self._listeners, strict=True):
                listener.start(self._acceptor(listener, forward.destination), lambda: next(numbers))
                self._notify(_listening(listener, forward.destination))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening, end the sessions at the service, remove the sockets. Idempotent."""
        for listener in self._listeners:
            listener.close()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()), return_exceptions=True)

    def totals(self) -> Totals:
        """What has passed so far."""
        open_now = self._connections.values()
        return Totals(
            len(open_now),
            self._sent + sum(each.sent for each in open_now),
            self._received + sum(each.received for each in open_now),
            sum(pool.ready() for pool in self._pools.values()),
            self._resumed,
        )

    def _acceptor(self, listener: Listener, destination: Destination) -> Callable[[LocalConnection], None]:
        pool = self._pools[destination]

        def accept(connection: LocalConnection) -> None:
            self._connections[connection.number] = connection
            pool.place(connection, listener.local)

        return accept

    def _pool(self, destination: Destination) -> SessionPool:
        open_channel = self._open_channel(destination)

        async def open_session(pool: SessionPool) -> ForwardSession:
            session = ForwardSession(
                pool,
                self._notify,
                self._settings.carrier,
                destination=str(destination),
                remote_host=destination.remote_host,
            )
            await session.open(open_channel)
            return session

        return SessionPool(open_session, self._notify, self._settings.pool)

    def _notify(self, event: ForwardEvent) -> None:
        if isinstance(event, ConnectionRegained):
            self._resumed += 1
        elif isinstance(event, LocalClosed):
            self._connections.pop(event.connection, None)
            self._sent += event.sent
            self._received += event.received
        self._tell(event)


def _listening(listener: Listener, destination: Destination) -> Listening:
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


async def _all(*awaitables: object) -> None:
    """Wait for all; the first that fails cancels the others and waits for what they leave."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]  # type: ignore[call-overload]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
