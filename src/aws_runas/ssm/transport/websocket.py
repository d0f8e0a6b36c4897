"""One WebSocket connection on a plain asyncio transport, for either end.

`websockets` supplies the protocol without I/O. This module adds the socket, one write per iteration of the event loop,
keep-alive and back-pressure. permessage-deflate is never offered: the service does not support it, and encrypted
payloads do not shrink.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, cast

from aws_runas.ssm.transport.address import StreamAddress
from aws_runas.ssm.transport.framing import MAX_MESSAGE, Incoming, frame_encoder
from aws_runas.ssm.transport.interfaces import Closed, HandshakeRefused, PeerSilent, WebSocketOwner
from aws_runas.ssm.transport.keepalive import PING_INTERVAL, PONG_TIMEOUT, KeepAlive, PeerDead
from aws_runas.ssm.transport.kernel_pacing import PacedTransport, pacing_of
from aws_runas.ssm.transport.websocket_protocol import (
    ClientProtocol,
    InvalidStatus,
    Request,
    Response,
    ServerProtocol,
    State,
    WebSocketURI,
)

__all__ = [
    "PING_INTERVAL",
    "PONG_TIMEOUT",
    "Closed",
    "HandshakeRefused",
    "PeerSilent",
    "WebSocket",
    "WebSocketOwner",
    "client_websocket",
    "server_websocket",
]

CLOSE_TIMEOUT: Final = 2.0  # seconds for the other side to answer a close frame
READ_SIZE: Final = 64 * 1024  # bytes of one read, into a reused buffer; asyncio itself allocates 256 KiB for each read
SLICE_SIZE: Final = 4096  # bytes processed before the time is checked
MAX_TURN: Final = 0.02  # seconds for processing one read before control returns to the event loop
TLS_CLOSE_TIMEOUT: Final = 0.3  # seconds for the TLS closing handshake

# Never the default loggers of the library: at debug level they print headers and payloads.
_QUIET = logging.Logger("aws_runas.websocket", logging.CRITICAL + 1)


class WebSocket(asyncio.BufferedProtocol):
    """An asyncio protocol over the sans-IO layer of `websockets`. Create it with client_websocket or server_websocket.

    ``await opened`` before sending. ``send`` queues messages. Those queued in one iteration of the event loop are sent
    in one write, at the latest at the end of that iteration.
    """

    def __init__(
        self,
        protocol: ClientProtocol | ServerProtocol,
        *,
        owner: WebSocketOwner | None = None,
        headers: Sequence[tuple[str, str]] = (),
        admit: Callable[[Request], WebSocketOwner | tuple[int, str]] | None = None,
        ping_interval: float = PING_INTERVAL,
        pong_timeout: float = PONG_TIMEOUT,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._owner = owner
        self._headers = headers
        self._admit = admit
        self._keepalive = KeepAlive(ping_interval, pong_timeout, self._loop.time(), time.time())
        self._keepalive_timer: asyncio.TimerHandle | None = None
        self._encode = frame_encoder(masked=isinstance(protocol, ClientProtocol))
        self._transport: asyncio.Transport | None = None
        self._pacing: PacedTransport | None = None
        self._outgoing: list[bytes] = []
        self._flush_due = False
        self._buffer = memoryview(bytearray(READ_SIZE))  # a view, because TLS in asyncio writes to slices of it
        self._unread = b""  # rest of the last read, for the next iteration of the event loop
        self._incoming = Incoming(protocol, self._handle_opening)
        self._reading_paused = False
        self._error: Exception | None = None
        self._closed = False
        self.writable = True
        self.opened: asyncio.Future[None] = self._loop.create_future()

    # --- called by the owner

    @property
    def last_received(self) -> float:
        """Loop time of the last byte from the other side."""
        return self._keepalive.last_received

    @property
    def is_open(self) -> bool:
        """True if the opening request was answered and the connection has not ended."""
        return self._protocol.state is State.OPEN and not self._closed

    def send(self, message: bytes | str) -> None:
        """Queue one message: bytes as a binary frame, str as a text frame. Dropped once the connection is closing."""
        if self._protocol._state is not State.OPEN:
            return
        self._outgoing.append(self._encode(message))
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self.flush)

    def send_message(self, message: bytes) -> None:
        """Send one message now, behind those that are queued."""
        if self._outgoing or self._transport is None:
            self.send_messages((message,))
        elif self._protocol._state is State.OPEN:
            self._transport.write(self._encode(message))

    def send_messages(self, messages: Sequence[bytes | str]) -> None:
        """Send messages in one write."""
        if self._protocol._state is State.OPEN:
            self._outgoing += map(self._encode, messages)
        self.flush()

    def send_spaced(self, messages: Sequence[bytes], seconds: float) -> bool:
        """Send messages that the kernel spaces, behind those that were sent before.

        Args:
            messages: messages of about the same size.
            seconds: time between two messages; see PacedTransport.space.

        Returns:
            False if the kernel does not space them; nothing is sent then.
        """
        transport, pacing = self._transport, self._pacing
        if transport is None or pacing is None or self._outgoing or self._protocol._state is not State.OPEN:
            return False
        if not pacing.space(len(messages[0]), seconds):
            return False
        for message in messages:
            transport.write(self._encode(message))
        return True

    def stop_spacing(self) -> None:
        """Undo send_spaced for what is sent from now on."""
        if self._pacing is not None:
            self._pacing.stop_spacing()

    def flush(self) -> None:
        """Write the queued messages in one call of the transport."""
        self._flush_due = False
        if self._outgoing and self._transport is not None:
            data = self._outgoing[0] if len(self._outgoing) == 1 else b"".join(self._outgoing)
            self._outgoing.clear()
            self._transport.write(data)

    def close(self, code: int = 1000, reason: str = "", *, wait: bool = True) -> None:
        """Close regularly: send the queued messages and a close frame, then close the socket.

        Args:
            code, reason: code and reason of the close frame.
            wait: give the other side CLOSE_TIMEOUT to answer; otherwise close the socket after the close frame.
        """
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._collect()
            self.flush()
            if not wait and self._transport is not None:
                self._transport.close()
            self._loop.call_later(CLOSE_TIMEOUT if wait else TLS_CLOSE_TIMEOUT, self.abort)
        elif self._protocol.state is State.CONNECTING:
            self.abort()

    def abort(self, error: Exception | None = None) -> None:
        """Drop the connection at once."""
        if error is not None and self._error is None:
            self._error = error
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Stop reading from the socket, which slows the other side down."""
        if self._transport is not None and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Undo pause_reading."""
        if self._transport is not None and self._reading_paused:
            self._reading_paused = False
            self._keepalive.last_received = self._loop.time()  # data may wait in the socket unread
            if self._unread:
                self._loop.call_soon(self._continue_reading)
            else:
                self._transport.resume_reading()

    def probe(self, timeout: float) -> None:
        """Probe the other side; if no byte arrives within ``timeout`` seconds, the connection is dropped."""
        if self._reading_paused or self._protocol.state is not State.OPEN:
            return
        self._protocol.send_ping(b"")
        self._collect()
        self.flush()
        self._keepalive.ping_sent(timeout, self._loop.time())
        self._set_keepalive_timer()

    def _set_keepalive_timer(self) -> None:
        if self._keepalive_timer is not None:
            self._keepalive_timer.cancel()
        self._keepalive_timer = self._loop.call_at(self._keepalive.next_timer(), self._check_peer)

    def _check_peer(self) -> None:
        listening = not self._reading_paused
        action = self._keepalive.handle_timer(self._loop.time(), time.time(), is_listening=listening)
        if isinstance(action, PeerDead):
            self.abort(PeerSilent(f"no answer for {action.silent_for:.0f} s"))
            return
        if action is not None:
            self.probe(action.timeout)
        self._set_keepalive_timer()

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._pacing = pacing_of(transport)
        if isinstance(self._protocol, ClientProtocol):
            request = self._protocol.connect()
            for name, value in self._headers:
                if name.lower() not in request.headers:
                    request.headers[name] = value
            self._protocol.send_request(request)
            self._collect()
            self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - a hint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Process bytes from the other side; a server also passes on data that arrived with the opening request."""
        self._keepalive.last_received = self._loop.time()
        if self._unread:
            self._unread += data
        elif len(data) <= SLICE_SIZE:
            messages: list[bytes | str] = []
            self._incoming.take(data, messages)
            self._process(messages)
        else:
            self._receive(data)

    def eof_received(self) -> bool:
        self._receive_unread()
        self._receive_end()
        return False

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self._owner is not None and not self._closed:
            self._owner.writing_resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._keepalive_timer is not None:
            self._keepalive_timer.cancel()
        self._receive_unread()
        self._receive_end()
        if not self.opened.done():
            refused = self._protocol.handshake_exc
            if isinstance(refused, InvalidStatus):
                body = bytes(refused.response.body or b"")[:500].decode("utf-8", "replace")
                self.opened.set_exception(HandshakeRefused(refused.response.status_code, body))
            else:
                fallback = ConnectionError("the connection ended before it was open")
                self.opened.set_exception(self._error or exc or refused or fallback)
            self.opened.exception()  # marks it as retrieved: there may be no waiter
            return
        if self._closed or self._owner is None:
            return
        self._closed = True
        received = self._protocol.close_rcvd
        if received is not None and self._error is None:
            self._owner.connection_closed(Closed(received.code, received.reason))
        else:
            error = self._error or exc or self._protocol.parser_exc
            self._owner.connection_closed(Closed(1006, "", error))

    # --- inside

    def _receive(self, data: bytes) -> None:
        """Process one read; if that takes too long, the rest waits for the next iteration of the event loop.

        A read of 256 KiB can hold 40,000 pings, which take seconds: signals and timers must not wait for them.
        """
        messages: list[bytes | str] = []
        data = self._incoming.take_usual(data, messages)
        end = self._loop.time() + MAX_TURN
        position = 0
        while position < len(data) and (not position or self._loop.time() < end):
            self._incoming.take(data[position : position + SLICE_SIZE], messages)
            position += SLICE_SIZE
        self._unread = data[position:]
        if self._unread and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_soon(self._continue_reading)
        self._process(messages)

    def _continue_reading(self) -> None:
        if self._reading_paused or self._closed:
            return  # resume_reading processes the rest
        unread, self._unread = self._unread, b""
        if unread:
            self._receive(unread)
        self._resume_if_read()

    def _resume_if_read(self) -> None:
        if not self._unread and not self._reading_paused and self._transport is not None:
            self._transport.resume_reading()

    def _receive_unread(self) -> None:
        """Process the rest of a read after the connection has ended."""
        unread, self._unread = self._unread, b""
        if unread:
            messages: list[bytes | str] = []
            self._incoming.take(unread, messages)
            self._process(messages)

    def _receive_end(self) -> None:
        messages: list[bytes | str] = []
        self._incoming.end(messages)
        self._process(messages)

    def _handle_opening(self, event: Request | Response) -> None:
        if isinstance(event, Request):
            self._answer_request(event)
        elif self._protocol.handshake_exc is None:
            self._open()

    def _process(self, messages: list[bytes | str]) -> None:
        """Deliver messages, send the answers of the library, and close at the end."""
        if messages and self._owner is not None and not self._closed:
            self._owner.messages_received(messages)
        if self._protocol.writes:
            self._collect()
            self.flush()
        over = self._protocol.eof_sent or self._protocol.close_rcvd is not None or self._protocol.parser_exc is not None
        if over and self._transport is not None:
            self._transport.close()

    def _answer_request(self, request: Request) -> None:
        """Accept or refuse the opening request of a client."""
        protocol = cast(ServerProtocol, self._protocol)
        answer = self._admit(request) if self._admit is not None else (404, "nothing here\n")
        if isinstance(answer, tuple):
            protocol.send_response(protocol.reject(*answer))
        else:
            self._owner = answer
            protocol.send_response(protocol.accept(request))
        self._collect()
        self.flush()
        if self._protocol.state is State.OPEN:
            self._open()

    def _open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        self._set_keepalive_timer()

    def _collect(self) -> None:
        """Queue output of the protocol (control frames, the handshake) after the queued messages."""
        self._outgoing += [data for data in self._protocol.data_to_send() if data]


