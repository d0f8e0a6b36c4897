"""Shells and interactive commands: a process on a separate PTY (spec 11).

With official manners, output passes through a UTF-8 reader, and a terminal that accepts no more input blocks the
channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import struct
import sys
import termios
from asyncio.subprocess import Process

from aws_runas.sandbox.agent.machine import kill_session
from aws_runas.sandbox.agent.output import OutputReader
from aws_runas.sandbox.agent.plugin import PluginHost

READ_SIZE = 65536
# Takes the terminal as its controlling terminal: on Linux a session leader does so by opening it.
TAKE_TERMINAL = 'exec <"$0" >"$0" 2>&1; exec "$@"'
FIRST_READ_DELAY = 1.0  # seconds that official agents wait before they read output
PACED_READ = 1024  # bytes that official agents read at once
READ_PAUSE = 0.001  # seconds that official agents sleep after each read


class ShellPlugin:
    """Process on a separate PTY. Implements plugin.Plugin.

    Args:
        agent: the session.
        words: the program and its arguments.
        typed: input that precedes the client's input, from the account's shell profile.
    """

    def __init__(self, agent: PluginHost, words: list[str], typed: bytes = b"") -> None:
        self._agent = agent
        self._words = words
        self._official = agent.machine.official
        self._paced = agent.machine.paced
        self._loop = asyncio.get_running_loop()
        self._master = -1
        self._process: Process | None = None
        self._output = OutputReader(official=self._official)
        self._input = bytearray(typed)
        self._ready = False  # the agent has started to read output
        self._reading = False
        self._writing = False
        self._exited = False
        self._stopped = False
        self._size = (100, 30)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the process."""
        self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        environ = self._agent.machine.environment()
        if shutil.which(self._words[0], path=environ["PATH"]) is None:
            text = f'Unable to start shell: exec: "{self._words[0]}": executable file not found in $PATH'
            self._agent.finish(text)
            return
        self._master, slave = os.openpty()
        try:
            os.set_blocking(self._master, False)
            self.size(*self._size)
            home = self._agent.machine.home
            words = ["/bin/sh", "-c", TAKE_TERMINAL, os.ttyname(slave), *self._words]
            login = None if sys.platform == "linux" else lambda: os.login_tty(slave)
            self._process = await asyncio.create_subprocess_exec(
                *words, stdin=slave, stdout=slave, stderr=slave,
                start_new_session=login is None, preexec_fn=login, cwd=home, env=environ,
            )  # fmt: skip
        finally:
            os.close(slave)
        if self._stopped:
            self._end_process()
            return
        self._write_input()
        if self._paced:
            await asyncio.sleep(FIRST_READ_DELAY)
        self._ready = True
        self._start_reading()
        await self._process.wait()
        self._exited = True
        if not self._reading:
            return  # `writable` or the last read will handle the exit
        self._read()

    # --- output

    def _start_reading(self) -> None:
        if self._ready and not self._reading and self._master >= 0:
            self._reading = True
            self._loop.add_reader(self._master, self._read)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._master)

    def _read(self) -> None:
        room = self._agent.capacity() - len(self._output.held)
        if room <= 0:
            self._stop_reading()
            return
        try:
            data = os.read(self._master, min(PACED_READ if self._paced else READ_SIZE, room))
        except BlockingIOError:
            data = None
        except OSError:
            data = b""  # EIO: no process has the terminal open
        if data:
            whole = self._output.read(data)
            if whole:
                self._agent.write(whole)
            if self._exited:
                self._loop.call_soon(self._read_last)
            elif self._paced:
                self._stop_reading()
                self._loop.call_later(READ_PAUSE, self._start_reading)
        elif data == b"" or self._exited:
            self._finish()

    def _read_last(self) -> None:
        if self._reading:
            self._read()

    def _finish(self) -> None:
        self._stop_reading()
        tail = self._output.end()
        if tail and self._agent.capacity() >= len(tail):
            self._agent.write(tail)
        self._agent.finish()

    def writable(self) -> None:
        """Continue to read output."""
        self._start_reading()
        if self._exited:
            self._read()

    # --- input

    def receive(self, data: bytes) -> None:
        """Write the client's input to the terminal."""
        self._input += data
        self._write_input()

    def _write_input(self) -> None:
        while self._input and self._master >= 0 and self._process is not None:
            try:
                written = os.write(self._master, self._input)
            except BlockingIOError:
                if not self._writing:
                    self._writing = True
                    self._loop.add_writer(self._master, self._write_input)
                    if self._official:
                        self._agent.block_reader()
                return
            except OSError:
                self._input.clear()
                return
            del self._input[:written]
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._master)
            self._agent.unblock_reader()

    def size(self, columns: int, rows: int) -> None:
        """Set the size of the terminal."""
        self._size = (columns, rows)
        if self._master >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(
                    self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows & 0xFFFF, columns & 0xFFFF, 0, 0)
                )

    def flag(self, flag: int) -> None:
        """Ignore the flag: a shell has no connection."""

    def stop(self) -> None:
        """End the process and everything that it started."""
        self._stopped = True
        self._end_process()

    def _end_process(self) -> None:
        if self._master >= 0:
            self._stop_reading()
            if self._writing:
                self._writing = False
                self._loop.remove_writer(self._master)
            os.close(self._master)
            self._master = -1
        if self._process is not None:
            kill_session(self._process.pid)
