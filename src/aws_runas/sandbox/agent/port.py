"""Port sessions: one connection after another (basic), or many at once over smux (spec 10)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable
from typing import assert_never

from aws_runas.sandbox.agent.connection import Connection
from aws_runas.sandbox.agent.plugin import PluginHost
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.smux.session import Side, SmuxSession
from aws_runas.ssm.core.smux.stream import StreamDataReceived, StreamFinished, StreamOpened, StreamUnblocked

PACED_READ = 1024  # bytes that official agents send at once
READ_PAUSE = 0.001  # seconds that official agents sleep after each read
CONNECT_TO_PORT_ERROR, DISCONNECT_TO_PORT = 3, 1  # flags, spec 4
FRAME_DATA = 32768  # bytes in a smux frame, as in official agents


def destination(agent: PluginHost, properties: dict[str, str]) -> tuple[str, int]:
    """Return host and port of a destination, as seen from this machine.

    Args:
        agent: provides the ports of the instance.
        properties: the properties of the session.
    """
    host, port = properties.get("host") or "localhost", int(properties.get("portNumber") or 80)
    if host in ("localhost", "127.0.0.1", "::1"):
        port = agent.machine.port_map.get(port, port)
    return host, port


class Pump:
    """Pacing of the output of a port: decides how much is sent now.

    Args:
        agent: the session.
        resume: called when more may be sent after a pause.
    """

    def __init__(self, agent: PluginHost, resume: Callable[[], None]) -> None:
        self._agent = agent
        self._resume = resume
        self._paced = agent.machine.paced
        self._asleep = False

    def room(self) -> int:
        """Return how many bytes may be sent now."""
        room = 0 if self._asleep else self._agent.capacity()
        return min(room, PACED_READ) if self._paced else room

    def sent(self) -> None:
        """Note that a message was sent: official agents sleep after each message."""
        if self._paced:
            self._asleep = True
            asyncio.get_running_loop().call_later(READ_PAUSE, self._wake)

    def _wake(self) -> None:
        self._asleep = False
        self._resume()


class MuxPortPlugin:
    """Plugin for many connections over smux. Implements plugin.Plugin."""

    def __init__(self, agent: PluginHost, properties: dict[str, str]) -> None:
        self._agent = agent
        self._destination = destination(agent, properties)
        self._pump = Pump(agent, self.writable)
        self._smux = SmuxSession(Side.SERVER, frame_data=FRAME_DATA)
        self._connections: dict[int, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False

    def start(self) -> None:
        """Wait for the client to open streams."""

    def receive(self, data: bytes) -> None:
        """Accept bytes of the smux session."""
        try:
            self._smux.receive_data(data)
        except RemoteProtocolError as problem:
            self._agent.finish(str(problem))
            return
        self._handle_events()
        if not self._smux.receiving_allowed():
            self._paused = True
            self._agent.pause_reading()

    def _handle_events(self) -> None:
        parts: dict[int, list[bytes]] = {}
        for event in self._smux.events():
            match event:
                case StreamOpened(stream_id):
                    self._open(stream_id)
                case StreamDataReceived(stream_id, data):
                    parts.setdefault(stream_id, []).append(data)
                case StreamFinished(stream_id):
                    self._deliver(stream_id, parts.pop(stream_id, []))
                    if stream_id in self._connections:
                        self._connections[stream_id].finish()
                case StreamUnblocked(stream_id):
                    if stream_id in self._connections:
                        self._connections[stream_id].resume_reading()
                case _:
                    assert_never(event)
        for stream_id, data_parts in parts.items():
            self._deliver(stream_id, data_parts)
        self.writable()

    def _deliver(self, stream_id: int, parts: list[bytes]) -> None:
        if parts and stream_id in self._connections:
            self._connections[stream_id].write(b"".join(parts))

    def _open(self, stream_id: int) -> None:
        connection = Connection(
            received=lambda data: self._received(stream_id, data),
            written=lambda length: self._written(stream_id, length),
            lost=lambda: self._lost(stream_id),
        )
        self._connections[stream_id] = connection
        task = asyncio.get_running_loop().create_task(self._connect(stream_id, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, stream_id: int, connection: Connection) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, *self._destination)
        except OSError:
            self._agent.send_flag(CONNECT_TO_PORT_ERROR)
            self._connections.pop(stream_id, None)
            self._smux.data_delivered(stream_id, self._smux.undelivered(stream_id))
            self._smux.close_stream(stream_id)
            self.writable()

    def _received(self, stream_id: int, data: bytes) -> bool:
        """Send data of a connection, and return True if more is accepted."""
        if not self._smux.is_open(stream_id):
            return True
        with contextlib.suppress(Exception):  # a stream that is closing accepts no data
            self._smux.send_data(stream_id, data)
        self.writable()
        return self._smux.send_capacity(stream_id) > 0

    def _written(self, stream_id: int, length: int) -> None:
        self._smux.data_delivered(stream_id, length)
        if self._paused and self._smux.receiving_allowed():
            self._paused = False
            self._agent.resume_reading()

    def _lost(self, stream_id: int) -> None:
        if self._connections.pop(stream_id, None) is not None:
            self._smux.data_delivered(stream_id, self._smux.undelivered(stream_id))
            self._smux.close_stream(stream_id)
            self.writable()

    def writable(self) -> None:
        """Send as much as the channel accepts, or one message per millisecond at the official pace."""
        while self._smux.wants_to_send() and (room := self._pump.room()):
            data = self._smux.data_to_send(room)
            if not data:
                break
            self._agent.write(data)
            self._pump.sent()
        for event in self._smux.events():
            if isinstance(event, StreamUnblocked) and event.stream_id in self._connections:
                self._connections[event.stream_id].resume_reading()

    def size(self, columns: int, rows: int) -> None:
        """Ignore the size: there is no terminal."""

    def flag(self, flag: int) -> None:
        """Ignore the flag: streams end by FIN."""

    def stop(self) -> None:
        """Close every connection."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.abort()
        for task in list(self._tasks):
            task.cancel()


