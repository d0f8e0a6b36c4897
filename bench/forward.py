"""Compares a forward through the sandbox with plain TCP: speed, echo, short requests, and the gain from more sessions.

    .venv/bin/python -m bench.forward [--quick]

Everything runs on this machine: client, service, agent and both ends of each connection share its processors. Paced
rows measure the throughput of the pacing; unpaced rows measure the combined cost of client, service and agent.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.world import Sandbox
from bench import official
from bench.loaded import start_loaded_sandbox
from bench.results import Results

TARGET = "i-deadbeef"
CHUNK = 65_536
SESSIONS = (1, 2, 4, 8)
AUTO = 0  # means --sessions auto
AGENT_RATE = 650.0  # frames per second of an official agent (spec, measured)


class Server:
    """Server that acts on the first byte: U discard, D send forever, E echo, anything else HTTP."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        self.swallowed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                kind = connection.recv(1)
                if kind == b"U":
                    while data := connection.recv(CHUNK):
                        self.swallowed += len(data)
                elif kind == b"D":
                    while True:
                        connection.sendall(bytes(CHUNK))
                elif kind == b"E":
                    while data := connection.recv(CHUNK):
                        connection.sendall(data)
                elif kind:
                    connection.recv(CHUNK)
                    body = b"x" * 200
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\nConnection: close\r\n\r\n" + body)
        except OSError:
            pass


