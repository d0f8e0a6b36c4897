"""Client, service and agent in virtual time, on a network that a seed makes bad."""

from __future__ import annotations

import heapq
import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from aws_runas.ssm.core.channel import Channel
from aws_runas.ssm.core.events import (
    ChannelClosed,
    ChannelFailed,
    DataKeyRequested,
    DataReceived,
    Event,
    SessionStarted,
)
from aws_runas.ssm.core.recovery.flight import Outgoing
from tests.core import naive

Frame = bytes | str
DATA_KEY = bytes(range(64))


class Node(Protocol):
    """What stands at an end of the network."""

    def connect(self, now: float) -> None: ...
    def receive_disconnect(self, now: float) -> None: ...
    def receive_message(self, data: Frame, now: float) -> None: ...
    def handle_timer(self, now: float) -> None: ...
    def next_timer(self, now: float) -> float | None: ...
    def messages_to_send(self, now: float) -> list[Frame]: ...


class ChannelNode:
    """One of our channels and an application that sends `outgoing` as soon as it may.

    Args:
        ahead: seconds for which messages are made ahead, as the driver of an exact event loop does.
    """

    def __init__(self, channel: Channel, outgoing: bytes, *, ahead: float = 0.0) -> None:
        self.channel = channel
        self.events: list[Event] = []
        self.received = bytearray()
        self.started = False
        self.ended = False  # the channel has said that it is over
        self._rest = memoryview(outgoing)
        self._connections = 0
        self._ahead_seconds = ahead
        self._ahead: deque[Outgoing] = deque()

    def offer(self, data: bytes) -> None:
        """Have the application send more."""
        self._rest = memoryview(bytes(self._rest) + data)

    def connect(self, now: float) -> None:
        self._connections += 1
        self.channel.connect(f"token {self._connections}", now)

    def receive_disconnect(self, now: float) -> None:
        self._ahead.clear()
        self.channel.receive_disconnect(now)

    def receive_message(self, data: Frame, now: float) -> None:
        self.channel.receive_message(data, now)

    def handle_timer(self, now: float) -> None:
        self.channel.handle_timer(now)

    def next_timer(self, now: float) -> float | None:
        timer = self.channel.next_timer(now)
        if not self._ahead:
            return timer
        return self._ahead[0].sent_at if timer is None else min(timer, self._ahead[0].sent_at)

    def messages_to_send(self, now: float) -> list[Frame]:
        frames: list[Frame] = []
        while self._ahead and self._ahead[0].sent_at <= now:
            message = self._ahead.popleft()
            self.channel.departed(message, now)
            frames.append(message.frame)
        frames += self._turn(now)
        if self._ahead_seconds and not self._ahead:
            self._ahead.extend(self.channel.messages_ahead(now, now + self._ahead_seconds))
        return frames

    def _turn(self, now: float) -> list[Frame]:
        frames = self.channel.messages_to_send(now)
        while True:
            for event in self.channel.events(now):
                self._take(event, now)
            if not self.started or not self._rest or self.ended:
                return frames + self.channel.messages_to_send(now)
            capacity = self.channel.send_capacity(now)
            if not capacity:
                return frames
            self.channel.send_data(bytes(self._rest[:capacity]), now)
            self._rest = self._rest[capacity:]
            frames += self.channel.messages_to_send(now)

    def _take(self, event: Event, now: float) -> None:
        if isinstance(event, DataReceived):
            assert not self.ended, "data after the end"
            self.received += event.data
            return
        self.events.append(event)
        if isinstance(event, SessionStarted):
            self.started = True
        elif isinstance(event, ChannelClosed | ChannelFailed):
            self.ended = True
        elif isinstance(event, DataKeyRequested):
            self.channel.provide_data_key(DATA_KEY, b"blob", now)

    def finished(self) -> bool:
        """Everything went out and was acknowledged."""
        return self.started and not self._rest and not self.channel.unacknowledged()


@dataclass
class Link:
    """One direction of one connection's way."""

    latency: float = 0.01
    jitter: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    stalled_until: float = 0.0
    last_arrival: float = 0.0


