"""Downloads with cuts and loss from the model of the official agent, in virtual time: the same on every machine.

    .venv/bin/python -m bench.recovery

500 KB, 20 ms one way. Two clients: ours, and the policy of the official plugin. "Bound" is the time that the agent
alone needs for lost messages: each transmission that did not arrive costs one tick of its resend loop, 100 ms.

Two kinds of cuts of the client:

- "relay": as the official pair was measured (protocol 14): the line delays only data, keeps data in flight, and
  loses data that arrives while the client is away. The agent is not paused. A reconnect on loopback takes 4 to 6 ms.
- "service": a cut loses data in flight, the reconnect takes two round trips, and the service pauses the agent.
"""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass

from tests.core.pair import make_channel
from tests.sim.official_agent import RESEND_INTERVAL, OfficialAgent
from tests.sim.official_plugin import OfficialPlugin
from tests.sim.scenario import PROPERTIES
from tests.sim.world import ChannelNode, Link, World

from aws_runas.ssm.core.channel import ChannelSettings, Role
from bench.results import Results

SIZE = 500_000  # bytes
LATENCY = 0.02  # seconds, one way
PUMP_INTERVAL = 0.0013  # seconds between two messages, as measured on the official agent: 0.77 MB/s
SEEDS = range(40)


@dataclass(frozen=True)
class Case:
    """A bad line.

    Args:
        cuts: of the client's connection, spread over 0.5 s.
        away: seconds until the client is back after a cut.
        drop: share of frames lost in both directions.
        is_relay: see above.
        frame_rate: frames per second of our client.
    """

    name: str
    cuts: int = 0
    away: float = 0.0
    drop: float = 0.0
    is_relay: bool = True
    frame_rate: float | None = ChannelSettings().frame_rate


@dataclass(frozen=True)
class Download:
    """The result of one download.

    Args:
        seconds: until the last byte.
        lost: data messages that did not arrive, including retransmissions.
        resent: messages that the agent sent again.
        first_lost: seconds until the first of them.
    """

    seconds: float
    lost: int
    resent: int
    first_lost: float

    @property
    def bound(self) -> float:
        """Return the seconds that the agent alone needs: its pump, or one tick of its resend loop per lost message."""
        return max(SIZE / 1024 * PUMP_INTERVAL, self.first_lost + self.lost * RESEND_INTERVAL) + LATENCY


CASES = (
    Case("2 cuts, relay, away 5 ms", cuts=2, away=0.005),
    Case("10 cuts, relay, away 5 ms", cuts=10, away=0.005),
    Case("2 cuts, relay, away 9 ms", cuts=2, away=0.009),
    Case("10 cuts, relay, away 9 ms", cuts=10, away=0.009),
    Case("2 cuts, service, away 90 ms", cuts=2, away=4 * LATENCY + 0.01, is_relay=False),
    Case("10 cuts, service, away 90 ms", cuts=10, away=4 * LATENCY + 0.01, is_relay=False),
    Case("1 % loss both ways", drop=0.01),
    Case("5 % loss both ways", drop=0.05),
    Case("5 % loss both ways, --rate off", drop=0.05, frame_rate=None),
)


def download(seed: int, case: Case, *, plugin: bool = False) -> Download:
    """Simulate one download.

    Args:
        seed: of the world.
        plugin: use the model of the official plugin as the client.

    Raises:
        AssertionError: the download hangs.
    """
    rng = random.Random(seed)
    settings = ChannelSettings(session_type="Port", properties=PROPERTIES, frame_rate=case.frame_rate)
    client = (
        OfficialPlugin(random.Random(seed + 2))
        if plugin
        else ChannelNode(make_channel(Role.CLIENT, settings, seed), b"")
    )
    agent = OfficialAgent(random.Random(seed + 1), rng.randbytes(SIZE), pump_interval=PUMP_INTERVAL)
    world = World(rng, client, agent, Link(LATENCY, drop=case.drop), Link(LATENCY, drop=case.drop))
    world.pauses = not case.is_relay
    world.keeps_what_is_under_way = case.is_relay
    world.loses_what_left = not case.is_relay
    world.connect("client")
    world.connect("agent")
    began = world.now
    for number in range(case.cuts):
        world.at(began + 0.2 + 0.5 * (number + rng.random()) / case.cuts, lambda: world.cut("client", case.away))
    if not world.run(120, lambda: len(client.received) >= SIZE):
        raise AssertionError("the download hangs")
    first_lost = world.first_lost_at - began if world.lost_data else 0.0
    return Download(world.now - began, world.lost_data, agent.resent, first_lost)


def row(case: Case) -> tuple[list[str], float]:
    """Measure one case; return its row of the table, and our median in seconds."""
    ours = [download(seed, case) for seed in SEEDS]
    lost, resent = statistics.median(each.lost for each in ours), statistics.median(each.resent for each in ours)
    bound = statistics.median(each.bound for each in ours)
    worst = max(each.seconds for each in ours)
    median = statistics.median(each.seconds for each in ours)
    cells = [case.name, f"{median:.1f} ({worst:.1f})", f"{bound:.1f}", f"{lost:.0f} / {resent:.0f}", plugin_cell(case)]
    return cells, median


def plugin_cell(case: Case) -> str:
    """Return the time for the policy of the official plugin, and the number of worlds in which it hangs."""
    seconds, hanging = [], 0
    for seed in SEEDS:
        try:
            seconds.append(download(seed, case, plugin=True).seconds)
        except AssertionError:
            hanging += 1
    hangs = f"hangs in {hanging} of {len(SEEDS)}"
    if not seconds:
        return hangs
    median = f"{statistics.median(seconds):.1f} ({max(seconds):.1f})"
    return f"{median}, {hangs}" if hanging else median


def main() -> None:
    """Print the table."""
    results = Results("recovery")
    measured = [row(case) for case in CASES]
    results.add("A download of 500 KB", "s", {cells[0]: median for cells, median in measured})
    columns = (f"ours: median (worst) of {len(SEEDS)}, s", "bound, s", "lost / resent", "plugin, s")
    results.table("Recovery", ("download of 500 KB, 20 ms one way", *columns), [cells for cells, _ in measured])
    results.write()


if __name__ == "__main__":
    main()
