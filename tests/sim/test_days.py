"""A day in the life of a tunnel, hourly reconnections and all, in virtual time."""

from __future__ import annotations

import random

import pytest

from aws_runas.ssm.core.channel import ChannelSettings, Role
from tests.core.pair import make_channel
from tests.sim.official_agent import OfficialAgent
from tests.sim.scenario import PROPERTIES
from tests.sim.world import ChannelNode, Link, World

HOUR = 3600.0
PORT = ChannelSettings(session_type="Port", properties=PROPERTIES)


def hourly_closes(world: World) -> None:
    """The service closes each side's connection after an hour; each comes back when it can (spec 13.3)."""
    for hour in range(1, 24):
        world.at(world.now + hour * HOUR, lambda: world.cut("client", 0.4))
        world.at(world.now + hour * HOUR + 90, lambda: world.cut("agent", 0.3))


def test_idle_tunnel_survives_a_day_and_costs_nothing() -> None:
    client = ChannelNode(make_channel(Role.CLIENT, PORT), b"")
    agent = OfficialAgent(random.Random(1), b"")
    world = World(random.Random(2), client, agent, Link(), Link())
    world.connect("client")
    world.connect("agent")
    hourly_closes(world)
    world.run(24 * HOUR, lambda: False)
    assert client.started
    assert not client.ended
    assert world.frames_from_client < 24 * 4  # an opening each hour, and the handshake
    assert world.steps < 24 * 40
    client.offer(b"good morning")
    world.run(10, client.finished)
    assert bytes(agent.received) == b"good morning"


@pytest.mark.slow
def test_busy_tunnel_survives_a_day_with_every_byte_in_order() -> None:
    rng = random.Random(3)
    client = ChannelNode(make_channel(Role.CLIENT, PORT), b"")
    agent = ChannelNode(make_channel(Role.AGENT, PORT), b"")
    lossy = {"latency": 0.02, "jitter": 0.005, "drop": 0.002, "duplicate": 0.001}
    world = World(rng, client, agent, Link(**lossy), Link(**lossy), frame_limit=1000)
    world.connect("client")
    world.connect("agent")
    hourly_closes(world)
    up, down = bytearray(), bytearray()

    def work(size: int) -> None:
        more = rng.randbytes(size)
        up.extend(more)
        client.offer(more)
        answer = rng.randbytes(size // 3)
        down.extend(answer)
        agent.offer(answer)

    began = world.now
    for minute in range(0, 24 * 60, 10):
        world.at(began + minute * 60 + 1, lambda: work(100_000))
        # and something in the very second of a reconnection
        world.at(began + minute * 60 + 599.9 if minute % 60 == 50 else began + minute * 60 + 30, lambda: work(3_000))
    world.run(24 * HOUR + 60, lambda: False)
    assert not client.ended
    assert bytes(agent.received) == bytes(up)
    assert bytes(client.received) == bytes(down)
    assert client.channel.unacknowledged() == 0
    assert world.most_in_a_second <= 1000
