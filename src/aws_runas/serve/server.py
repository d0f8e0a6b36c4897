"""Small HTTP server: a selector loop in one thread, with limits on all resources that a client can use.

Threads would need one per idle connection, and importing asyncio takes 65 ms instead of 5 ms (docs/adr/0801). Neither
must slow down the program that runs next to the server.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from aws_runas.dataclass import dataclass
from aws_runas.notices import never_wait
from aws_runas.serve.http import BadRequest, Connection, Request, RequestReader, Response, render

Answer = Callable[[Response], None]
# Called in the loop's thread: answers at once, or stores the function and calls it later, once, from any thread.
Handler = Callable[[Request, Answer], None]

SWEEP_EVERY = 1.0  # seconds between two checks for connections that have timed out


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for clients, in seconds and counts."""

    connections: int = 2048  # one more closes the connection that has waited longest without a complete request
    request_time: float = 10.0  # from the first byte of a request to its last
    idle_time: float = 75.0  # between requests
    write_time: float = 30.0  # until a response is received
    backlog: int = 512


class _Client:
    """Connection of a client."""

    def __init__(self, sock: socket.socket, connection: Connection, now: float) -> None:
        self.socket = sock
        self.reader = RequestReader(connection)
        self.output = bytearray()
        self.since = now  # start of the current phase: waiting, sending a request, receiving a response
        self.is_answering = False  # the handler has a request
        self.keep_alive = True
        self.head = False
        self.events = 0
        self.is_closed = False


class Server:
    """HTTP server that runs until it is stopped.

    Args:
        listeners: bound sockets, TCP or unix; the server listens on them and closes them at the end.
        handler: see Handler.
        limits: for clients.
        clock: monotonic seconds.
        before_close: called at the end, while the listeners are open.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        handler: Handler,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        before_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._listeners = list(listeners)
        self._before_close = before_close
        self._handler = handler
        self._limits = limits or Limits()
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._clients: dict[_Client, None] = {}  # ordered by `since`
        self._answers: deque[tuple[_Client, Response]] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._thread: int | None = None
        self._stopping = False
        for listener in self._listeners:
            listener.listen(self._limits.backlog)
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, listener)
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)

    def serve_forever(self) -> None:
        """Serve in this thread until `stop` is called; everything is closed on return."""
        never_wait()
        self._thread = threading.get_ident()
        next_sweep = self._clock() + SWEEP_EVERY
        try:
            while not self._stopping:
                for key, events in self._selector.select(SWEEP_EVERY if self._clients else None):
                    if isinstance(key.data, _Client):
                        self._on_client(key.data, events)
                    elif key.data is None:
                        self._on_wake()
                    else:
                        self._accept(key.data)
                now = self._clock()
                if now >= next_sweep:
                    self._sweep(now)
                    next_sweep = now + SWEEP_EVERY
        finally:
            self._before_close()
            self._close_all()

    def stop(self) -> None:
        """Make serve_forever return. Can be called from any thread and from a signal handler."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: the loop is awake anyway; closed: the loop has ended
            self._wake_write.send(b"\0")

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)
        while self._answers:
            client, response = self._answers.popleft()
            self._respond(client, response)
            self._advance(client)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):  # then other sockets are served
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError:  # out of descriptors, or the client has already closed the connection
                self._evict_oldest()
                return
            if len(self._clients) >= self._limits.connections:
                self._evict_oldest()
            sock.setblocking(False)
            try:
                client = _Client(sock, _connection(sock, address), self._clock())
            except OSError:
                sock.close()
                continue
            self._clients[client] = None
            self._watch(client, selectors.EVENT_READ)

    def _evict_oldest(self) -> None:
        oldest = next((client for client in self._clients if not client.is_answering), None)
        if oldest is not None:
            self._close(oldest)

    def _sweep(self, now: float) -> None:
        for client in list(self._clients):
            if client.is_answering:
                continue
            if client.output:
                limit = self._limits.write_time
            else:
                limit = self._limits.idle_time if client.reader.is_idle else self._limits.request_time
            if now - client.since <= limit:
                continue
            if client.output or client.reader.is_idle:
                self._close(client)
            else:
                client.keep_alive = False
                self._respond(client, Response(408, b"the request took too long\n"))

    def _on_client(self, client: _Client, events: int) -> None:
        if client.is_closed:
            return
        try:
            if events & selectors.EVENT_READ:
                data = client.socket.recv(65536)
                if not data:
                    self._close(client)
                    return
                if client.reader.is_idle:
                    self._stamp(client)
                client.reader.receive(data)
                self._advance(client)
            elif events & selectors.EVENT_WRITE:
                self._flush(client)
                self._advance(client)
        except BlockingIOError:
            return
        except OSError:
            self._close(client)

    def _advance(self, client: _Client) -> None:
        """Pass complete requests to the handler, one at a time, and read more if there is none."""
        while not client.is_closed and not client.is_answering and not client.output:
            try:
                request = client.reader.next_request()
            except BadRequest as error:
                client.keep_alive = False
                self._respond(client, Response(error.status, error.reason.encode() + b"\n"))
                return
            if request is None:
                self._watch(client, selectors.EVENT_READ)
                return
            client.is_answering = True
            client.keep_alive = request.keep_alive
            client.head = request.method == "HEAD"
            # Back-pressure: data that the client sends now stays in the kernel.
            self._call_handler(client, request)
            if client.is_answering:
                self._watch(client, 0)

    def _call_handler(self, client: _Client, request: Request) -> None:
        answered = False

        def answer(response: Response) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            if threading.get_ident() == self._thread:
                self._respond(client, response)
            else:
                self._answers.append((client, response))
                self._wake()

        try:
            self._handler(request, answer)
        except Exception:  # a bug: this request fails, the server does not
            answer(Response(500, b"internal error\n"))

    def _respond(self, client: _Client, response: Response) -> None:
        if client.is_closed:
            return
        client.is_answering = False
        client.output += render(response, keep_alive=client.keep_alive, head=client.head)
        self._stamp(client)
        try:
            self._flush(client)
        except OSError:
            self._close(client)

    def _flush(self, client: _Client) -> None:
        with contextlib.suppress(BlockingIOError):
            del client.output[: client.socket.send(client.output)]
        if client.output:
            self._watch(client, selectors.EVENT_WRITE)
        elif not client.keep_alive:
            self._finish(client)
        else:
            self._stamp(client)

    def _finish(self, client: _Client) -> None:
        """Close after the last response, without a reset, which would remove it from the client's buffer."""
        with contextlib.suppress(OSError):
            client.socket.shutdown(socket.SHUT_WR)
            for _ in range(16):
                if not client.socket.recv(65536):
                    break
        self._close(client)

    def _stamp(self, client: _Client) -> None:
        client.since = self._clock()
        self._clients.pop(client, None)
        self._clients[client] = None

    def _watch(self, client: _Client, events: int) -> None:
        if events == client.events or client.is_closed:
            return
        if client.events == 0:
            self._selector.register(client.socket, events, client)
        elif events == 0:
            self._selector.unregister(client.socket)
        else:
            self._selector.modify(client.socket, events, client)
        client.events = events

    def _close(self, client: _Client) -> None:
        if client.is_closed:
            return
        self._watch(client, 0)
        client.is_closed = True
        self._clients.pop(client, None)
        client.socket.close()

    def _close_all(self) -> None:
        for client in list(self._clients):
            self._close(client)
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()


def _connection(sock: socket.socket, address: tuple[str, int]) -> Connection:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return Connection("", 0, "", 0)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    local = sock.getsockname()
    return Connection(address[0], address[1], local[0], local[1])