class BasicPortPlugin:
    """Plugin for one connection at a time, also for ssh. Implements plugin.Plugin."""

    def __init__(self, agent: PluginHost, properties: dict[str, str]) -> None:
        self._agent = agent
        self._destination = destination(agent, properties)
        self._pump = Pump(agent, self.writable)
        self._forwarding = properties.get("type") == "LocalPortForwarding"
        self._connection: Connection | None = None
        self._early = bytearray()
        self._outgoing = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._over = False

    def start(self) -> None:
        """Connect at once. A closed port ends the session with a reason."""
        self._dial(first=True)

    def _dial(self, *, first: bool) -> None:
        connection = Connection(received=self._received, written=self._written, lost=lambda: self._lost(connection))
        self._connection = connection
        self._task = asyncio.get_running_loop().create_task(self._connect(connection, first))

    async def _connect(self, connection: Connection, first: bool) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, *self._destination)
        except OSError as error:
            self._connection = None
            host, port = self._destination
            reason = _reason(error)
            text = f"Unable to connect to specified port: dial tcp {host}:{port}: connect: {reason}"
            if first or not self._forwarding:
                self._agent.finish(text)
            else:
                self._agent.send_flag(CONNECT_TO_PORT_ERROR)
            return
        early, self._early = bytes(self._early), bytearray()
        if early:
            connection.write(early)

    def receive(self, data: bytes) -> None:
        """Accept bytes for the connection. After a disconnect they open a new one."""
        if self._connection is None:
            if self._over:
                return
            self._early += data
            self._dial(first=False)
        elif self._early or not self._connection.connected:  # early data is written first
            self._early += data
        else:
            self._connection.write(data)
            if self._connection.waiting() > 1 << 20:
                self._agent.pause_reading()

    def _written(self, _length: int) -> None:
        self._agent.resume_reading()

    def _received(self, data: bytes) -> bool:
        self._outgoing += data
        self.writable()
        return not self._outgoing

    def writable(self) -> None:
        """Send as much as the channel accepts, or one message per millisecond at the official pace."""
        while self._outgoing and (room := self._pump.room()):
            self._agent.write(bytes(self._outgoing[:room]))
            del self._outgoing[:room]
            self._pump.sent()
        if not self._outgoing:
            if self._connection is not None:
                self._connection.resume_reading()
            if self._over:
                self._agent.finish()

    def _lost(self, connection: Connection) -> None:
        if self._connection is not connection:
            return
        self._connection = None
        self._over = not self._forwarding
        self.writable()

    def flag(self, flag: int) -> None:
        """Close the connection at DisconnectToPort: the client's program has closed its own."""
        if flag == DISCONNECT_TO_PORT and self._connection is not None:
            connection, self._connection = self._connection, None
            connection.finish()
            self._outgoing.clear()  # of the connection that has ended

    def size(self, columns: int, rows: int) -> None:
        """Ignore the size: there is no terminal."""

    def stop(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abort()


def _reason(error: OSError) -> str:
    """Return the system's message for a failed connection. asyncio would show the address in Python form."""
    number = error.errno or int((re.findall(r"\[Errno (\d+)\]", str(error)) or ["0"])[0])  # one of several addresses
    return (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()
