"""A WebSocket shares the event loop: whatever arrives in one read, timers and signals get their turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from aws_runas.ssm.transport.interfaces import Closed
from aws_runas.ssm.transport.websocket import WebSocket, server_websocket

PING = Frame(Opcode.PING, b"").serialize(mask=True, extensions=[])
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Wire(asyncio.Transport):
    """Keeps what is written, and whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.paused = False

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Owner:
    def __init__(self) -> None:
        self.messages: list[bytes | str] = []
        self.closed: Closed | None = None

    def messages_received(self, messages: list[bytes | str]) -> None:
        self.messages += messages

    def writing_resumed(self) -> None: ...

    def connection_closed(self, closed: Closed) -> None:
        self.closed = closed


def opened() -> tuple[WebSocket, Wire, Owner]:
    wire, owner = Wire(), Owner()
    websocket = server_websocket(lambda _: owner)
    websocket.connection_made(wire)
    websocket.data_received(REQUEST)
    wire.written = b""
    return websocket, wire, owner


def message(data: bytes) -> bytes:
    return Frame(Opcode.BINARY, data).serialize(mask=True, extensions=[])


@pytest.mark.parametrize("paused", [False, True])
def test_flood_of_pings_leaves_the_loop_its_turns_and_loses_nothing(paused: bool) -> None:
    async def run() -> None:
        websocket, wire, owner = opened()
        flood = 40_000
        websocket.data_received(PING * flood + message(b"behind the flood"))
        answered = len(wire.written) // 2
        assert 0 < answered < flood / 2, "one turn must not answer all"
        assert wire.paused
        assert owner.messages == []
        if paused:
            websocket.pause_reading()
            for _ in range(3):
                await asyncio.sleep(0)
            assert owner.messages == []
            websocket.resume_reading()
        for _ in range(40_000 // 10):  # a turn handles at least one slice
            await asyncio.sleep(0)
        assert owner.messages == [b"behind the flood"]
        assert len(wire.written) // 2 == flood
        assert not wire.paused

    asyncio.run(run())


def test_end_of_the_connection_delivers_the_rest_of_the_flood_first() -> None:
    async def run() -> None:
        websocket, _, owner = opened()
        websocket.data_received(PING * 40_000 + message(b"last"))
        websocket.connection_lost(None)
        assert owner.messages == [b"last"]
        assert owner.closed is not None

    asyncio.run(run())
