"""Measures how often a cut of the agent silently duplicates a message, for several pacing policies.

See protocol 8.11 and ADR 0106.

    .venv/bin/python -m bench.agent_cuts               in virtual time, against the model of the official agent
    .venv/bin/python -m bench.agent_cuts --sandbox     real processes: a forward, and the sandbox's agent

Each run uploads SIZE bytes, and the agent's connection is cut once during the upload. A run is whole, doubled (the
output is longer than the input, or differs from it), or loud (the smux session broke).
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from tests.core.pair import make_channel
from tests.sim.official_agent import OfficialAgent
from tests.sim.scenario import PROPERTIES
from tests.sim.test_agent_cuts import SmuxNode, agent_side
from tests.sim.world import ChannelNode, Link, World

from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.world import Sandbox, start_sandbox
from aws_runas.ssm.core import channel as core
from aws_runas.ssm.core.channel import ChannelSettings, Role
from aws_runas.ssm.core.recovery import pacing
from aws_runas.ssm.core.smux.session import SmuxSession

SIZE = 300_000  # bytes
RUNS = 40
LATE = 0.004  # seconds by which a timer on a busy machine is late at most; one in four is late
TARGET = "i-deadbeef"


@dataclass(frozen=True)
class Policy:
    """A pacing policy.

    Args:
        batch: messages for which a wake-up waits.
        burst: messages that may be sent together.
        spaced: one message at a time, with the product's spacing.
        window: unacknowledged bytes.
        straddles: smux frames straddle messages; False makes each message one frame.
    """

    name: str
    batch: int = 1
    burst: int = 64
    spaced: bool = False
    window: int = 256 * 1024
    straddles: bool = False


POLICIES = (
    Policy("four messages in one write, bursts of up to 64", batch=4),
    Policy("one at a time, evenly paced", spaced=True),
    Policy("two messages a wake-up, bursts of up to 4", batch=2, burst=4),
    Policy("one message a wake-up, bursts of up to 64 to catch up"),
    Policy("window of one message", window=1024),
    Policy("straddling smux frames, bursts as in the first row", batch=4, straddles=True),
    Policy("straddling smux frames, evenly paced (the product)", spaced=True, straddles=True),
)


class NoSpacing(pacing.DataSpacing):
    """Sends as many messages as the token bucket allows."""

    def __init__(self, *, paced: bool) -> None:  # noqa: ARG002 - as DataSpacing
        super().__init__(paced=False)


@contextmanager
def patched(policy: Policy) -> Iterator[None]:
    """Apply this policy to channels created in the context."""
    ready_at = pacing.Pacer.ready_at

    def batched(self: pacing.Pacer, waiting: int) -> float:
        return ready_at(self, max(waiting, policy.batch))

    with patch.object(pacing, "BURST", policy.burst), patch.object(pacing, "BATCH", policy.batch):
        if policy.spaced:
            yield
            return
        with patch.object(core, "DataSpacing", NoSpacing), patch.object(pacing.Pacer, "ready_at", batched):
            yield


class LateNode(ChannelNode):
    """A client on a busy machine: one timer in four is late."""

    dice: random.Random
    late: tuple[float | None, float] = (None, 0.0)

    def next_timer(self, now: float) -> float | None:
        due = super().next_timer(now)
        if due != self.late[0]:
            self.late = due, self.dice.random() * LATE if self.dice.random() < 0.25 else 0.0
        return None if due is None else due + self.late[1]


class LateSmuxNode(SmuxNode, LateNode):
    """The same client with a forward's streams."""


