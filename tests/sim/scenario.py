"""What a seed stands for: who talks, how bad the network is, what goes wrong when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.transport.driver import AHEAD
from tests.core.pair import make_channel
from tests.sim.official_agent import OfficialAgent
from tests.sim.world import DATA_KEY, ChannelNode, Link, World

PROPERTIES = {"portNumber": "5432", "type": "LocalPortForwarding"}
REBOOTED = "the instance was restarted"
SLOWEST = 1800.0  # virtual seconds: the official agent resends one message each 100 ms at best


@dataclass
class Outcome:
    """What was left when everything was over."""

    seed: int
    in_time: bool
    uploaded: bool
    downloaded: bool
    uploaded_so_far: bool
    downloaded_so_far: bool
    seconds: float
    client: ChannelNode
    notes: list[str] = field(default_factory=list)


def random_link(rng: random.Random) -> Link:
    """From a good line to a bad one."""
    link = Link(latency=rng.choice((0.0, 0.001, 0.01, 0.04, 0.15)))
    if rng.random() < 0.5:
        link.jitter = rng.choice((0.001, 0.01, 0.05))
    if rng.random() < 0.6:
        link.drop = rng.choice((0.001, 0.01, 0.05, 0.15))
    if rng.random() < 0.3:
        link.duplicate = rng.choice((0.01, 0.1))
    if rng.random() < 0.3:
        link.reorder = rng.choice((0.01, 0.1, 0.5))
    return link


def build(seed: int) -> tuple[World, ChannelNode, OfficialAgent | ChannelNode, bytes, bytes]:
    """The world of a seed, its client and agent, and what each of them sends."""
    rng = random.Random(seed)
    upload = rng.randbytes(rng.choice((0, 1, 5_000, 100_000, 300_000)))
    download = rng.randbytes(rng.choice((1, 5_000, 60_000, 150_000)))
    paced = rng.random() < 0.5
    official = rng.random() < 0.5
    # A generator of its own decides for official agents: the worlds of seeds that failed once must stay as they are.
    encrypted = random.Random(f"kms {seed}").random() < 0.3 if official else rng.random() >= 0.7
    kms = "" if not encrypted else "arn:aws:kms:us-east-1:111122223333:key/k"
    settings = ChannelSettings(
        session_type="Standard_Stream" if kms else "Port",
        properties=None if kms else PROPERTIES,
        kms_key_id=kms,
        frame_rate=900.0 if paced else None,
        window_bytes=256 * 1024 if paced else None,
        payload_size=rng.choice((1024, 1024, 1536, 100)),
    )
    plain = official and rng.random() < 0.3 and not kms
    ahead = random.Random(f"ahead {seed}").choice((0.0, AHEAD))
    client = ChannelNode(make_channel(Role.CLIENT, settings, seed), upload, ahead=ahead)
    agent: OfficialAgent | ChannelNode
    if official:
        session_type = "" if plain else settings.session_type
        agent = OfficialAgent(random.Random(seed + 1), download, session_type, DATA_KEY if kms else b"")
    else:
        agent = ChannelNode(make_channel(Role.AGENT, settings, seed), download)
    to_agent, to_client = random_link(rng), random_link(rng)
    world = World(rng, client, agent, to_agent, to_client, frame_limit=1000 if paced else None)
    world.pauses = rng.random() < 0.7
    world.loses_what_left = random.Random(f"left {seed}").random() < 0.5  # of its own, as with `encrypted`
    add_faults(world, rng)
    add_reboot(world, random.Random(-seed))
    return world, client, agent, upload, download


def add_faults(world: World, rng: random.Random) -> None:
    """Up to five things go wrong in the first twenty seconds; both parties arrive when they like."""
    world.at(world.now, lambda: world.connect("client"))
    world.at(world.now + rng.choice((0.0, 0.05, 2.0)), lambda: world.connect("agent"))
    for _ in range(rng.randrange(6)):
        when = world.now + rng.random() ** 2 * 20
        side = rng.choice(("client", "client", "agent"))
        fault = rng.choice(("cut", "cut", "stall", "pause", "pause for good"))
        length = rng.choice((0.01, 0.3, 2.0, 30.0))
        world.at(when, lambda fault=fault, side=side, length=length: begin(world, fault, side, length))  # type: ignore[misc]


def add_reboot(world: World, rng: random.Random) -> None:
    """In one of twenty worlds the instance reboots: its agent is gone, and some time later the service notices."""
    if rng.random() < 0.05:
        when = world.now + rng.random() * 5
        world.at(when, lambda: world.lose_agent())
        world.at(when + rng.choice((0.1, 20.0)), lambda: world.close(REBOOTED))


def begin(world: World, fault: str, side: str, length: float) -> None:
    """A fault begins."""
    if fault == "cut":
        world.cut(side, length)
    elif fault == "stall":
        link = world.to_agent if side == "agent" else world.to_client
        link.stalled_until = world.now + min(length, 5.0)
    elif world.connected[side]:
        world.tell(side, "pause_publication")
        # an agent that is paused for good waits for input that an idle client has none of
        if fault == "pause" or side == "agent":
            world.at(world.now + length, lambda: resume(world, side))


def resume(world: World, side: str) -> None:
    """A pause ends, if its connection is still there."""
    if world.connected[side]:
        world.tell(side, "start_publication")


def play(seed: int) -> Outcome:
    """Run a seed to its end."""
    world, client, agent, upload, download = build(seed)
    began = world.now

    def over() -> bool:
        return client.ended or (
            client.finished()
            and agent.finished()
            and len(agent.received) >= len(upload)
            and len(client.received) >= len(download)
        )

    in_time = world.run(SLOWEST, over)
    return Outcome(
        seed,
        in_time,
        bytes(agent.received) == upload,
        bytes(client.received) == download,
        upload.startswith(agent.received),
        download.startswith(client.received),
        world.now - began,
        client,
        [type(agent).__name__, str(world.to_agent), str(world.to_client), f"{world.frames_from_client} frames"],
    )
