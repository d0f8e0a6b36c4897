"""What happens to a forward, in the past tense: for the status line, the messages and --events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener takes connections.

    Args:
        local: where, as a client writes it: ``127.0.0.1:8888``, ``[::1]:8888`` or a path.
        host, port: the same in parts; "" and 0 for a unix socket.
        path: of the unix socket, or "".
        destination: where it leads, for people.
        target: the instance.
        remote_host: behind the instance, "" for the instance itself.
        remote_port: there.
    """

    local: str
    host: str
    port: int
    path: str
    destination: str
    target: str
    remote_host: str
    remote_port: int


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """Another session carries connections."""

    session: str
    agent_version: str
    sessions: int


@dataclass(frozen=True, slots=True)
class SessionOver:
    """A session has ended. reason: "" where we ended it, as idle or on leaving."""

    session: str
    reason: str
    sessions: int


@dataclass(frozen=True, slots=True)
class SessionNotOpened:
    """Another session could not be opened. retry_in: seconds, None where nobody waits for it."""

    reason: str
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The WebSocket of a session was cut and is being resumed."""

    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionRegained:
    """It was resumed."""

    session: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LocalOpened:
    """A program connected."""

    connection: int
    peer: str
    local: str
    session: str


@dataclass(frozen=True, slots=True)
class LocalClosed:
    """Its connection is over. reason: "" for an ordinary end."""

    connection: int
    sent: int
    received: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class RemoteRefused:
    """The far side could not connect to the destination."""

    connection: int
    destination: str


ForwardEvent = (
    Listening
    | SessionOpened
    | SessionOver
    | SessionNotOpened
    | ConnectionLost
    | ConnectionRegained
    | LocalOpened
    | LocalClosed
    | RemoteRefused
)
Notify = Callable[[ForwardEvent], None]
