"""Standard input and output on the event loop, without side effects on other processes.

O_NONBLOCK belongs to the open file: set on a terminal, it would affect the user's shell. So descriptors stay blocking.
They are read when data is available, and a write is never larger than what is certain to be accepted at once.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

READ_SIZE: Final = 16 * 1024
WRITE_SIZE: Final = 4096  # PIPE_BUF: a pipe that polls as writable takes this much without blocking
HIGH_WATER: Final = 256 * 1024  # bytes waiting for a slow reader above which the session must pause


class InputStream:
    """Reads a descriptor.

    Args:
        received: called with bytes; called last with b"" at the end.
    """

    def __init__(self, descriptor: int, received: Callable[[bytes], None]) -> None:
        self._descriptor = descriptor
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._ended = False
        self._polled = not _is_always_ready(descriptor)
        self._may_read = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start reading, or continue after `stop`."""
        if self._ended or self._reading:
            return
        self._reading = True
        if self._polled:
            self._loop.add_reader(self._descriptor, self._readable)
            return
        self._may_read.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._read_file, name="stdin", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop reading for now."""
        if self._reading:
            self._reading = False
            if self._polled:
                self._loop.remove_reader(self._descriptor)
            else:
                self._may_read.clear()

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, READ_SIZE)
        except InterruptedError:
            return
        except OSError:
            data = b""  # EIO: the terminal is gone
        self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        if self._ended:
            return
        if not data:
            self.stop()
            self._ended = True
        self._received(data)

    def _read_file(self) -> None:
        """Read a regular file or /dev/null, which cannot be polled, one piece after another."""
        data = b"-"
        while data:
            self._may_read.wait()
            try:
                data = os.read(self._descriptor, READ_SIZE)
            except OSError:
                data = b""
            taken = threading.Event()
            try:
                self._loop.call_soon_threadsafe(self._take, data, taken)
            except RuntimeError:
                return
            taken.wait()

    def _take(self, data: bytes, taken: threading.Event) -> None:
        self._deliver(data)
        taken.set()


class OutputStream:
    """Writes to a descriptor without blocking the event loop.

    Args:
        congested: called with True when too much data waits, with False when it is written.
        broken: called once when the reader is gone or the file cannot be written; `error` contains the reason.
    """

    error: OSError | None = None

    def __init__(self, descriptor: int, congested: Callable[[bool], None], broken: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._congested = congested
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._is_congested = False
        self._is_broken = False
        self._is_watched = False  # True while the loop watches until the descriptor accepts more
        self._emptied: list[asyncio.Future[None]] = []
        self._poll: select.poll | None = None
        if not _is_always_ready(descriptor):
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLOUT)

    def write(self, data: bytes) -> None:
        """Write now or as soon as the reader accepts it."""
        if self._is_broken or not data:
            return
        if not self._waiting:
            data = self._write_some(data)
            if not data:
                return
            self._loop.add_writer(self._descriptor, self._writable)
            self._is_watched = True
        self._waiting.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._is_congested:
            self._is_congested = True
            self._congested(True)

    async def drained(self) -> None:
        """Wait until everything is written, or the reader is gone."""
        if self._waiting:
            waiter = self._loop.create_future()
            self._emptied.append(waiter)
            await waiter

    def close(self) -> None:
        """Drop output that is not written yet."""
        if self._is_watched:
            self._loop.remove_writer(self._descriptor)
            self._is_watched = False
        self._waiting.clear()
        self._size = 0
        for waiter in self._emptied:
            if not waiter.done():
                waiter.set_result(None)
        self._emptied.clear()

    def _writable(self) -> None:
        data = self._waiting.popleft()
        self._size -= len(data)
        rest = self._write_some(data)
        if rest:
            self._waiting.appendleft(rest)
            self._size += len(rest)
        if not self._waiting:
            self.close()
        if self._is_congested and self._size <= HIGH_WATER // 4:
            self._is_congested = False
            self._congested(False)

    def _write_some(self, data: bytes) -> bytes:
        """Write as much as is accepted at once; return the rest."""
        while data:
            if self._poll is not None and not self._poll.poll(0):
                return data
            try:
                data = data[os.write(self._descriptor, data[:WRITE_SIZE]) :]
            except BlockingIOError:
                return data
            except InterruptedError:
                continue
            except OSError as error:
                self._is_broken, self.error = True, error
                self.close()
                self._broken()
                return b""
        return data


def _is_always_ready(descriptor: int) -> bool:
    """Return True if epoll refuses the descriptor: a regular file, or a device that never blocks."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        return False
    return not (stat.S_ISCHR(mode) and os.isatty(descriptor))