def simulate(policy: Policy, seed: int) -> str:
    """Simulate one upload in virtual time and return the result."""
    upload = random.Random(seed).randbytes(SIZE)
    settings = ChannelSettings(session_type="Port", properties=PROPERTIES, window_bytes=policy.window)
    node: LateNode
    if policy.straddles:
        node = LateSmuxNode(settings, seed, upload, settings.payload_size - 8)
    else:
        node = LateNode(make_channel(Role.CLIENT, settings, seed), upload)
    node.dice = dice = random.Random(seed)
    agent = OfficialAgent(random.Random(seed + 1), b"")
    world = World(dice, node, agent, Link(latency=0.0001), Link(latency=0.0001))
    world.connect("client")
    world.connect("agent")
    world.at(world.now + 0.02 + dice.random() * 0.25, lambda: world.cut("agent", 0.2))

    def over() -> bool:
        data = agent_side(bytes(agent.received)) if policy.straddles else (bytes(agent.received), False)
        return data[1] or (len(data[0]) >= SIZE and not node.channel.unacknowledged())

    world.run(60, over)
    data, broken = agent_side(bytes(agent.received)) if policy.straddles else (bytes(agent.received), False)
    return "loud" if broken else "whole" if data == upload else "doubled"


class Sink:
    """A port on the instance that keeps the data of one connection."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def receive(self, into: list[bytes]) -> None:
        """Accept one connection and read it to the end."""
        connection, _ = self._listening.accept()
        with connection:
            connection.settimeout(30)
            try:
                while data := connection.recv(65536):
                    into.append(data)
            except OSError:
                pass


def play_in_sandbox(policy: Policy, runs: int) -> Counter[str]:
    """Upload through a real forward to the sandbox's agent."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as home:
        base = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
        with start_sandbox(SandboxOptions(), base=base | {"HOME": home}) as sandbox:
            sink = Sink()
            index = str(POLICIES.index(policy))
            words = [sys.executable, "-m", "bench.agent_cuts", "--forward", index, str(sink.port)]
            with subprocess.Popen(words, env=sandbox.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
                assert run.stdout is not None
                port = int(run.stdout.readline().split(b" -> ")[0].rpartition(b":")[2])
                for number in range(runs):
                    counts[upload_once(sandbox, sink, port, random.Random(number))] += 1
                run.terminate()
    return counts


def upload_once(sandbox: Sandbox, sink: Sink, port: int, dice: random.Random) -> str:
    """Make one upload, cut the agent during it, and return the result."""
    sent, received = dice.randbytes(SIZE), list[bytes]()
    reader = threading.Thread(target=sink.receive, args=(received,), daemon=True)
    reader.start()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        cut = threading.Timer(0.02 + dice.random() * 0.25, lambda: sandbox.agents_leave(0.2))
        cut.start()
        connection.settimeout(30)
        is_reset = False
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + 10
            while sum(map(len, received)) < SIZE and time.monotonic() < deadline:
                connection.settimeout(0.05)
                try:
                    connection.recv(1)
                except TimeoutError:
                    continue
                break
        except OSError:
            is_reset = True
        cut.join()
        time.sleep(0.3)  # duplicated data arrives after the rest
    reader.join()
    data = b"".join(received)
    return "whole" if data == sent else "loud" if sent.startswith(data) or is_reset else "doubled"


def forward(policy: Policy, port: str) -> None:
    """Run as `aws-runas forward` with this policy."""
    from aws_runas.__main__ import main as cli

    one_frame: Callable[[SmuxSession, int], bytes] = SmuxSession.data_to_send
    with patched(policy):
        words = ["forward", "--window", str(policy.window), "my-profile", f"{TARGET}:{port}"]
        if policy.straddles:
            cli(words)
        else:
            with patch.object(SmuxSession, "message_to_send", one_frame):
                cli(words)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sandbox", action="store_true")
    parser.add_argument("--forward", nargs=2)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", type=int, action="append", help="number of a policy, from 0; all without it")
    options = parser.parse_args()
    if options.forward:
        forward(POLICIES[int(options.forward[0])], options.forward[1])
        return
    print(f"| policy, {options.runs} uploads with one cut of the agent | doubled in silence | loud end | whole |")
    print("|---|---|---|---|", flush=True)
    for policy in POLICIES if options.only is None else [POLICIES[index] for index in options.only]:
        if options.sandbox:
            counts = play_in_sandbox(policy, options.runs)
        else:
            with patched(policy):
                counts = Counter(simulate(policy, seed) for seed in range(options.runs))
        print(f"| {policy.name} | {counts['doubled']} | {counts['loud']} | {counts['whole']} |", flush=True)


if __name__ == "__main__":
    main()
