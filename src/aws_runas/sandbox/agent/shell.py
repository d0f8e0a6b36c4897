"""Shells and interactive commands: a process on a PTY of its own (spec 11)."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import sys
import termios
from asyncio.subprocess import Process

from aws_runas.sandbox.agent.plugin import PluginHost
from aws_runas.sandbox.agent.process import environment, kill_session

READ_SIZE = 65536
# Makes the terminal it is given its own: on Linux a session's leader does so by opening it.
TAKE_TERMINAL = 'exec <"$0" >"$0" 2>&1; if [ -n "$1" ]; then exec sh -c "$1"; else exec sh; fi'


class ShellPlugin:
    """Implements plugin.Plugin.

    Args:
        command: for the shell to run; None for an interactive shell.
    """

    def __init__(self, agent: PluginHost, command: str | None) -> None:
        self._agent = agent
        self._command = command
        self._loop = asyncio.get_running_loop()
        self._master = -1
        self._process: Process | None = None
        self._tail = b""
        self._input = bytearray()
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
        self._master, slave = os.openpty()
        try:
            os.set_blocking(self._master, False)
            self.size(*self._size)
            home = self._agent.machine.home
            words = ["/bin/sh", "-c", TAKE_TERMINAL, os.ttyname(slave), self._command or ""]
            login = None if sys.platform == "linux" else lambda: os.login_tty(slave)
            self._process = await asyncio.create_subprocess_exec(
                *words, stdin=slave, stdout=slave, stderr=slave,
                start_new_session=login is None, preexec_fn=login, cwd=home, env=environment(home),
            )  # fmt: skip
        finally:
            os.close(slave)
        if self._stopped:
            self._end_process()
            return
        self._start_reading()
        self._write_input()
        await self._process.wait()
        self._exited = True
        if not self._reading:
            return  # writable or the last read will notice
        self._read()

    # --- output

    def _start_reading(self) -> None:
        if not self._reading and self._master >= 0:
            self._reading = True
            self._loop.add_reader(self._master, self._read)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._master)

    def _read(self) -> None:
        room = self._agent.capacity() - len(self._tail)
        if room <= 0:
            self._stop_reading()
            return
        try:
            data = os.read(self._master, min(READ_SIZE, room))
        except BlockingIOError:
            data = None
        except OSError:
            data = b""  # EIO: nobody has the terminal any more
        if data:
            whole, self._tail = split_runes(self._tail + data)
            if whole:
                self._agent.write(whole)
            if self._exited:
                self._loop.call_soon(self._read_last)
        elif data == b"" or self._exited:
            self._over()

    def _read_last(self) -> None:
        if self._reading:
            self._read()

    def _over(self) -> None:
        self._stop_reading()
        if self._tail and self._agent.capacity() >= len(self._tail):
            self._agent.write(self._tail)
            self._tail = b""
        self._agent.finish()

    def writable(self) -> None:
        """The channel takes more."""
        self._start_reading()
        if self._exited:
            self._read()

    # --- input

    def receive(self, data: bytes) -> None:
        """What the user typed."""
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
                return
            except OSError:
                self._input.clear()
                return
            del self._input[:written]
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._master)

    def size(self, columns: int, rows: int) -> None:
        """The terminal's size has changed."""
        self._size = (columns, rows)
        if self._master >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(
                    self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows & 0xFFFF, columns & 0xFFFF, 0, 0)
                )

    def flag(self, flag: int) -> None:
        """Means nothing to a shell."""

    def stop(self) -> None:
        """End the process and what it has started."""
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


def split_runes(data: bytes) -> tuple[bytes, bytes]:
    """Part an incomplete UTF-8 character off the end; what is no UTF-8 passes as it is (spec 11)."""
    for back in range(1, min(3, len(data)) + 1):
        octet = data[-back]
        if octet & 0xC0 == 0x80:
            continue
        needed = 4 if octet >= 0xF0 else 3 if octet >= 0xE0 else 2 if octet >= 0xC0 else 1
        if octet < 0xF8 and needed > back:
            return data[:-back], data[-back:]
        break
    return data, b""
