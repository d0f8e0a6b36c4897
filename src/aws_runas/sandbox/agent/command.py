"""Commands without a terminal: combined output at the end or separate streams meanwhile, and the exit status (spec 11).

With official manners, a command is split into words and not run by a shell, a signal goes to one process while
nothing else is read, output passes through a UTF-8 reader, and no output follows after a longer pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence

from aws_runas.sandbox.agent.machine import kill_session
from aws_runas.sandbox.agent.output import OutputReader
from aws_runas.sandbox.agent.plugin import PluginHost
from aws_runas.sandbox.agent.words import split_words

OUTPUT, STDERR = 1, 11  # payload types
SIGNALS = {0x03: signal.SIGINT, 0x1C: signal.SIGQUIT}
START_ERROR_DELAY = 1.0  # seconds between the status and the reason when a program cannot be started
LEXER_ERROR_DELAY = 3.0  # seconds until the reason is sent when a command cannot be split; agents since 3.2.532
FATAL_PAUSE = 0.3  # seconds of a pause after which the official agent sends no more output
WAIT_INTERVAL = 0.01  # seconds between two checks for the end of a process
RACE_TIME = 0.05  # seconds within which the two waiters of the official agent race for the status


class CommandPlugin:
    """Command without a terminal. Implements plugin.Plugin.

    Args:
        agent: the session.
        parameters: the parameters of the document: command, separateOutputStream and the two prefixes.
    """

    def __init__(self, agent: PluginHost, parameters: Mapping[str, Sequence[str]]) -> None:
        self._agent = agent
        self._official = agent.machine.official
        self._command = " ".join(parameters["command"])
        self._separate = parameters["separateOutputStream"][0].lower() == "true"
        self._prefixes = {
            OUTPUT: parameters["stdoutSeparatorPrefix"][0].encode(),
            STDERR: parameters["stderrSeparatorPrefix"][0].encode(),
        }
        self._process: Process | None = None
        self._room = asyncio.Event()
        self._stopped = False
        self._signal_waiter: asyncio.Task[float] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the command."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            words = split_words(self._command) if self._official else ["sh", "-c", self._command]
        except ValueError as error:
            await asyncio.sleep(LEXER_ERROR_DELAY)
            await self._send(f"{error}\n".encode(), STDERR)
            self._agent.finish(str(error))
            return
        try:
            process = await self._start(words)
        except OSError as error:
            await self._report_start_error(words, error)
            return
        self._process = process
        if self._stopped:
            self.stop()
            return
        if process.stdout is None:
            return
        if self._separate and process.stderr is not None:
            await asyncio.gather(self._copy(process.stdout, OUTPUT), self._copy(process.stderr, STDERR))
            self._agent.send_exit_code(await self._status(process))
        else:
            reader = OutputReader(official=self._official)
            await self._send(reader.read(await process.stdout.read()) + reader.end(), OUTPUT)
            await process.wait()
        self._agent.finish()

    async def _start(self, words: list[str]) -> Process:
        machine = self._agent.machine
        environ = machine.environment()
        program = shutil.which(words[0], path=environ["PATH"]) if words else None
        if program is None:
            raise FileNotFoundError("executable file not found in $PATH")
        return await asyncio.create_subprocess_exec(
            words[0], *words[1:], executable=program,
            stdin=DEVNULL, stdout=PIPE, stderr=PIPE if self._separate else STDOUT,
            start_new_session=True, cwd=machine.agent_directory if self._official else machine.home, env=environ,
        )  # fmt: skip

    async def _report_start_error(self, words: list[str], error: OSError) -> None:
        if self._separate:
            self._agent.send_exit_code(1)
            await asyncio.sleep(START_ERROR_DELAY)
        program = words[0] if words else ""
        reason = (error.strerror or str(error)).lower()
        text = f'Error occurred starting the command: exec: "{program}": {reason}\n'
        await self._send(text.encode(), STDERR if self._separate else OUTPUT)
        self._agent.finish()

    async def _status(self, process: Process) -> int:
        """Return the exit status once all output has been sent."""
        output_ended = asyncio.get_running_loop().time()
        status = await process.wait()
        if not self._official:
            return status if status >= 0 else 128 - status
        if self._signal_waiter is not None and output_ended - await self._signal_waiter < RACE_TIME:
            return 1  # two waiters race, and the one that reports the status has lost
        return status if status >= 0 else -1

    async def _copy(self, stream: asyncio.StreamReader, payload_type: int) -> None:
        reader = OutputReader(official=self._official)
        prefix, fresh = self._prefixes[payload_type], True
        while data := await stream.read(65536):
            data = reader.read(data)
            await self._send(prefix + data if fresh and data else data, payload_type)
            fresh = data.endswith(b"\n") if data else fresh
        await self._send(reader.end(), payload_type)

    async def _send(self, data: bytes, payload_type: int) -> None:
        while data:
            await self._wait_for_publication()
            room = self._agent.capacity()
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            self._agent.write(data[:room], payload_type)
            data = data[room:]

    async def _wait_for_publication(self) -> None:
        """Wait while the service pauses the agent. An official agent never sends again after a longer pause."""
        loop = asyncio.get_running_loop()
        fatal = loop.time() + FATAL_PAUSE
        while self._official and self._agent.is_paused():
            if loop.time() >= fatal:
                await loop.create_future()
            await asyncio.sleep(WAIT_INTERVAL)

    def writable(self) -> None:
        """Continue to send output."""
        self._room.set()

    def receive(self, data: bytes) -> None:
        r"""Send the signals of Ctrl-C and Ctrl-\. All other input is ignored."""
        for octet, number in SIGNALS.items():
            if octet in data and self._process is not None and self._process.returncode is None:
                self._signal(self._process, number)

    def _signal(self, process: Process, number: signal.Signals) -> None:
        with contextlib.suppress(OSError):
            if not self._official:
                os.killpg(process.pid, number)
                return
            os.kill(process.pid, number)
        self._agent.block_reader()
        if self._signal_waiter is None:
            self._signal_waiter = asyncio.get_running_loop().create_task(self._wait_after_signal(process))

    async def _wait_after_signal(self, process: Process) -> float:
        """Wait until the process has ended, let the agent read again, and return the loop time."""
        while process.returncode is None:  # noqa: ASYNC110 - Process.wait also waits for the pipes in some versions
            await asyncio.sleep(WAIT_INTERVAL)
        self._agent.unblock_reader()
        return asyncio.get_running_loop().time()

    def size(self, columns: int, rows: int) -> None:
        """Ignore the size: there is no terminal."""

    def flag(self, flag: int) -> None:
        """Ignore the flag: a command has no connection."""

    def stop(self) -> None:
        """Kill the command, and with kind manners also the processes that it started."""
        self._stopped = True
        for task in (self._task, self._signal_waiter):
            if task is not None:
                task.cancel()
        if self._process is not None and self._process.returncode is None:
            if self._official:
                with contextlib.suppress(OSError):
                    os.kill(self._process.pid, signal.SIGKILL)
            else:
                kill_session(self._process.pid)
