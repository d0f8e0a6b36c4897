"""Events of a forward, for the status line, the messages and ``--events``."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener accepts connections.

    Args:
        local: the address as a client writes it: ``127.0.0.1:8888``, ``[::1]:8888`` or a path.
        host: the host of the address, "" for a unix socket.
        port: the port of the address, 0 for a unix socket.
        path: path of the unix socket, or "".
        destination: the destination, for display.
        target: the instance.
        remote_host: host behind the instance, "" for the instance itself.
        remote_port: port of the destination.
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
    """A session was opened. sessions: how many are open now."""

    session: str
    agent_version: str
    sessions: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session has ended. reason: "" if we closed it because it was idle or the forward ends."""

    session: str
    reason: str
    sessions: int


@dataclass(frozen=True, slots=True)
class SessionNotOpened:
    """A session could not be opened.

    Args:
        reason: the message of the error.
        retry_in: seconds, None if no connection waits for it.
        code: error code.
    """

    reason: str
    retry_in: float | None
    code: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The WebSocket of a session was lost and is being resumed."""

    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionRegained:
    """The WebSocket of a session was resumed after this many seconds."""

    session: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LocalOpened:
    """A program connected and got a session."""

    connection: int
    peer: str
    local: str
    session: str


@dataclass(frozen=True, slots=True)
class LocalClosed:
    """The connection of a program has ended. reason: "" for an ordinary end."""

    connection: int
    sent: int
    received: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class RemoteRefused:
    """The agent could not connect to the destination."""

    connection: int
    destination: str


@dataclass(frozen=True, slots=True)
class HalfCloseTimedOut:
    """A connection was reset: its program ended its sending half, and no answer came for this many seconds."""

    connection: int
    seconds: float


@dataclass(frozen=True, slots=True)
class AgentSilent:
    """The agent of a session has not answered for this many seconds; new connections use another session."""

    session: str
    seconds: float


@dataclass(frozen=True, slots=True)
class AgentAnswered:
    """The agent of a session answers again, after this many seconds."""

    session: str
    seconds: float


ForwardEvent = (
    Listening
    | SessionOpened
    | SessionEnded
    | SessionNotOpened
    | ConnectionLost
    | ConnectionRegained
    | LocalOpened
    | LocalClosed
    | RemoteRefused
    | HalfCloseTimedOut
    | AgentSilent
    | AgentAnswered
)
Notify = Callable[[ForwardEvent], None]
