"""Carrier P of `cp`: one connection through a port session to the file server's listener. Does no local networking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aws_runas.errors import SessionError
from aws_runas.ssm.copy.files import RemoteFiles
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.core.smux.session import Side, SmuxSession
from aws_runas.ssm.core.smux.stream import StreamDataReceived, StreamFinished
from aws_runas.ssm.transport.interfaces import DataChannel
from aws_runas.ssm.versions import MULTIPLEXING, later_than

FRAME_DATA: Final = 1000  # bytes; with its header, a frame does not fill a whole message, spec 15 point 2
QUEUE: Final = 256 * 1024  # bytes that wait for the channel


class PortLink:
    """Implements ByteLink and SessionHandler. Create it on the event loop.

    Args:
        token: sent before any other data.
        say: receives lines for the user.
    """

    def __init__(self, channel: DataChannel, token: bytes, say: Callable[[str], None]) -> None:
        self._channel = channel
        self._token = token
        self._say = say
        self._smux: SmuxSession | None = None
        self._stream = 0
        self._basic = False  # an old agent: the session is the connection
        self._queue = bytearray()
        self._room = asyncio.Event()
        self._room.set()
        self.files = RemoteFiles(self)
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(self, data: bytes) -> None:
        """See ByteLink.send."""
        view = memoryview(data)
        for at in range(0, len(view), 64 * 1024):
            await self._room.wait()
            self._queue += view[at : at + 64 * 1024]
            self._pump()

    # --- SessionHandler

    def session_started(self, event: SessionStarted) -> None:
        if later_than(event.agent_version, MULTIPLEXING):
            self._smux = SmuxSession(Side.CLIENT, frame_data=FRAME_DATA)
            self._stream = self._smux.open_stream()
        else:
            self._basic = True
        self._queue[:0] = self._token
        self._pump()
        if not self.started.done():
            self.started.set_result(None)

    def data_received(self, data: bytes, payload_type: int) -> None:  # noqa: ARG002 - the protocol's signature
        smux = self._smux
        if smux is None:
            self.files.receive_data(data)
            return
        try:
            smux.receive_data(data)
        except RemoteProtocolError as error:
            self._fail(f"the agent does not speak smux: {error}")
            return
        for event in smux.events():
            if isinstance(event, StreamDataReceived) and event.stream_id == self._stream:
                smux.data_delivered(self._stream, len(event.data))
                self.files.receive_data(event.data)
            elif isinstance(event, StreamFinished) and event.stream_id == self._stream:
                self._fail("the file server closed the connection")

    def exit_code_received(self, exit_code: int) -> None:
        pass  # port sessions do not send this message

    def flag_received(self, flag: int) -> None:
        self._fail(f"the agent cannot connect to the file server (flag {flag})")

    def writable(self) -> None:
        self._pump()

    def connection_lost(self, reason: str) -> None:
        self._say(f"connection lost ({reason}); resuming the session")

    def connection_regained(self, seconds: float) -> None:
        self._say(f"connection regained after {seconds:.1f} s")

    def session_ended(self, error: Exception | None, output: str) -> None:  # noqa: ARG002 - the error has it
        self._fail(str(error) if error is not None else "the session was ended from outside")

    # --- internal

    def _pump(self) -> None:
        smux = self._smux
        if smux is None:
            while self._queue and self._basic and (room := self._channel.send_capacity()):
                self._channel.write(bytes(self._queue[:room]))
                del self._queue[:room]
        else:
            while room := self._channel.send_capacity():
                if self._queue and smux.send_capacity(self._stream):
                    smux.send_data(self._stream, bytes(self._queue[: 64 * 1024]))
                    del self._queue[: 64 * 1024]
                data = smux.data_to_send(room)
                if not data:
                    break
                self._channel.write(data)
        if len(self._queue) > QUEUE:
            self._room.clear()
        else:
            self._room.set()

    def _fail(self, text: str) -> None:
        self._room.set()
        error = SessionError(text, code="session-ended")
        if not self.started.done():
            self.started.set_exception(error)
            self.started.exception()
        self.files.fail(error)
