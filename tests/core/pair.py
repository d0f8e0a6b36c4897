"""Two channels joined by a perfect network in virtual time: tests read like sequence diagrams."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import DataReceived, Event

PLAIN = ChannelSettings(handshake=False)
PORT = ChannelSettings(session_type="Port", properties={"portNumber": "5432", "type": "LocalPortForwarding"})
START = 50.0  # seconds of the monotonic clock
WALL_CLOCK_START = 1_700_000_000_000

Frame = bytes | str
Filter = Callable[[Frame], list[Frame]]


@dataclass
class End:
    """One channel, what it told, and the frames on their way to the other."""

    channel: Channel
    events: list[Event] = field(default_factory=list)
    sent: list[Frame] = field(default_factory=list)
    filter: Filter = lambda frame: [frame]

    def data(self, payload_type: int = 1) -> bytes:
        """All stream bytes that came out."""
        return b"".join(e.data for e in self.events if isinstance(e, DataReceived) and e.payload_type == payload_type)


def make_channel(
    role: Role, settings: ChannelSettings, seed: int = 1, wall_clock: Callable[[], int] = lambda: WALL_CLOCK_START
) -> Channel:
    """A channel whose randomness and clock are made up."""
    source = random.Random(f"{role}{seed}")
    return Channel(
        role,
        session_id="user-0123456789abcdef0",
        target="i-0123456789abcdef0",
        settings=settings,
        random_bytes=source.randbytes,
        wall_clock=wall_clock,
    )


def connected_client(settings: ChannelSettings | None = None) -> Channel:
    """A client whose connection is open since `START`, and its opening message sent."""
    channel = make_channel(Role.CLIENT, settings or ChannelSettings())
    channel.connect("token", START)
    channel.messages_to_send(START)
    return channel


class Pair:
    """A client and an agent, `latency` seconds apart, connected from the start."""

    def __init__(
        self,
        settings: ChannelSettings = PORT,
        *,
        client: ChannelSettings | None = None,
        latency: float = 0.001,
        connect: bool = True,
    ) -> None:
        self.now = 100.0
        self.latency = latency
        self.client = End(make_channel(Role.CLIENT, client or settings))
        self.agent = End(make_channel(Role.AGENT, replace(settings)))
        self._on_the_way: list[tuple[float, int, End, Frame]] = []
        self._count = 0
        if connect:
            self.connect()

    def connect(self) -> None:
        """Open a connection at both ends."""
        self.client.channel.connect("client-token", self.now)
        self.agent.channel.connect("agent-token", self.now)
        self.exchange()

    def disconnect(self) -> None:
        """Cut it; what is on its way is lost."""
        self._on_the_way.clear()
        self.client.channel.receive_disconnect(self.now)
        self.agent.channel.receive_disconnect(self.now)

    def exchange(self) -> None:
        """Collect what both ends want to send and tell."""
        for end, peer in ((self.client, self.agent), (self.agent, self.client)):
            for frame in end.channel.messages_to_send(self.now):
                end.sent.append(frame)
                for copy in end.filter(frame):
                    self._count += 1
                    self._on_the_way.append((self.now + self.latency, self._count, peer, copy))
            end.events += end.channel.events(self.now)

    def step(self, until: float) -> bool:
        """Go to the next thing that happens, at most to `until`. Returns whether something did."""
        times = [
            t
            for t in (self.client.channel.next_timer(self.now), self.agent.channel.next_timer(self.now))
            if t is not None
        ]
        times += [at for at, *_ in self._on_the_way]
        if not times or min(times) > until:
            self.now = max(self.now, until)
            return False
        self.now = max(self.now, min(times))
        arrived = sorted(item[:2] for item in self._on_the_way if item[0] <= self.now)
        for key in arrived:
            item = next(item for item in self._on_the_way if item[:2] == key)
            self._on_the_way.remove(item)
            frame, end = item[3], item[2]
            if isinstance(frame, bytes) and b"agent_session_state" not in frame[:36]:
                end.channel.receive_message(frame, self.now)
        for end in (self.client, self.agent):
            end.channel.handle_timer(self.now)
        self.exchange()
        return True

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let virtual time pass, or less when `until` becomes true."""
        end = self.now + seconds
        steps = 0
        while not until() and self.step(end):
            steps += 1
            assert steps < 2_000_000, "the channels are spinning"

    def send(self, end: End, data: bytes, payload_type: int = 1) -> None:
        """Send everything, as fast as the channel takes it."""
        rest = memoryview(data)
        while rest:
            capacity = end.channel.send_capacity(self.now)
            if capacity:
                end.channel.send_data(bytes(rest[:capacity]), self.now, payload_type)
                rest = rest[capacity:]
                self.exchange()
            else:
                assert self.step(self.now + 60), "nothing moves any more"
