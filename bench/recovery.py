"""Downloads through cuts and loss against the model of the official agent, in virtual time: the same on every machine.

    .venv/bin/python -m bench.recovery

500 KB, 20 ms one way. An official agent resends one message in 100 ms, so what is under way at a cut takes most of the
time. A reconnect takes two round trips with a connection for ResumeSession at hand: one for the call, one for the
request that opens the stream.
"""

from __future__ import annotations

import random
import statistics

from tests.core.pair import make_channel
from tests.sim.official_agent import OfficialAgent
from tests.sim.scenario import PROPERTIES
from tests.sim.world import ChannelNode, Link, World

from aws_runas.ssm.core.channel import ChannelSettings, Role

SIZE = 500_000  # bytes
LATENCY = 0.02  # seconds, one way
AWAY = 2 * 2 * LATENCY + 0.01  # seconds of a reconnect: two round trips, and what the client itself takes
SEEDS = range(5)


def download(seed: int, cuts: int, away: float, drop: float = 0.0) -> float:
    """Return the seconds that one download takes.

    Args:
        seed: of the world.
        cuts: of the client's connection, spread over the first 0.7 s.
        away: seconds until the client is back after a cut.
        drop: share of frames lost, both ways.
    """
    rng = random.Random(seed)
    settings = ChannelSettings(session_type="Port", properties=PROPERTIES)
    client = ChannelNode(make_channel(Role.CLIENT, settings, seed), b"")
    agent = OfficialAgent(random.Random(seed + 1), rng.randbytes(SIZE))
    world = World(rng, client, agent, Link(latency=LATENCY, drop=drop), Link(latency=LATENCY, drop=drop))
    world.connect("client")
    world.connect("agent")
    began = world.now
    for number in range(cuts):
        world.at(began + 0.2 + 0.5 * (number + rng.random()) / cuts, lambda: world.cut("client", away))
    if not world.run(600, lambda: len(client.received) >= SIZE):
        raise AssertionError("the download hangs")
    return world.now - began


def main() -> None:
    """Print the table."""
    print("| download of 500 KB, 20 ms one way | seconds, median of 5 seeds |\n|---|---|")
    for cuts in (2, 10):
        seconds = statistics.median(download(seed, cuts, AWAY) for seed in SEEDS)
        print(f"| {cuts} cuts of the client | {seconds:.1f} |")
    for drop in (0.01, 0.05):
        seconds = statistics.median(download(seed, 0, 0.0, drop) for seed in SEEDS)
        print(f"| {drop:.0%} loss both ways | {seconds:.1f} |")


if __name__ == "__main__":
    main()
