"""A terminal of the agent that takes no more input."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from aws_runas.sandbox.agent.machine import Machine
from aws_runas.sandbox.agent.plugin import PluginHost
from aws_runas.sandbox.agent.shell import ShellPlugin
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services.moto import Moto

INPUT = b"x" * 200_000  # more than any pseudo-terminal holds


async def blocked(manners: str, home: Path) -> list[str]:
    """Send input to a program that reads none and then all of it; return what the plugin told its reader."""
    calls: list[str] = []
    output = bytearray()
    finished = asyncio.get_running_loop().create_future()
    ready = asyncio.Event()

    def write(data: bytes) -> None:
        output.extend(data)
        if b"ready" in output:
            ready.set()

    machine = Machine("i-1", home, home, None, SandboxOptions(agent_manners=manners), {}, cast(Moto, SimpleNamespace()))
    agent = SimpleNamespace(
        machine=machine,
        capacity=lambda: 65536,
        write=write,
        finish=lambda *_: finished.set_result(None),
        block_reader=lambda: calls.append("block"),
        unblock_reader=lambda: calls.append("unblock"),
    )
    script = f"stty raw -echo; echo ready; read -r line < {home}/go; head -c {len(INPUT)} | wc -c"
    os.mkfifo(home / "go")
    plugin = ShellPlugin(cast(PluginHost, agent), ["sh", "-c", script])
    plugin.start()
    await asyncio.wait_for(ready.wait(), 30)
    plugin.receive(INPUT)
    calls.append("received")
    (home / "go").write_text("go\n")
    await asyncio.wait_for(finished, 30)
    assert str(len(INPUT)).encode() in output
    plugin.stop()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))  # the process is reaped
    return calls


def test_full_terminal_blocks_the_reader_until_the_program_reads(tmp_path: Path) -> None:
    assert asyncio.run(blocked("official", tmp_path)) == ["block", "received", "unblock"]


def test_full_terminal_blocks_nothing_with_kind_manners(tmp_path: Path) -> None:
    assert "block" not in asyncio.run(blocked("kind", tmp_path))
