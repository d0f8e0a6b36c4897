"""Opens a WebSocket to an address: TCP, CONNECT to the proxy, TLS, the opening request."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Final, cast

from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError
from aws_runas.ssm.transport.address import Proxy, StreamAddress, proxy_for
from aws_runas.ssm.transport.event_loop import in_thread
from aws_runas.ssm.transport.kernel_pacing import paced
from aws_runas.ssm.transport.websocket import (
    PING_INTERVAL,
    PONG_TIMEOUT,
    WebSocket,
    WebSocketOwner,
    client_websocket,
)

DIAL_TIMEOUT: Final = 20.0  # seconds from the first packet to the response to the opening request
ADDRESS_TIMEOUT: Final = 4.0  # seconds for one address of several
MAX_PROXY_ANSWER: Final = 16 * 1024  # bytes of the response of a proxy to CONNECT


@dataclass(frozen=True, slots=True)
class Dialling:
    """Options for opening connections.

    Args:
        stream_host: dialled instead of the host in the StreamUrl, ``host`` or ``host:port`` (an interface endpoint).
        ca_bundle: certificates to trust instead of those of the system, file or directory (AWS_CA_BUNDLE, ca_bundle).
        environ: environment variables, for the proxy.
        timeout: seconds to open one connection.
        ping_interval, pong_timeout: seconds, see transport.websocket.
    """

    stream_host: str | None = None
    ca_bundle: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    timeout: float = DIAL_TIMEOUT
    ping_interval: float = PING_INTERVAL
    pong_timeout: float = PONG_TIMEOUT


class ProxyRefused(Exception):  # noqa: N818 - it is an answer
    """The proxy did not answer CONNECT with success."""


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return the context that verifies the service: with the system certificates, or only with those of the bundle.

    Raises:
        ConfigError: the bundle cannot be read or contains no certificate.
    """
    if not ca_bundle:
        return ssl.create_default_context()
    try:
        if os.path.isdir(ca_bundle):
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot use the certificates in {ca_bundle}: {(error.strerror or str(error)).lower()}",
            code="ca-bundle-invalid",
            hint="AWS_CA_BUNDLE (or ca_bundle of the profile) has to name a PEM file",
        ) from None


async def dial(
    address: StreamAddress,
    owner: WebSocketOwner,
    *,
    headers: Sequence[tuple[str, str]],
    dialling: Dialling,
    context: ssl.SSLContext | None,
) -> WebSocket:
    """Open a WebSocket to address.

    Args:
        address: destination.
        owner: owner of the WebSocket.
        headers: headers of the opening request.
        dialling: options of the connection.
        context: for wss, see tls_context; created once for all connections.

    Raises:
        HandshakeRefused: the server answered, but not with 101.
        ProxyRefused, OSError, ssl.SSLError, TimeoutError, websockets.exceptions.InvalidHandshake: as their names say.
    """
    transport = await open_transport(address, dialling=dialling, context=context)
    return await open_websocket(transport, address, owner, headers=headers, dialling=dialling)


async def open_transport(
    address: StreamAddress, *, dialling: Dialling, context: ssl.SSLContext | None
) -> asyncio.Transport:
    """Open the connection below a WebSocket: TCP, the proxy tunnel, TLS.

    The caller passes it to ``open_websocket`` soon, or closes it with ``abort``.

    Args:
        address: destination.
        dialling: timeouts, and the variables that name a proxy.
        context: for wss, see `tls_context`; None for ws.

    Raises:
        ProxyRefused, OSError, ssl.SSLError, TimeoutError: as their names say.
    """
    tls = context if address.secure else None
    proxy = proxy_for(address.host, address.port, secure=address.secure, environ=dialling.environ)
    async with asyncio.timeout(dialling.timeout):
        if proxy is not None:
            return await _through(proxy, address, tls, dialling)
        transport, _ = await _connect(asyncio.Protocol, address.host, address.port, tls)
        return transport


