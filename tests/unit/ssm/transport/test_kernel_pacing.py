"""Messages that the kernel spaces: one segment each, all of them whole and in order, and only where that works."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import cast

import pytest

from aws_runas.ssm.transport import kernel_pacing
from aws_runas.ssm.transport.address import StreamAddress
from aws_runas.ssm.transport.dialling import Dialling, open_transport, tls_context
from aws_runas.ssm.transport.kernel_pacing import PacedTransport, paced, pacing_of
from tests.support.certificates import Certificates

SIZE = 1000  # bytes of a message
SPACING = 0.0008  # seconds

if not kernel_pacing.is_supported():
    pytest.skip("needs Linux 4.20 or later", allow_module_level=True)


class Far:
    """The other end of a connection, in the same event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer


Play = Callable[[asyncio.Transport, Far], Coroutine[object, object, None]]


def connect(play: Play, certificates: Certificates | None = None) -> None:
    """Open a connection as the product does, with TLS if there are certificates, and play at both ends."""

    async def run() -> None:
        accepted: asyncio.Queue[Far] = asyncio.Queue()
        tls = certificates.server if certificates else None
        server = await asyncio.start_server(
            lambda reader, writer: accepted.put_nowait(Far(reader, writer)), "localhost", 0, ssl=tls
        )
        port = server.sockets[0].getsockname()[1]
        address = StreamAddress(tls is not None, "localhost", port, "/")
        context = tls_context(str(certificates.authority)) if certificates else None
        transport = await open_transport(address, dialling=Dialling(environ={}), context=context)
        far = await accepted.get()
        try:
            await play(transport, far)
        finally:
            transport.abort()
            far.writer.transport.abort()
            server.close()
            await asyncio.sleep(0)

    asyncio.run(run())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["plain", "tls"])
def security(request: pytest.FixtureRequest, certificates: Certificates) -> Certificates | None:
    return certificates if request.param == "tls" else None


def segments_sent(transport: asyncio.Transport) -> int:
    info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    resent, sent = struct.unpack_from("=I", info, 100)[0], struct.unpack_from("=I", info, 156)[0]
    return cast(int, sent - resent)


async def begin(transport: asyncio.Transport, far: Far) -> PacedTransport:
    """Send as much as the kernel wants to see first, and switch spacing on."""
    pacing = pacing_of(transport)
    assert pacing is not None
    for _ in range(12):
        transport.write(b"x")
        await far.reader.readexactly(1)
    assert not pacing.space(SIZE, SPACING)  # what was written before is not spaced from what comes next
    assert pacing.space(SIZE, SPACING)
    return pacing


def test_messages_written_together_leave_as_a_segment_each(security: Certificates | None) -> None:
    async def play(transport: asyncio.Transport, far: Far) -> None:
        await begin(transport, far)
        before = segments_sent(transport)
        for _ in range(5):
            transport.write(bytes(SIZE))
        await far.reader.readexactly(5 * SIZE)
        assert segments_sent(transport) - before == 5

    connect(play, security)


def test_everything_arrives_in_order_though_the_reader_is_slow(security: Certificates | None) -> None:
    data = random.Random(1).randbytes(2_000_000)

    async def play(transport: asyncio.Transport, far: Far) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        pacing = await begin(transport, far)
        position = 0
        for number in range(2_000):
            if number == 1_500:
                pacing.stop_spacing()
            transport.write(data[position : position + SIZE])
            position += SIZE
        assert transport.get_write_buffer_size() > 0
        assert await far.reader.readexactly(len(data)) == data

    connect(play, security)


def test_new_connection_spaces_nothing(security: Certificates | None) -> None:
    async def play(transport: asyncio.Transport, far: Far) -> None:
        pacing = pacing_of(transport)
        assert pacing is not None
        assert not pacing.space(SIZE, SPACING)
        assert not pacing.space(SIZE, SPACING)  # the kernel would send the first ones at once

    connect(play, security)


def test_connection_that_has_ended_reports_it_once(security: Certificates | None) -> None:
    async def play(transport: asyncio.Transport, far: Far) -> None:
        ended: list[Exception | None] = []
        lost = asyncio.Event()

        class Protocol(asyncio.Protocol):
            def connection_lost(self, exc: Exception | None) -> None:
                ended.append(exc)
                lost.set()

        pacing = await begin(transport, far)
        transport.set_protocol(Protocol())
        far.writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        far.writer.transport.abort()
        while not lost.is_set():
            transport.write(bytes(SIZE))
            await asyncio.sleep(0)
        transport.write(bytes(SIZE))
        pacing.stop_spacing()
        assert not pacing.space(2 * SIZE, SPACING)
        await asyncio.sleep(0)
        assert len(ended) == 1

    connect(play, security)


def test_socket_that_is_not_tcp_spaces_nothing() -> None:
    async def run() -> None:
        near, far = socket.socketpair()
        with far:
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=near)
            wrapped = paced(transport)
            pacing = pacing_of(wrapped)
            assert pacing is not None
            assert not pacing.space(SIZE, SPACING)
            wrapped.write(b"whole")
            assert far.recv(100) == b"whole"
            wrapped.close()
            await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("platform", "release", "supported"),
    [
        ("linux", "6.1.0-28-amd64", True),
        ("linux", "4.20.17", True),
        ("linux", "5.15.153.1-microsoft-standard-WSL2", True),
        ("linux", "4.18.0-553.el8_10.x86_64", False),
        ("linux", "4.4.0", False),
        ("linux", "unknown", False),
        ("darwin", "23.5.0", False),
    ],
)
def test_only_kernels_that_space_each_segment_count(
    monkeypatch: pytest.MonkeyPatch, platform: str, release: str, supported: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    assert kernel_pacing.is_supported() is supported