@contextmanager
def forward(sandbox: Sandbox, port: int, *words: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a forward; yield its local port and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", "forward", "-q", *words, "my-profile", f"{TARGET}:{port}"],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        yield int(line.split(" -> ")[0].rpartition(":")[2]), process
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def connect(port: int, kind: bytes) -> socket.socket:
    """Connect to the server, or to the forward in front of it."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(kind)
    return connection


def pour(connection: socket.socket, stop: threading.Event) -> None:
    """Send until stopped."""
    try:
        while not stop.is_set():
            connection.sendall(bytes(CHUNK))
    except OSError:
        pass


def upload(server: Server, port: int, seconds: float, connections: int = 1) -> float:
    """Return the bytes per second that reach the server."""
    stop = threading.Event()
    opened = [connect(port, b"U") for _ in range(connections)]
    for connection in opened:
        threading.Thread(target=pour, args=(connection, stop), daemon=True).start()
    time.sleep(1.0)
    before, began = server.swallowed, time.perf_counter()
    time.sleep(seconds)
    speed = (server.swallowed - before) / (time.perf_counter() - began)
    stop.set()
    for connection in opened:
        connection.close()
    return speed


def download(port: int, seconds: float, connections: int = 1) -> float:
    """Return the bytes per second that reach the client."""
    received = [0] * connections
    stop = threading.Event()

    def take(number: int, connection: socket.socket) -> None:
        with connection:
            while not stop.is_set():
                received[number] += len(connection.recv(CHUNK))

    threads = [
        threading.Thread(target=take, args=(number, connect(port, b"D")), daemon=True) for number in range(connections)
    ]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    before, began = sum(received), time.perf_counter()
    time.sleep(seconds)
    speed = (sum(received) - before) / (time.perf_counter() - began)
    stop.set()
    for thread in threads:
        thread.join(10)
    return speed


def echo(port: int, count: int) -> tuple[float, float]:
    """Return p50 and p99 of the round trip of one byte, in milliseconds."""
    times = []
    with connect(port, b"E") as connection:
        for _ in range(count):
            began = time.perf_counter()
            connection.sendall(b"x")
            connection.recv(1)
            times.append((time.perf_counter() - began) * 1000)
    times.sort()
    return times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]


def echo_beside_upload(port: int, count: int) -> tuple[float, float]:
    """Return the same while another connection in the session uploads at full speed."""
    stop = threading.Event()
    with connect(port, b"U") as busy:
        threading.Thread(target=pour, args=(busy, stop), daemon=True).start()
        time.sleep(1.5)
        result = echo(port, count)
        stop.set()
    return result


def requests(port: int, count: int = 200) -> float:
    """Return the seconds for short HTTP requests in sequence, each on a new connection."""
    began = time.perf_counter()
    for _ in range(count):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        client.request("GET", "/")
        if len(client.getresponse().read()) != 200:
            raise AssertionError("a short answer")
        client.close()
    return time.perf_counter() - began


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def with_cpu(process: subprocess.Popen[bytes], measure: Callable[[], float], seconds: float) -> tuple[float, float]:
    """Return a speed, and CPU seconds of the client per megabyte."""
    before = cpu_seconds(process.pid)
    speed = measure()
    return speed, (cpu_seconds(process.pid) - before) / (speed * (seconds + 1.0) / 1e6)


def table(results: Results, sandbox: Sandbox, paced: Sandbox, server: Server, seconds: float, echoes: int) -> None:
    """Measure plain TCP, the default forward, and the forward without pacing.

    Args:
        results: receives the table.
        sandbox: its agents have no pace.
        paced: its agents send at most AGENT_RATE messages a second, for the download of the default forward. Without
            it, the pace of the client's acknowledgements is measured.
        server: behind the agents.
        seconds: for each speed.
        echoes: for each latency.
    """
    rows: dict[str, list[str]] = {}

    def add(name: str, text: str) -> None:
        rows.setdefault(name, []).append(text)

    def column(
        port: int,
        process: subprocess.Popen[bytes] | None = None,
        down_port: int = 0,
        down_process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        p50, p99 = echo(port, echoes)
        add("echo of one byte, p50 / p99", f"{p50:.2f} / {p99:.2f} ms")
        add(
            "200 short HTTP requests, a connection each", f"{statistics.median(requests(port) for _ in range(3)):.2f} s"
        )
        if process is None or down_process is None:
            add("upload", f"{upload(server, port, seconds) / 1e6:.0f} MB/s")
            add("download", f"{download(port, seconds) / 1e6:.0f} MB/s")
            add("echo beside an upload, p50 / p99", "-")
            add("client CPU for each MB, up / down", "-")
            return
        up, up_cpu = with_cpu(process, lambda: upload(server, port, seconds), seconds)
        down, down_cpu = with_cpu(down_process, lambda: download(down_port, seconds), seconds)
        add("upload", f"{up / 1e6:.2f} MB/s")
        add("download", f"{down / 1e6:.2f} MB/s")
        p50, p99 = echo_beside_upload(port, echoes // 2)
        add("echo beside an upload, p50 / p99", f"{p50:.1f} / {p99:.1f} ms")
        add("client CPU for each MB, up / down", f"{up_cpu:.3f} / {down_cpu:.3f} s")

    column(server.port)
    for agent, pace in ((paced, ()), (sandbox, ("--rate", "off"))):
        words = ("--sessions", "1", *pace)
        with forward(sandbox, server.port, *words) as up, forward(agent, server.port, *words) as down:
            column(*up, *down)
    known = {
        "echo of one byte, p50 / p99": official.ECHO,
        "upload": official.UPLOAD,
        "download": official.DOWNLOAD,
        "echo beside an upload, p50 / p99": official.ECHO_BESIDE_UPLOAD,
        "client CPU for each MB, up / down": f"{official.CPU_UP} / {official.CPU_DOWN} s",
    }
    for name, cells in rows.items():
        cells.append(known.get(name, ""))
    columns = ("", "plain TCP", "forward, paced (the default)", "forward, unpaced (`--rate off`)", official.COLUMN)
    results.table("One forward", columns, [[name, *cells] for name, cells in rows.items()])


def scaling(results: Results, server: Server, base: dict[str, str], seconds: float) -> None:
    """Measure the paced forward with more sessions, two connections each; for downloads, the agent is paced too."""
    speeds: dict[str, list[float]] = {"up": [], "down": []}
    for way, agent_rate in (("up", None), ("down", AGENT_RATE)):
        with (
            tempfile.TemporaryDirectory() as home,
            start_loaded_sandbox(SandboxOptions(agent_rate=agent_rate), base=base | {"HOME": home}) as sandbox,
        ):
            for count in (*SESSIONS, AUTO):
                with forward(sandbox, server.port, "--sessions", "auto" if count == AUTO else str(count)) as (port, _):
                    time.sleep(1.0)
                    connections = 8 if count == AUTO else count * 2
                    speeds[way].append(
                        upload(server, port, seconds, connections)
                        if way == "up"
                        else download(port, seconds, connections)
                    )
    for way, title in (("up", "Upload"), ("down", "Download")):
        rows = {
            f"{count} session{'s' * (count > 1)}": speed / 1e6
            for count, speed in zip(SESSIONS, speeds[way], strict=False)
        }
        results.add(f"{title} through one forward", "MB/s", rows)
    names = [*map(str, SESSIONS), "auto, eight connections"]
    cells = []
    for name, up, down in zip(names, speeds["up"], speeds["down"], strict=True):
        ratios = up / speeds["up"][0], down / speeds["down"][0]
        cells.append([name, f"{up / 1e6:.2f} MB/s", f"{ratios[0]:.1f}", f"{down / 1e6:.2f} MB/s", f"{ratios[1]:.1f}"])
    results.table("More sessions", ("`--sessions`", "upload", "x", "download", "x"), cells)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="shorter, for a look")
    quick = parser.parse_args().quick
    seconds, echoes = (1.5, 200) if quick else (5.0, 1000)
    results = Results("forward")
    server = Server()
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    options = SandboxOptions(agent_rate=AGENT_RATE)
    with (
        tempfile.TemporaryDirectory() as home,
        start_loaded_sandbox(base=base | {"HOME": home}) as sandbox,
        start_loaded_sandbox(options, base=base | {"HOME": home}) as paced,
    ):
        table(results, sandbox, paced, server, seconds, echoes)
    scaling(results, server, base, seconds)
    results.write()


if __name__ == "__main__":
    main()
