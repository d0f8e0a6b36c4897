"""How long things take against the model of the official agent; virtual time, so the same on every machine."""

from __future__ import annotations

import random

import pytest

from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, ChannelFailed
from tests.core.pair import make_channel
from tests.sim.official_agent import OfficialAgent
from tests.sim.scenario import PROPERTIES
from tests.sim.world import ChannelNode, Link, World

PORT = ChannelSettings(session_type="Port", properties=PROPERTIES)
UNPACED = ChannelSettings(session_type="Port", properties=PROPERTIES, frame_rate=None, window_bytes=None)


def meet(
    seed: int,
    *,
    up: int = 0,
    down: int = 0,
    settings: ChannelSettings = PORT,
    latency: float = 0.0001,
    drop: float = 0.0,
) -> tuple[World, ChannelNode, OfficialAgent]:
    rng = random.Random(seed)
    client = ChannelNode(make_channel(Role.CLIENT, settings, seed), rng.randbytes(up))
    agent = OfficialAgent(random.Random(seed + 1), rng.randbytes(down))
    world = World(rng, client, agent, Link(latency=latency, drop=drop), Link(latency=latency, drop=drop))
    world.pauses = False
    world.connect("client")
    world.connect("agent")
    return world, client, agent


@pytest.mark.parametrize("seed", range(3))
def test_acknowledgements_never_meet_an_agent_that_has_not_stored_the_message(seed: int) -> None:
    world, client, agent = meet(seed, down=500_000)
    began = world.now
    assert world.run(60, lambda: len(client.received) == 500_000)
    assert world.run(60, lambda: not agent.unacknowledged())
    assert world.now - began < 0.6  # one that comes too early costs a tenth of a second each


@pytest.mark.parametrize("seed", range(3))
def test_one_per_cent_loss_costs_a_download_what_the_agent_s_resend_loop_takes(seed: int) -> None:
    world, client, _ = meet(seed, down=500_000, drop=0.01)
    began = world.now
    assert world.run(60, lambda: len(client.received) == 500_000)
    assert world.now - began < 2.0


@pytest.mark.parametrize("seed", range(5))
def test_acknowledgements_lost_at_a_cut_cost_no_tick_of_the_resend_loop(seed: int) -> None:
    """Only what was lost on its way to the client is resent: the rest is acknowledged before its turn comes."""
    world, client, agent = meet(seed, down=500_000, latency=0.02)
    world.pauses = world.loses_what_left = True
    world.at(world.now + 0.3 + seed / 100, lambda: world.cut("client", 0.09))
    assert world.run(60, lambda: len(client.received) == 500_000)
    assert world.lost_data > 10
    assert agent.resent <= world.lost_data + 1


@pytest.mark.slow
def test_repeated_acknowledgements_shorten_a_download_under_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(seed: int) -> float:
        world, client, _ = meet(seed, down=500_000, latency=0.02, drop=0.05)
        began = world.now
        assert world.run(60, lambda: len(client.received) == 500_000)
        return world.now - began

    repeated = sum(map(seconds, range(5)))
    monkeypatch.setattr("aws_runas.ssm.core.receiving.LOSS_MEMORY", float("-inf"))
    assert repeated < 0.95 * sum(map(seconds, range(5)))


@pytest.mark.parametrize(("drop", "limit"), [(0.01, 1.0), (0.05, 1.0)])
def test_lost_upload_is_recovered_in_a_fraction_of_a_second(drop: float, limit: float) -> None:
    world, client, agent = meet(1, up=4_000_000, settings=UNPACED, drop=drop)
    world.run(60, lambda: client.started)
    began = world.now
    assert world.run(60, lambda: len(agent.received) == 4_000_000)
    assert world.now - began < limit


def test_agent_that_is_not_ready_is_asked_again_within_milliseconds() -> None:
    waits = []
    for seed in range(10):
        world, client, agent = meet(seed, up=1)
        world.run(60, lambda client=client: client.started)  # type: ignore[misc]
        began = world.now
        assert world.run(60, lambda agent=agent: bool(agent.received))  # type: ignore[misc]
        waits.append(world.now - max(began, agent.ready_at))
    assert max(waits) < 0.2  # it may be 300 ms late, and is asked ever less often
    assert sorted(waits)[5] < 0.02


def ending(seed: int, cut: float | None) -> tuple[bool, ChannelNode]:
    """Play a shell that prints 60 KB and ends; returns whether all came, and the client.

    Args:
        cut: seconds before the end of the output at which the client's connection is cut for a moment; None for no cut.
    """
    dice = random.Random(seed)
    output = dice.randbytes(60_000)
    client = ChannelNode(make_channel(Role.CLIENT, ChannelSettings(frame_rate=900.0), seed), b"")
    agent = OfficialAgent(random.Random(seed + 1), output, session_type="", ends=True)
    world = World(dice, client, agent, Link(0.02), Link(0.02))
    world.pauses, world.loses_what_left = dice.random() < 0.5, True
    world.connect("client")
    world.connect("agent")
    if cut is not None:
        world.at(world.now + 1.06 - cut, lambda: world.cut("client", dice.choice((0.01, 0.05, 0.2))))
    assert world.run(30, lambda: client.ended)
    return bytes(client.received) == output, client


def test_end_that_a_cut_has_taken_is_never_silent() -> None:
    """The agent resends one message in 100 ms, and gives up after 2 s: what is lost then leaves no gap."""
    truncated = 0
    for seed in range(60):
        whole, client = ending(seed, random.Random(seed + 7).choice((-0.03, 0.0, 0.01, 0.03, 0.05)))
        end = client.events[-1]
        assert whole or isinstance(end, ChannelFailed) or (isinstance(end, ChannelClosed) and end.end_may_be_missing)
        truncated += not whole and isinstance(end, ChannelClosed)
    assert truncated  # so the agent plays it


def test_session_without_a_cut_ends_without_doubt() -> None:
    for seed in range(5):
        whole, client = ending(seed, None)
        assert whole
        assert client.events[-1] == ChannelClosed("")
