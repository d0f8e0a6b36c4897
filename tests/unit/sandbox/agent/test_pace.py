"""An agent at the official pace answers each message with a write of its own."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from aws_runas.sandbox.agent.machine import Machine
from aws_runas.sandbox.agent.session import AgentSession
from aws_runas.sandbox.options import Faults, SandboxOptions
from aws_runas.sandbox.services.link import Frames
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.session import Plan, Session
from aws_runas.ssm.core import events
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.message import ACKNOWLEDGE, message_type_of

MESSAGES = 3


class Service:
    """Session at the service: keeps what the agent writes, one list for each write."""

    def __init__(self) -> None:
        self.session_id = "user-0"
        self.plan = Plan("i-1", "AWS-StartPortForwardingSession", "Port", {"type": "LocalPortForwarding"})
        self.faults = Faults()
        self.client = None
        self.writes: list[Frames] = []

    def from_agent(self, frames: Frames) -> None:
        self.writes.append(frames)

    def client_writable(self) -> bool:
        return True

    def agent_connected(self, _agent: AgentSession) -> None:
        pass


async def writes_with_acknowledgements(pace: str, directory: Path) -> int:
    """Return how many writes acknowledge three messages that one read contains."""
    options = SandboxOptions(agent_pace=pace)
    machine = Machine("i-1", directory, directory, None, options, {}, cast(Moto, SimpleNamespace()))
    service = Service()
    agent = AgentSession(cast(Session, service), machine, "", lambda _: None)
    settings = ChannelSettings(frame_rate=None, acknowledge_delay=0.0)
    client = Channel(
        Role.CLIENT, session_id="user-0", target="i-1", settings=settings, random_bytes=os.urandom, wall_clock=lambda: 1
    )
    client.connect("token", time.monotonic())
    client.messages_to_send(time.monotonic())
    agent.start()
    started = False
    while not started:
        for frames in service.writes:
            for frame in frames:
                client.receive_message(frame, time.monotonic())
        service.writes.clear()
        started = any(isinstance(event, events.SessionStarted) for event in client.events(time.monotonic()))
        agent.receive(client.messages_to_send(time.monotonic()))
        await asyncio.sleep(0)
    service.writes.clear()
    for number in range(MESSAGES):  # NOP frames of smux
        client.send_message(bytes((1, 3, 0, 0, number, 0, 0, 0)), time.monotonic())
    agent.receive(client.messages_to_send(time.monotonic()))
    agent.stop()
    types = [[message_type_of(cast(bytes, frame)) for frame in frames] for frames in service.writes]
    assert sum(kinds.count(ACKNOWLEDGE) for kinds in types) == MESSAGES
    return sum(ACKNOWLEDGE in kinds for kinds in types)


@pytest.mark.parametrize(("pace", "writes"), [("official", MESSAGES), ("none", 1)])
def test_acknowledgements_leave_one_by_one_at_the_official_pace(pace: str, writes: int, tmp_path: Path) -> None:
    assert asyncio.run(writes_with_acknowledgements(pace, tmp_path)) == writes
