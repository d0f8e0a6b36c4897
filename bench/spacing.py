"""Measures how far apart the messages of a paced upload leave, spaced by the kernel and by the event loop.

See ADR 0216. A relay stands between `forward` and the sandbox, and notes when it reads what. With the rights of root,
it has priority, so that it is seldom late itself.

    .venv/bin/python -m bench.spacing
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from unittest.mock import patch
from urllib.parse import urlsplit

from aws_runas.sandbox.options import Faults, SandboxOptions
from aws_runas.sandbox.world import Sandbox
from aws_runas.ssm.transport import kernel_pacing
from bench.loaded import start_loaded_sandbox

SIZE = 3_000_000  # bytes
MESSAGE = 1100  # bytes; a message of an upload is longer, anything else in this direction is shorter
TARGET = "i-deadbeef"


class Relay:
    """Passes on connections and notes when data of the client is read."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:" + str(self._listening.getsockname()[1])
        self.reads: list[tuple[float, int]] = []  # monotonic seconds, bytes
        self._upstream = upstream
        self._names = self.address.encode(), "{}:{}".format(*upstream).encode()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listening.accept()
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        service = socket.create_connection(self._upstream)
        service.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._back, args=(service, client), daemon=True).start()
        with suppress(OSError), service:
            while data := client.recv(65536):
                self.reads.append((time.monotonic(), len(data)))
                service.sendall(data.replace(*self._names, 1))  # the sandbox serves no other host

    def _back(self, service: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), client:
            while data := service.recv(65536):
                client.sendall(data)


def sink() -> int:
    """Return a port on which one connection is read to its end."""
    listening = socket.create_server(("127.0.0.1", 0))

    def read() -> None:
        connection, _ = listening.accept()
        with connection:
            while connection.recv(65536):
                pass

    threading.Thread(target=read, daemon=True).start()
    return int(listening.getsockname()[1])


def measure(sandbox: Sandbox, way: str) -> list[str]:
    """Make one upload and return the cells of its row."""
    service = urlsplit(sandbox.endpoint)
    relay = Relay((service.hostname or "", service.port or 0))
    words = [sys.executable, "-m", "bench.spacing", "--forward", way, str(sink()), relay.address]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(words, env=sandbox.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        port = int(run.stdout.readline().split(b" -> ")[0].rpartition(b":")[2])
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(bytes(SIZE))
            while sum(size for _, size in list(relay.reads)) < SIZE:
                time.sleep(0.01)
        seconds = time.monotonic() - begin
        run.terminate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    data = [(when, size) for when, size in relay.reads if size > MESSAGE]
    gaps = sorted((later - earlier) * 1000 for (earlier, _), (later, _) in itertools.pairwise(data))
    together = sum(size > 2 * MESSAGE for _, size in data) / len(data)
    wakes = (after.ru_nvcsw - before.ru_nvcsw) / (SIZE / 1e6)
    quantiles = " / ".join(f"{gaps[int(len(gaps) * share)]:.2f}" for share in (0.01, 0.1, 0.5, 0.9))
    return [way, f"{SIZE / 1e6 / seconds:.2f}", quantiles, f"{together:.1%}", f"{wakes:.0f}"]


def forward(way: str, port: str, relay: str) -> None:
    """Run as `aws-runas forward`, with messages spaced this way."""
    from aws_runas.__main__ import main as cli

    supported = kernel_pacing.is_supported() and way == "kernel"
    with patch.object(kernel_pacing, "is_supported", lambda: supported):
        cli(["forward", "--stream-host", relay, "my-profile", f"{TARGET}:{port}"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--forward", nargs=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.forward:
        forward(*options.forward)
        return
    columns = "spaced by", "MB/s", "ms between two reads, p1 / p10 / p50 / p90", "several in a read", "wake-ups a MB"
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    # A signed address needs no signature of the client, which would cover the name of the relay.
    with start_loaded_sandbox(SandboxOptions(faults=Faults(presign=True))) as sandbox:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, -15)
        for _ in range(options.rounds):
            for way in ("kernel", "event loop"):
                print("| " + " | ".join(measure(sandbox, way)) + " |", flush=True)


if __name__ == "__main__":
    main()
