"""Measures ten idle lazy tunnels, and the first connection through one compared with a plain forward.

Run: .venv/bin/python -m bench.tunnels [SECONDS of idling, default 300]
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.world import Sandbox
from bench.loaded import start_loaded_sandbox
from bench.results import Results

TUNNELS = 10
ROUNDS = 7  # of first connections; the median is used
PROFILE, TARGET = "my-profile", "i-deadbeef"
AWS_RUNAS = [sys.executable, "-m", "aws_runas"]
TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count: int) -> list[int]:
    """Return ports that are currently free."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def far_end() -> Iterator[int]:
    """Run a server on the instance that greets each connection with one byte; return its port."""
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "while True:\n    c, _ = s.accept(); c.sendall(b'x'); c.close()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def greeting(port: int) -> float:
    """Connect and wait for the byte; return seconds."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        assert connection.recv(1) == b"x"
    return time.monotonic() - began


def usage(pid: int) -> tuple[float, int, float]:
    """Return memory in MB, wake-ups and CPU seconds of a process so far."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    wakeups = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        wakeups += int(lines["voluntary_ctxt_switches"])
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / TICKS
    return int(status["VmRSS"].split()[0]) / 1000, wakeups, cpu


def holder(path: Path) -> int:
    """Return the process that listens on the control socket."""
    import struct

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        pid: int = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid


def first_through_tunnel(environ: dict[str, str], port: int) -> float:
    """Open a lazy tunnel and time its first connection."""
    subprocess.run([*AWS_RUNAS, "tunnels", "up", "--lazy", "t0"], env=environ, check=True, capture_output=True)
    seconds = greeting(port)
    subprocess.run([*AWS_RUNAS, "tunnels", "down"], env=environ, check=True, capture_output=True)
    return seconds


def first_through_forward(environ: dict[str, str], remote: int) -> tuple[float, float]:
    """Start a forward; return seconds until it listens, and seconds of its first connection after that."""
    words = [*AWS_RUNAS, "forward", "-O", "json", PROFILE, f"{TARGET}:{remote}"]
    began = time.monotonic()
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as forward:
        assert forward.stdout is not None
        line = json.loads(forward.stdout.readline())
        listening = time.monotonic() - began
        seconds = greeting(int(str(line["local"]).rpartition(":")[2]))
        forward.send_signal(signal.SIGINT)
    return listening, seconds


def idle(environ: dict[str, str], seconds: float) -> dict[str, float]:
    """Keep ten lazy tunnels idle."""
    subprocess.run([*AWS_RUNAS, "tunnels", "up", "--lazy"], env=environ, check=True, capture_output=True)
    pid = holder(Path(environ["XDG_RUNTIME_DIR"]) / "aws-runas" / "tunnels.sock")
    time.sleep(5)  # imports and the first garbage collections are part of the start
    memory, wakeups, cpu = usage(pid)
    time.sleep(seconds)
    later, more_wakeups, more_cpu = usage(pid)
    subprocess.run([*AWS_RUNAS, "tunnels", "down"], env=environ, check=True, capture_output=True)
    return {
        "memory, MB": later,
        "growth, MB": later - memory,
        "wake-ups a second": (more_wakeups - wakeups) / seconds,
        "CPU, ms a minute": (more_cpu - cpu) / seconds * 60_000,
    }


def measure(sandbox: Sandbox, directory: Path, seconds: float) -> None:
    """Print and store the numbers."""
    results = Results("tunnels")
    ports = free_ports(TUNNELS)
    file = directory / "tunnels.toml"
    environ = dict(sandbox.environ) | {"RUNAS_TUNNELS_FILE": str(file), "XDG_RUNTIME_DIR": str(directory)}
    with far_end() as remote:
        file.write_text(
            "".join(
                f'[t{number}]\nprofile = "{PROFILE}"\ntarget = "{TARGET}"\nforwards = ["{port}:localhost:{remote}"]\n'
                for number, port in enumerate(ports)
            )
        )
        lazy = statistics.median(first_through_tunnel(environ, ports[0]) for _ in range(ROUNDS))
        plain = [first_through_forward(environ, remote) for _ in range(ROUNDS)]
        listening = statistics.median(seconds for seconds, _ in plain)
        connected = statistics.median(seconds for _, seconds in plain)
        found = idle(environ, seconds)
    rows = {
        "first connection through a lazy tunnel": lazy * 1000,
        "first connection through a forward that listens": connected * 1000,
        "start of that forward, with its session": listening * 1000,
    }
    results.add("First connection, median", "ms", rows)
    connections = [[name, f"{value:.0f} ms"] for name, value in rows.items()]
    results.table("First connection", ("", f"median of {ROUNDS}"), connections)
    idling = [[name, f"{value:.2f}"] for name, value in found.items()]
    results.table("Idle tunnels", (f"{TUNNELS} lazy tunnels, idle for {seconds:.0f} s", ""), idling)
    results.write()


def main() -> None:
    """Measure in a sandbox."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    with start_loaded_sandbox(SandboxOptions()) as sandbox, tempfile.TemporaryDirectory() as directory:
        measure(sandbox, Path(directory), seconds)


if __name__ == "__main__":
    main()
