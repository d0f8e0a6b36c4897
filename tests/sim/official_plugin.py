"""A model of what Amazon's plugin does on its data channel, written from the protocol facts and not from our core.

Each message is acknowledged at once, one that came before never again; what comes early is stored; every 100 ms the
oldest unacknowledged message alone is looked at (protocol facts 8). It plays a download: what it sends is its part of
the handshake.
"""

from __future__ import annotations

import json
import random
import uuid

from tests.core import naive
from tests.sim.official_agent import RESEND_INTERVAL

RTO = 0.2  # seconds before the first sample; a download gives it two


class OfficialPlugin:
    """A node of tests.sim.world."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.received = bytearray()
        self._expected = 0
        self._early: dict[int, naive.NaiveMessage] = {}
        self._next_number = 0
        self._outgoing: dict[int, tuple[bytes, float]] = {}
        self._frames: list[bytes | str] = []
        self._connected = False
        self._resend_at = float("inf")

    def connect(self, now: float) -> None:
        self._connected = True
        self._frames.append("opening")
        self._resend_at = now + RESEND_INTERVAL

    def receive_disconnect(self, now: float) -> None:
        self._connected = False
        self._frames.clear()

    def receive_message(self, data: bytes | str, now: float) -> None:
        if isinstance(data, str):
            return
        message = naive.parse(data)
        if message.message_type == "acknowledge":
            self._outgoing.pop(naive.parse_acknowledgement(data), None)
        elif message.message_type == "output_stream_data" and message.sequence_number >= self._expected:
            self._frames.append(naive.build_acknowledgement(message, self._new_id()))
            self._early[message.sequence_number] = message
            while (following := self._early.pop(self._expected, None)) is not None:
                self._expected += 1
                self._take(following, now)

    def _take(self, message: naive.NaiveMessage, now: float) -> None:
        if message.payload_type == 1:
            self.received += message.payload
        elif message.payload_type == 5:
            action = {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}
            answer = {"ClientVersion": "1.2.677.0", "ProcessedClientActions": [action], "Errors": None}
            payload = json.dumps(answer, separators=(",", ":")).encode()
            frame = naive.build("input_stream_data", self._next_number, payload, payload_type=6, flags=0)
            self._outgoing[self._next_number] = frame, now
            self._next_number += 1
            self._frames.append(frame)

    def _new_id(self) -> uuid.UUID:
        return uuid.UUID(int=self._rng.getrandbits(128), version=4)

    def handle_timer(self, now: float) -> None:
        if self._connected and now >= self._resend_at:
            self._resend_at = now + RESEND_INTERVAL
            if self._outgoing:
                frame, sent_at = self._outgoing[min(self._outgoing)]
                if now - sent_at > RTO:
                    self._frames.append(frame)

    def next_timer(self, now: float) -> float | None:
        return self._resend_at if self._connected and self._outgoing else None

    def messages_to_send(self, now: float) -> list[bytes | str]:
        frames, self._frames = self._frames, []
        return frames if self._connected else []