@dataclass
class World:
    """Runs the three parties. Times are virtual seconds.

    Args:
        frame_limit: frames in any second from the client above which the service ends the session; None for no limit.
    """

    rng: random.Random
    client: Node
    agent: Node
    to_agent: Link
    to_client: Link
    frame_limit: int | None = None
    pauses: bool = True
    keeps_what_is_under_way: bool = False  # a cut loses only what arrives before the party is back
    tells_after: float = 0.001  # seconds from the service to a party
    loses_what_left: bool = False  # a cut of the client loses what it sent within half the latency before
    lost_data: int = 0  # messages with output that never reached the client
    first_lost_at: float = 0.0
    now: float = 1000.0
    connected: dict[str, bool] = field(default_factory=lambda: {"client": False, "agent": False})
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _farewell: bytes = b""
    _cuts: list[float] = field(default_factory=list)  # when the client was cut
    _epoch: dict[str, int] = field(default_factory=lambda: {"client": 0, "agent": 0})
    over: bool = False
    agent_lost: bool = False
    frames_from_client: int = 0
    steps: int = 0
    most_in_a_second: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, action))

    def node(self, name: str) -> Node:
        """client or agent."""
        return self.client if name == "client" else self.agent

    # connections
    def connect(self, name: str) -> None:
        """Connect a party to the service."""
        if self.connected[name] or (name == "agent" and self.agent_lost):
            return
        self.connected[name] = True
        self._epoch[name] += 1
        self.node(name).connect(self.now)
        if name == "client" and self._farewell:
            self._deliver("client", self._farewell, self.now + max(0.01, self.tells_after))
        if self.pauses:
            other = "agent" if name == "client" else "client"
            if self.connected[other]:
                self.tell(name, "start_publication")
                self.tell(other, "start_publication")
            else:
                self.tell(name, "pause_publication")

    def cut(self, name: str, gap: float) -> None:
        """Break its connection, and connect again after the gap."""
        if not self.connected[name]:
            return
        self.connected[name] = False
        self._epoch[name] += 1
        if name == "client":
            self._cuts.append(self.now)
        self.node(name).receive_disconnect(self.now)
        self.at(self.now + gap, lambda: self.connect(name))

    def close(self, output: str) -> None:
        """The service ends the session, in its own form of message; a client that is away hears it when it is back."""
        self.over = True
        body = json.dumps({"MessageType": "channel_closed", "Output": output}).encode()
        frame = naive.build("channel_closed", 0, body, header_length=112, padding=b"\0")
        if self.connected["client"]:
            self._deliver("client", frame, self.now + max(0.01, 2 * self.tells_after))  # the agent tells the service
        self._farewell = frame

    def lose_agent(self) -> None:
        """Its connection is gone and will not come back."""
        if self.connected["agent"]:
            self.agent.receive_disconnect(self.now)
        self.connected["agent"] = False
        self._epoch["agent"] += 1
        self.agent_lost = True

    def tell(self, name: str, message_type: str) -> None:
        """The service says something of its own, in one of the forms that were seen."""
        body = b'{"MessageType":"%b","SchemaVersion":1}' % message_type.encode()
        header_length = self.rng.choice((112, 116))
        frame = naive.build(message_type, 0, body, header_length=header_length, padding=self.rng.choice((b"\0", b" ")))
        form = self.rng.randrange(3)
        if form == 1:
            frame = frame[:80] + bytes(32) + frame[112:]
        elif form == 2:
            frame = frame[: header_length + 4] + b"text"
        self._deliver(name, frame, self.now + self.tells_after)

    # frames
    def _deliver(self, name: str, frame: Frame, when: float, sender: str = "") -> None:
        epoch = self._epoch[name]
        cut = len(self._cuts)
        sent_at = self.now

        def is_lost_with_its_sender() -> bool:
            at_service = sent_at + (when - sent_at) / 2
            return self.loses_what_left and sender == "client" and any(at < at_service for at in self._cuts[cut:])

        def arrive() -> None:
            is_here = self._epoch[name] == epoch or self.keeps_what_is_under_way
            if self.connected[name] and is_here and not is_lost_with_its_sender():
                self.node(name).receive_message(frame, self.now)
            else:
                self._lose(frame)

        self.at(when, arrive)

    def _carry(self, sender: str, frame: Frame) -> None:
        """A frame of one party is at the service's door."""
        if sender == "client":
            self._count_frame()
        if isinstance(frame, str) or b"agent_session_state" in frame[:36]:
            return
        other = "agent" if sender == "client" else "client"
        if not self.connected[other] and not (other == "client" and self.keeps_what_is_under_way):
            self._lose(frame)
            if self.pauses:
                self.tell(sender, "pause_publication")
            return
        link = self.to_agent if other == "agent" else self.to_client
        for _ in range(2 if self.rng.random() < link.duplicate else 1):
            if self.rng.random() < link.drop:
                self._lose(frame)
                continue
            when = self.now + link.latency + self.rng.random() * link.jitter
            if self.rng.random() < link.reorder:
                when += self.rng.random() * 0.05
            elif not link.jitter:
                when = max(when, link.last_arrival)
                link.last_arrival = when
            self._deliver(other, frame, max(when, link.stalled_until), sender)

    def _lose(self, frame: Frame) -> None:
        if isinstance(frame, bytes) and frame[4:36].startswith(b"output_stream_data"):
            if not self.lost_data:
                self.first_lost_at = self.now
            self.lost_data += 1

    def _count_frame(self) -> None:
        self.frames_from_client += 1
        recent = self._recent
        recent.append(self.now)
        while recent[0] < self.now - 1:
            recent.popleft()
        self.most_in_a_second = max(self.most_in_a_second, len(recent))
        if self.frame_limit is not None:
            assert len(recent) <= self.frame_limit, f"{len(recent)} frames within a second"

    def _collect(self) -> None:
        for name in ("client", "agent"):
            frames = self.node(name).messages_to_send(self.now)
            if self.connected[name]:
                for frame in frames:
                    self._carry(name, frame)
            if name == "agent" and not self.over and getattr(self.agent, "ended", False):
                self.over = True
                self.close(getattr(self.agent, "farewell", "the agent has ended"))

    # time
    def run(self, seconds: float, until: Callable[[], bool]) -> bool:
        """Let time pass until something is true; returns whether it came true."""
        end = self.now + seconds
        stuck = 0
        while not until():
            self._collect()
            times = [t for t in (self.client.next_timer(self.now), self.agent.next_timer(self.now)) if t is not None]
            if self._queue:
                times.append(self._queue[0][0])
            if not times:
                return until()
            then = max(self.now, min(times))
            stuck = stuck + 1 if then == self.now else 0
            assert stuck < 20_000, "somebody spins"
            if then > end:
                self.now = end
                return until()
            self.now = then
            self.steps += 1
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
            self.client.handle_timer(self.now)
            self.agent.handle_timer(self.now)
        return True
