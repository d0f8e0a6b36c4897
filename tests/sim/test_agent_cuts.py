"""The agent's own connection is cut while it executes: no byte is doubled in silence (protocol facts 12.16 and 15)."""

from __future__ import annotations

import os
import random

import pytest

from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.smux.session import Side, SmuxSession
from aws_runas.ssm.core.smux.stream import StreamDataReceived
from aws_runas.ssm.transport.driver import AHEAD
from tests.core.pair import make_channel
from tests.sim.official_agent import OfficialAgent
from tests.sim.scenario import PROPERTIES
from tests.sim.world import DATA_KEY, ChannelNode, Link, World

SEEDS = range(int(os.environ.get("RUNAS_SIM_SEEDS", "12")))
PACED = ChannelSettings(session_type="Port", properties=PROPERTIES)
UNPACED = ChannelSettings(session_type="Port", properties=PROPERTIES, frame_rate=None)
ENCRYPTED = ChannelSettings(session_type="Standard_Stream", frame_rate=900.0)
ENCRYPTED_UNPACED = ChannelSettings(session_type="Standard_Stream", frame_rate=None)
SIZE = 200_000  # bytes of an upload


class PastingNode(ChannelNode):
    """A client whose user pastes, waits and pastes again: after each silence the pacer has saved up tokens."""

    def messages_to_send(self, now: float) -> list[bytes | str]:
        if self._paste_at(now) <= now:
            return super().messages_to_send(now)
        rest, self._rest = self._rest, memoryview(b"")
        frames = super().messages_to_send(now)
        self._rest = rest
        return frames

    def next_timer(self, now: float) -> float | None:
        timer, paste = super().next_timer(now), self._paste_at(now)
        if not self._rest or paste <= now:
            return timer
        return paste if timer is None else min(paste, timer)

    @staticmethod
    def _paste_at(now: float) -> float:
        """Now during the first 30 of each 120 ms, else the beginning of the next."""
        begin = now // 0.12 * 0.12
        return now if now < begin + 0.03 else begin + 0.12


class SmuxNode(ChannelNode):
    """A client whose application sends streams over smux, as a forward does."""

    def __init__(self, settings: ChannelSettings, seed: int, upload: bytes, frame_data: int) -> None:
        super().__init__(make_channel(Role.CLIENT, settings, seed), b"", ahead=AHEAD * (seed % 2))
        self.smux = SmuxSession(Side.CLIENT, frame_data=frame_data)
        self.payload_size = settings.payload_size
        self.stream = self.smux.open_stream()
        self.upload = upload
        self.dice = random.Random(seed)

    def messages_to_send(self, now: float) -> list[bytes | str]:
        """Queue what the channel has room for, in messages of the smux session's own making."""
        frames = super().messages_to_send(now)
        while self.started and not self.ended and self.channel.send_capacity(now):
            room = self.smux.send_capacity(self.stream)
            if room and self.upload:
                chunk = self.upload[: min(room, self.dice.choice((1, 100, 5000, 60_000)))]
                self.upload = self.upload[len(chunk) :]
                self.smux.send_data(self.stream, chunk)
            if not self.smux.wants_to_send():
                break
            self.channel.send_message(self.smux.message_to_send(self.payload_size), now)
        return frames + super().messages_to_send(now)


def agent_side(received: bytes) -> tuple[bytes, bool]:
    """What the agent's smux makes of its bytes: the stream's data, and whether the session broke."""
    server, data = SmuxSession(Side.SERVER, receive_buffer=1 << 30), bytearray()
    try:
        server.receive_data(received)
        broken = False
    except RemoteProtocolError:
        broken = True
    for event in server.events():
        if isinstance(event, StreamDataReceived):
            data += event.data
    return bytes(data), broken


def world_of(seed: int, client: ChannelNode, *, encrypted: bool = False) -> tuple[World, OfficialAgent]:
    dice = random.Random(seed)
    rng = random.Random(seed + 1)
    agent = OfficialAgent(rng, b"", "Standard_Stream", DATA_KEY) if encrypted else OfficialAgent(rng, b"")
    latency = dice.choice((0.0001, 0.005, 0.02))
    world = World(dice, client, agent, Link(latency=latency), Link(latency=latency))
    world.pauses = dice.random() < 0.5
    world.connect("client")
    world.connect("agent")
    for _ in range(dice.choice((2, 4, 8))):
        world.at(world.now + 0.01 + dice.random() * 0.5, lambda: world.cut("agent", dice.choice((0.001, 0.01, 0.2))))
    return world, agent


@pytest.mark.parametrize("settings", [PACED, ENCRYPTED], ids=["plain", "encrypted"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_paced_byte_stream_arrives_once_through_cuts_of_the_agent(seed: int, settings: ChannelSettings) -> None:
    upload = random.Random(seed).randbytes(SIZE)
    client = PastingNode(make_channel(Role.CLIENT, settings, seed), upload, ahead=AHEAD * (seed % 2))
    world, agent = world_of(seed, client, encrypted=settings is ENCRYPTED)
    assert world.run(60, lambda: len(agent.received) >= SIZE)
    assert agent.executed_twice == 0
    assert bytes(agent.received) == upload


@pytest.mark.parametrize("settings", [UNPACED, ENCRYPTED_UNPACED], ids=["plain", "encrypted"])
def test_bursts_show_the_trap_so_the_agent_plays_it(settings: ChannelSettings) -> None:
    """Without a pace, bytes are doubled in some of these worlds (a shell with `--rate off`; docs/protocol 8.11)."""
    doubled = 0
    for seed in range(12):
        client = PastingNode(make_channel(Role.CLIENT, settings, seed), random.Random(seed).randbytes(SIZE))
        world, agent = world_of(seed, client, encrypted=settings is ENCRYPTED_UNPACED)
        assert world.run(60, lambda agent=agent: len(agent.received) >= SIZE)  # type: ignore[misc]
        doubled += agent.executed_twice
    assert doubled


@pytest.mark.parametrize("settings", [PACED, UNPACED], ids=["paced", "unpaced"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_forward_is_whole_or_breaks_loudly(seed: int, settings: ChannelSettings) -> None:
    upload = random.Random(seed).randbytes(SIZE)
    frame_data = 8 * settings.payload_size if settings.frame_rate is None else settings.payload_size
    client = SmuxNode(settings, seed, upload, frame_data)
    world, agent = world_of(seed, client)

    def over() -> bool:
        data, broken = agent_side(bytes(agent.received))
        return broken or len(data) >= SIZE

    def sent() -> bool:
        return not client.upload and not client.smux.wants_to_send() and not client.channel.unacknowledged()

    assert world.run(60, sent)
    data, broken = agent_side(bytes(agent.received))
    assert broken or data == upload
    assert broken == bool(agent.executed_twice)
    assert upload.startswith(data) or broken
    assert over()


@pytest.mark.parametrize("seed", SEEDS)
def test_keystrokes_in_a_forward_are_whole_or_break_loudly(seed: int) -> None:
    """Single small frames: each would be a message of its own."""
    smux, dice = SmuxSession(Side.CLIENT), random.Random(seed)
    stream = smux.open_stream()
    messages, typed = [], b""
    for _ in range(60):
        text = dice.randbytes(dice.randrange(1, 5))
        typed += text
        smux.send_data(stream, text)
        while smux.wants_to_send():
            messages.append(smux.message_to_send(1024))
    doubled = dice.randrange(len(messages))
    received = b"".join(messages[: doubled + 1] + messages[doubled:])
    _, broken = agent_side(received)
    assert agent_side(b"".join(messages)) == (typed, False)
    assert broken