async def open_websocket(
    transport: asyncio.Transport,
    address: StreamAddress,
    owner: WebSocketOwner,
    *,
    headers: Sequence[tuple[str, str]],
    dialling: Dialling,
) -> WebSocket:
    """Send the opening request on a connection from ``open_transport``.

    Args:
        transport: result of ``open_transport``; it is closed if this fails.
        address: destination.
        owner: owner of the WebSocket.
        headers: headers of the opening request.
        dialling: timeouts and ping intervals.

    Raises:
        HandshakeRefused, OSError, TimeoutError, websockets.exceptions.InvalidHandshake: as their names say.
    """
    websocket = client_websocket(
        address,
        owner,
        headers=headers,
        ping_interval=dialling.ping_interval,
        pong_timeout=dialling.pong_timeout,
    )
    try:
        if transport.is_closing():
            raise ConnectionError("the connection was closed before it was used")
        transport.set_protocol(websocket)
        websocket.connection_made(transport)
        async with asyncio.timeout(dialling.timeout):
            await websocket.opened
    except BaseException:
        transport.abort()
        raise
    return websocket


async def _connect(
    make: Callable[[], asyncio.Protocol], host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.Transport, asyncio.Protocol]:
    """Connect to the first address of host that answers.

    The name is looked up in a daemon thread. The program waits for the threads of asyncio at exit, so a resolver that
    hangs would delay the exit.
    """
    loop = asyncio.get_running_loop()
    entries = await in_thread(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    for number, ip in enumerate(addresses):
        is_last = number == len(addresses) - 1
        try:
            async with asyncio.timeout(None if is_last else ADDRESS_TIMEOUT):
                if tls is None:
                    transport, protocol = await loop.create_connection(make, ip, port)
                    return paced(transport), protocol
                transport, _ = await loop.create_connection(asyncio.Protocol, ip, port)
                protocol = make()
                secured = await _start_tls(paced(transport), protocol, tls, host)
                protocol.connection_made(secured)
                return secured, protocol
        except ssl.SSLError:
            raise
        except OSError:  # includes TimeoutError
            if is_last:
                raise
    raise OSError(f"{host} has no address")


async def _start_tls(
    transport: asyncio.Transport, protocol: asyncio.Protocol, tls: ssl.SSLContext, host: str
) -> asyncio.Transport:
    secured = await asyncio.get_running_loop().start_tls(transport, protocol, tls, server_hostname=host)
    if secured is None:
        raise ConnectionError("the connection ended during the TLS handshake")
    return secured


async def _through(
    proxy: Proxy, address: StreamAddress, tls: ssl.SSLContext | None, dialling: Dialling
) -> asyncio.Transport:
    """Open a tunnel through the proxy, with TLS inside."""
    outer = tls_context(dialling.ca_bundle) if proxy.secure else None
    tunnel = _Connect(proxy, address)
    transport, _ = await _connect(lambda: tunnel, proxy.host, proxy.port, outer)
    try:
        await tunnel.answered
        if tls is None:
            return transport
        return await _start_tls(transport, asyncio.Protocol(), tls, address.host)
    except BaseException:
        transport.abort()
        raise


class _Connect(asyncio.Protocol):
    """Sends CONNECT and waits for the head of the response (RFC 9110 section 9.3.6)."""

    def __init__(self, proxy: Proxy, address: StreamAddress) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._proxy = proxy
        host = f"[{address.host}]" if ":" in address.host else address.host
        authority = f"{host}:{address.port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        self._request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self.answered.done():
            return
        head, end, _ = self._answer.partition(b"\r\n\r\n")
        if not end:
            if len(self._answer) > MAX_PROXY_ANSWER:
                self._fail("an endless answer")
            return
        status_line = head.split(b"\r\n", 1)[0].decode("latin-1")
        words = status_line.split(" ", 2)
        if len(words) >= 2 and words[0].startswith("HTTP/1.") and words[1].startswith("2") and len(words[1]) == 3:
            self.answered.set_result(None)
        else:
            self._fail(" ".join(words[1:]) or status_line)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self._fail(str(exc) if exc is not None else "it closed the connection")

    def _fail(self, answer: str) -> None:
        where = f"{self._proxy.host}:{self._proxy.port}"
        self.answered.set_exception(ProxyRefused(f"the proxy {where} would not connect: {answer[:120]}"))
        self.answered.exception()
