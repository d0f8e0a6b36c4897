"""A forward as a user starts it, and servers for it to lead to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aws_runas.sandbox.world import Sandbox

TARGET = "i-deadbeef"
PROFILE = "my-profile"
DEADLINE = 30.0  # seconds; what takes longer hangs


@dataclass
class Server:
    """A TCP server on loopback, a thread for each connection."""

    handle: Callable[[socket.socket], None]
    family: int = socket.AF_INET
    accepted: int = 0
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listening = socket.socket(self.family, socket.SOCK_STREAM)
        self._listening.bind(("::1" if self.family == socket.AF_INET6 else "127.0.0.1", 0))
        self._listening.listen(512)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(DEADLINE)
            try:
                self.handle(connection)
            except OSError as error:
                self.errors.append(error)

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(DEADLINE)


@contextmanager
def serving(handle: Callable[[socket.socket], None], family: int = socket.AF_INET) -> Iterator[Server]:
    server = Server(handle, family)
    try:
        yield server
    finally:
        server.close()


def echo(connection: socket.socket) -> None:
    """Send everything back, then close."""
    while data := connection.recv(65536):
        connection.sendall(data)


def receive_all(connection: socket.socket) -> bytes:
    """Read until the other side has ended."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def receive_exactly(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        data = connection.recv(min(length, 65536))
        if not data:
            break
        parts.append(data)
        length -= len(data)
    return b"".join(parts)


class Forwarded:
    """A running `aws-runas forward`."""

    def __init__(self, sandbox: Sandbox, *words: str, environ: dict[str, str] | None = None, lines: int = 1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aws_runas", "forward", *words],
            env=sandbox.environ | (environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.errors = ""
        self._read = threading.Thread(target=self._read_errors, daemon=True)
        self._read.start()
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline().decode() for _ in range(lines)]
        if not self.lines[-1]:
            self.wait()
            raise AssertionError(f"it did not listen: {self.errors}")

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line.decode()

    @property
    def port(self) -> int:
        """The first port that it listens on."""
        return int(self.lines[0].split(" -> ")[0].rpartition(":")[2])

    def connect(self, timeout: float = DEADLINE) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def event(self, *names: str) -> dict[str, Any]:
        """The next event with one of these names, of a forward with --events."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            event: dict[str, Any] = json.loads(line)
            if event["event"] in names:
                return event
        raise AssertionError(f"no {' or '.join(names)} before the end")

    def wait_for_error(self, text: str) -> None:
        wait_until(lambda: text in self.errors, f"{text!r} on stderr, which has {self.errors!r}")

    def wait(self) -> int:
        status = self.process.wait(DEADLINE)
        self._read.join(DEADLINE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return status

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.wait()


@contextmanager
def forwarding(sandbox: Sandbox, *words: str, **options: Any) -> Iterator[Forwarded]:
    """Run a forward, and end it as a service manager does."""
    forward = Forwarded(sandbox, *words, **options)
    try:
        yield forward
    finally:
        with suppress(ProcessLookupError):
            forward.stop()


def wait_until(condition: Callable[[], bool], what: str, timeout: float = DEADLINE) -> None:
    """Wait for a condition of another process, which can tell us in no other way."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)
