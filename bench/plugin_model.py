"""A Python model of the official plugin's documented policy, that is, of its waits, which any language would have.

It sends 1,024 bytes and then sleeps 1 ms. It has no window and no pacing. It acknowledges each message at once, but no
duplicates. Every 100 ms it checks only the oldest unacknowledged message, and sends it again if it is lost by timeout.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
import uuid
from collections.abc import Callable
from hashlib import sha256

from aws_runas.aws.session import StartedSession
from aws_runas.ssm.transport.address import parse_stream_url
from aws_runas.ssm.transport.websocket import Closed, WebSocket, client_websocket

HEAD = struct.Struct(">I32sIQqQ")
INPUT, ACKNOWLEDGE = b"input_stream_data".ljust(32), b"acknowledge".ljust(32)
SLEEP = 0.001
TICK = 0.1


def encode(kind: bytes, number: int, flags: int, payload_type: int, payload: bytes) -> bytes:
    """Encode one message."""
    head = HEAD.pack(116, kind, 1, time.time_ns() // 1_000_000, number, flags)
    return head + os.urandom(16) + sha256(payload).digest() + struct.pack(">II", payload_type, len(payload)) + payload


class PluginModel:
    """One session, with the methods that bench.channel_client needs."""

    def __init__(self, started: StartedSession, received: Callable[[bytes], None]) -> None:
        self._started = started
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._websocket: WebSocket | None = None
        self._number = 0
        self._expected = 0
        self._early: dict[int, bytes] = {}
        self._buffer: dict[int, tuple[bytes, float]] = {}
        self._smoothed, self._variation, self._timeout = 0.1, 0.0, 0.2
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self._resender = self._loop.create_task(self._resend())

    async def open(self) -> None:
        """Connect."""
        address = parse_stream_url(self._started.stream_url)
        _, self._websocket = await self._loop.create_connection(
            lambda: client_websocket(address, self), address.host, address.port
        )
        await self._websocket.opened
        identity = str(uuid.uuid4())
        self._websocket.send(
            f'{{"MessageSchemaVersion":"1.0","RequestId":"{identity}","TokenValue":"{self._started.token}",'
            f'"ClientId":"{identity}","ClientVersion":"1.2.677.0"}}'
        )
        await self.ready

    async def write(self, data: bytes) -> None:
        """Send 1,024 bytes at a time, each followed by a sleep."""
        for start in range(0, len(data), 1024):
            self._send(1, data[start : start + 1024])
            await asyncio.sleep(SLEEP)

    def send(self, data: bytes) -> None:
        """Send one message without a sleep after it."""
        self._send(1, data)

    async def close(self) -> None:
        """Close the connection."""
        self._resender.cancel()
        if self._websocket is not None:
            self._websocket.close(wait=False)
        await asyncio.sleep(0.05)

    def _send(self, payload_type: int, payload: bytes) -> None:
        message = encode(INPUT, self._number, 0, payload_type, payload)
        self._buffer[self._number] = message, self._loop.time()
        self._number += 1
        if self._websocket is not None:
            self._websocket.send(message)

    async def _resend(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            number = min(self._buffer, default=None)
            if number is not None and self._websocket is not None:
                message, sent = self._buffer[number]
                if self._loop.time() - sent > self._timeout:
                    self._websocket.send(message)

    # websocket.WebSocketOwner

    def messages_received(self, messages: list[bytes | str]) -> None:
        for data in messages:
            if not isinstance(data, bytes):
                continue
            kind = data[4:36].rstrip(b" \0")
            payload = data[int.from_bytes(data[:4], "big") + 4 :]
            if kind == b"acknowledge":
                self._acknowledged(payload)
            elif kind == b"output_stream_data":
                self._output(data)

    def writing_resumed(self) -> None:
        pass

    def connection_closed(self, closed: Closed) -> None:
        pass

    def _acknowledged(self, payload: bytes) -> None:
        number = int(payload.split(b'SequenceNumber":', 1)[1].split(b",", 1)[0])
        entry = self._buffer.pop(number, None)
        if entry is not None:
            sample = self._loop.time() - entry[1]
            self._variation = 0.75 * self._variation + 0.25 * abs(self._smoothed - sample)
            self._smoothed = 0.875 * self._smoothed + 0.125 * sample
            self._timeout = min(1.0, self._smoothed + max(0.01, 4 * self._variation))

    def _output(self, data: bytes) -> None:
        number = int.from_bytes(data[48:56], "big")
        if number < self._expected:
            return  # the plugin is silent here, which leaves the agent waiting forever
        identity = str(uuid.UUID(bytes=data[72:80] + data[64:72]))
        text = (
            f'{{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"{identity}",'
            f'"AcknowledgedMessageSequenceNumber":{number},"IsSequentialMessage":true}}'
        )
        if self._websocket is not None:
            self._websocket.send(encode(ACKNOWLEDGE, 0, 3, 0, text.encode()))
        self._early[number] = data
        while (message := self._early.pop(self._expected, None)) is not None:
            self._expected += 1
            self._take(int.from_bytes(message[112:116], "big"), message[120:])

    def _take(self, payload_type: int, payload: bytes) -> None:
        if payload_type == 5:
            answer = (
                b'{"ClientVersion":"1.2.677.0","ProcessedClientActions":[{"ActionType":"SessionType",'
                b'"ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}'
            )
            self._send(6, answer)
        elif payload_type == 7:
            self.ready.set_result(None)
        elif payload_type == 1:
            self._received(payload)