def client_websocket(
    address: StreamAddress,
    owner: WebSocketOwner,
    *,
    headers: Sequence[tuple[str, str]] = (),
    ping_interval: float = PING_INTERVAL,
    pong_timeout: float = PONG_TIMEOUT,
) -> WebSocket:
    """Return the client end. Pass it to loop.create_connection, as transport.dialling does.

    Args:
        address: destination.
        owner: receives messages.
        headers: added to the opening request; Host and the WebSocket headers are not replaced.
        ping_interval: seconds of silence after which a ping is sent.
        pong_timeout: seconds after a ping without an answer, after which the connection is closed.
    """
    path, _, query = address.target.partition("?")
    uri = WebSocketURI(address.secure, address.host, address.port, path, query)
    protocol = ClientProtocol(uri, max_size=MAX_MESSAGE, logger=_QUIET)
    return WebSocket(protocol, owner=owner, headers=headers, ping_interval=ping_interval, pong_timeout=pong_timeout)


def server_websocket(
    admit: Callable[[Request], WebSocketOwner | tuple[int, str]],
    *,
    ping_interval: float = PING_INTERVAL,
    pong_timeout: float = PONG_TIMEOUT,
) -> WebSocket:
    """Return the server end. Pass it to loop.create_server as the protocol factory.

    Args:
        admit: called with the opening request (path, headers); returns the owner of the connection, or HTTP status and
            text. The owner may keep the WebSocket by closing over it.
        ping_interval, pong_timeout: as for `client_websocket`.
    """
    protocol = ServerProtocol(max_size=MAX_MESSAGE, logger=_QUIET)
    return WebSocket(protocol, admit=admit, ping_interval=ping_interval, pong_timeout=pong_timeout)
