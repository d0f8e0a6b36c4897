"""Commands without a terminal: output joined at the end, or apart while they run, and their exit status (spec 11)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence

from aws_runas.sandbox.agent.plugin import PluginHost
from aws_runas.sandbox.agent.process import environment, kill_session

OUTPUT, STDERR = 1, 11  # payload types
SIGNALS = {0x03: signal.SIGINT, 0x1C: signal.SIGQUIT}


class CommandPlugin:
    """Implements plugin.Plugin.

    Args:
        parameters: of the document: command, separateOutputStream, the two prefixes.
    """

    def __init__(self, agent: PluginHost, parameters: Mapping[str, Sequence[str]]) -> None:
        self._agent = agent
        self._command = " ".join(parameters["command"])
        self._separate = parameters["separateOutputStream"][0].lower() == "true"
        self._prefixes = {
            OUTPUT: parameters["stdoutSeparatorPrefix"][0].encode(),
            STDERR: parameters["stderrSeparatorPrefix"][0].encode(),
        }
        self._process: Process | None = None
        self._room = asyncio.Event()
        self._stopped = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the command."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        home = self._agent.machine.home
        self._process = process = await asyncio.create_subprocess_exec(
            "sh", "-c", self._command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE if self._separate else STDOUT,
            start_new_session=True, cwd=home, env=environment(home),
        )  # fmt: skip
        if self._stopped:
            self.stop()
            return
        if process.stdout is None:
            return
        if self._separate and process.stderr is not None:
            await asyncio.gather(self._copy(process.stdout, OUTPUT), self._copy(process.stderr, STDERR))
            status = await process.wait()
            self._agent.send_exit_code(status if status >= 0 else 128 - status)
        else:
            await self._send(await process.stdout.read(), OUTPUT)
            await process.wait()
        self._agent.finish()

    async def _copy(self, stream: asyncio.StreamReader, payload_type: int) -> None:
        prefix, fresh = self._prefixes[payload_type], True
        while data := await stream.read(65536):
            await self._send(prefix + data if fresh else data, payload_type)
            fresh = data.endswith(b"\n")

    async def _send(self, data: bytes, payload_type: int) -> None:
        while data:
            room = self._agent.capacity()
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            self._agent.write(data[:room], payload_type)
            data = data[room:]

    def writable(self) -> None:
        """The channel takes more."""
        self._room.set()

    def receive(self, data: bytes) -> None:
        """Input is only looked through for Ctrl-C and Ctrl-\\."""
        for octet, number in SIGNALS.items():
            if octet in data and self._process is not None:
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, number)

    def size(self, columns: int, rows: int) -> None:
        """There is no terminal."""

    def flag(self, flag: int) -> None:
        """Means nothing to a command."""

    def stop(self) -> None:
        """End the command and what it has started."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
        if self._process is not None and self._process.returncode is None:
            kill_session(self._process.pid)
