"""An unpaced upload over a simulated path, in virtual time. The same numbers on every machine.

The peer handles one message after the other, 35 microseconds each. The tests of the core and bench.path use it.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import DataReceived, SessionStarted
from tests.core.pair import make_channel

WORK = 35e-6  # seconds a message
UNPACED = ChannelSettings(frame_rate=None, window_bytes=None, handshake=False)
CHUNK = bytes(65_536)
Frame = bytes | str


@dataclass
class Path:
    """One way, both directions alike; seconds and shares."""

    latency: float
    jitter: float = 0.0
    drop: float = 0.0
    stall: float = 0.0  # seconds that the peer stands still, once in 2,000 messages


class Upload:
    """A client that sends zeros as fast as it may to an agent behind a path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rng = random.Random(1)
        self.client: Channel = make_channel(Role.CLIENT, UNPACED)
        self.agent: Channel = make_channel(Role.AGENT, UNPACED)
        self.now = 10.0
        self.busy = 0.0
        self.arrived = 0
        self.count = 0
        self.started: float | None = None
        self.queue: list[tuple[float, int, str, Frame]] = []

    def push(self, when: float, to: str, frame: Frame) -> None:
        self.count += 1
        heapq.heappush(self.queue, (when, self.count, to, frame))

    def carry(self) -> None:
        for channel, to in ((self.client, "door"), (self.agent, "client")):
            for frame in channel.messages_to_send(self.now):
                if isinstance(frame, str) or b"session_state" in frame[:36] or self.rng.random() < self.path.drop:
                    continue
                self.push(self.now + self.path.latency + self.rng.random() * self.path.jitter, to, frame)

    def deliver(self) -> None:
        while self.queue and self.queue[0][0] <= self.now:
            _, _, to, frame = heapq.heappop(self.queue)
            if to == "client":
                self.client.receive_message(frame, self.now)
            elif to == "agent":
                self.agent.receive_message(frame, self.now)
            else:
                self.busy = max(self.busy, self.now) + WORK
                if self.path.stall and self.rng.random() < 1 / 2000:
                    self.busy += self.path.stall
                self.push(self.busy, "agent", frame)

    def step(self) -> None:
        times = [
            self.client.next_timer(self.now),
            self.agent.next_timer(self.now),
            self.queue[0][0] if self.queue else None,
        ]
        self.now = max(self.now, min(time for time in times if time is not None))
        self.deliver()
        self.client.handle_timer(self.now)
        self.agent.handle_timer(self.now)
        if any(isinstance(event, SessionStarted) for event in self.client.events(self.now)):
            self.started = self.now
        while self.started is not None and (capacity := self.client.send_capacity(self.now)):
            self.client.send_data(CHUNK[:capacity], self.now)
            self.carry()
        self.arrived += sum(len(event.data) for event in self.agent.events(self.now) if isinstance(event, DataReceived))
        self.carry()

    def run(self, total: int) -> float:
        """Send until so many bytes have arrived; returns the seconds that the upload took."""
        self.client.connect("token", self.now)
        self.agent.connect("token", self.now)
        self.agent.send_data(b"#", self.now)
        self.carry()
        while self.arrived < total:
            self.step()
        return self.now - (self.started or 0.0)
