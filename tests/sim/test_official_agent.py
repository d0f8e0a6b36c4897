"""How long things take against the model of the official agent; virtual time, so the same on every machine."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, ChannelFailed, Event
from tests.core.pair import make_channel
from tests.sim.official_agent import RESEND_INTERVAL, OfficialAgent
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


def test_five_per_cent_loss_costs_a_download_little_more_than_the_agent_s_resend_loop_takes() -> None:
    """Repetitions that leave late raise the agent's timeout to a second, which each lost resend then costs."""
    beyond = []
    for seed in range(15):
        world, client, _ = meet(seed, down=500_000, latency=0.02, drop=0.05)
        world.frame_limit = 965
        began = world.now
        assert world.run(60, lambda client=client: len(client.received) == 500_000)  # type: ignore[misc]
        beyond.append(world.now - began - world.lost_data * RESEND_INTERVAL)
    assert sum(beyond) / len(beyond) < 0.7  # 1.4 if repetitions wait for the bucket of tokens


def test_repeated_acknowledgements_of_a_long_download_break_no_frame_limit() -> None:
    world, client, _ = meet(1, down=3_000_000, latency=0.02, drop=0.05)
    world.frame_limit = 965
    assert world.run(120, lambda: len(client.received) == 3_000_000)
    assert world.most_in_a_second > 940


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


@dataclass
class Ending:
    """A shell that prints 60 KB and ends, around a cut of the client.

    Args:
        cut: seconds before the end of the output at which the client's connection is cut; None for no cut.
        gap: seconds without a connection; None if the agent's alone is cut.
        latency: seconds from one party to the other.
        slept: seconds that the client's machine sleeps at the cut; its monotonic clock does not count them.
        waits: False for an agent before 3.0.732.
        agent_gap: seconds without a connection of the agent, which is cut a moment later; None if it is not.
    """

    seed: int
    cut: float | None = None
    gap: float | None = 0.05
    latency: float = 0.02
    slept: float = 0.0
    waits: bool = True
    agent_gap: float | None = None

    def play(self) -> tuple[bool, ChannelNode]:
        """Return whether all came, and the client."""
        dice = random.Random(self.seed)
        output = dice.randbytes(60_000)
        agent = OfficialAgent(random.Random(self.seed + 1), output, session_type="", ends=True, waits=self.waits)
        channel = make_channel(
            Role.CLIENT,
            ChannelSettings(frame_rate=900.0),
            self.seed,
            wall_clock=lambda: int((world.now + agent.clock_ahead) * 1000),
        )
        client = ChannelNode(channel, b"")
        world = World(dice, client, agent, Link(self.latency), Link(self.latency))
        world.pauses, world.loses_what_left = dice.random() < 0.5, True
        world.tells_after = self.latency / 2
        world.connect("client")
        world.connect("agent")

        def cut() -> None:
            agent.clock_ahead += self.slept
            if self.gap is not None:
                world.cut("client", self.gap)
            if self.agent_gap is not None:
                gap = self.agent_gap
                world.at(world.now + 0.005, lambda: world.cut("agent", gap))

        if self.cut is not None:
            world.at(world.now + 1.06 - self.cut, cut)
        assert world.run(30, lambda: client.ended)
        return bytes(client.received) == output, client


def is_said(end: Event, *, waits: bool = True) -> bool:
    """Return whether the user is told that something is missing, or may be."""
    if isinstance(end, ChannelClosed):
        return end.end_may_be_missing and not (waits and end.did_not_wait)
    return isinstance(end, ChannelFailed)


def test_end_that_a_cut_has_taken_is_never_silent_and_a_whole_one_seldom_in_doubt() -> None:
    """The agent resends one message in 100 ms, and gives up after 2 s: what is lost then leaves no gap."""
    truncated = whole_ones = doubted = 0
    for seed in range(120):
        dice = random.Random(seed + 7)
        played = Ending(seed, dice.uniform(-0.05, 0.05), dice.uniform(0.01, 0.2), dice.choice((0.0005, 0.02, 0.05)))
        whole, client = played.play()
        end = client.events[-1]
        assert whole or is_said(end), played
        truncated += not whole and isinstance(end, ChannelClosed)
        whole_ones += whole
        doubted += whole and is_said(end)
    assert truncated  # so the agent plays it
    # What is left took the agent more than 1.8 of its 2 seconds to resend.
    assert doubted < whole_ones / 8, (doubted, whole_ones)


@given(
    cut=st.floats(-2.5, 0.2),
    gap=st.sampled_from((None, 0.0, 0.01, 0.2, 1.0, 3.0)),
    latency=st.sampled_from((0.0, 0.001, 0.02, 0.15, 0.4)),
    slept=st.sampled_from((0.0, 0.0, 0.3, 2.0, 3600.0)),
    waits=st.booleans(),
    agent_gap=st.sampled_from((None, None, 0.1, 1.0, 4.0, 9.0)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_truncated_end_is_never_silent(
    cut: float, gap: float | None, latency: float, slept: float, waits: bool, agent_gap: float | None, seed: int
) -> None:
    if gap is None:  # of an agent that never comes back, or ends without resending, nothing is known
        agent_gap, waits = min(agent_gap or 0.02, 1.0), True
    whole, client = Ending(seed, cut, gap, latency, slept, waits, agent_gap).play()
    assert whole or is_said(client.events[-1], waits=waits)


def test_session_without_a_cut_ends_without_doubt() -> None:
    for seed in range(5):
        whole, client = Ending(seed).play()
        assert whole
        assert client.events[-1] == ChannelClosed("")


@pytest.mark.parametrize("session_type", ["Port", ""])
@pytest.mark.parametrize("client_goes_too", [False, True])
def test_agent_whose_numbers_begin_again_ends_the_session(session_type: str, client_goes_too: bool) -> None:
    """A process of the agent that died took its numbers with it; another one would wait for our number 0 for ever."""
    for seed in range(5):
        dice = random.Random(seed)
        client = ChannelNode(make_channel(Role.CLIENT, ChannelSettings(), seed), dice.randbytes(5000))
        first = OfficialAgent(random.Random(seed + 1), dice.randbytes(20_000), session_type)
        world = World(dice, client, first, Link(0.01), Link(0.01))
        world.connect("client")
        world.connect("agent")
        assert world.run(10, lambda client=client: len(client.received) == 20_000)  # type: ignore[misc]
        world.cut("agent", 1.0)
        if client_goes_too:
            world.cut("client", 0.5)
        world.agent = OfficialAgent(random.Random(seed + 2), dice.randbytes(20_000), session_type)
        assert world.run(10, lambda client=client: client.ended)  # type: ignore[misc]
        end = client.events[-1]
        assert isinstance(end, ChannelFailed)
        assert "the agent has started again" in end.reason
        assert len(client.received) == 20_000  # nothing of the other one
