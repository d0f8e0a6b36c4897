"""The data channel over loopback, compared with a model of the policy of the official plugin in the same run.

    .venv/bin/python -m bench.channel [--quick]

Each measurement is a separate client process against the sandbox (service and agent in one process, the far end in
another), so its CPU seconds count the client alone. The sandbox delays and drops relayed frames. Our client and the
model take turns; the tables show medians.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aws_runas.sandbox.options import Faults, SandboxOptions
from aws_runas.sandbox.world import Sandbox
from bench import official
from bench.loaded import start_loaded_sandbox
from bench.results import Results

MB = 1_000_000
OFFICIAL_AGENT_RATE = 650.0  # frames per second: its 1 ms sleep, as measured on the real agent
NETWORKS = {
    "0 ms": Faults(),
    "20 ms one way": Faults(delay=0.02),
    "1 % loss": Faults(loss=0.01, seed=7),
}


RESULTS = Results("channel")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: upload, download, echo or beside.
        amount: bytes, or echoes, for ours and for the model.
        words: additional arguments for ours.
        networks: names in NETWORKS.
        agent_rate, agent_pace: options of the sandbox.
    """

    name: str
    what: str
    amount: tuple[int, int]
    words: tuple[str, ...] = ()
    networks: tuple[str, ...] = tuple(NETWORKS)
    agent_rate: float | None = None
    agent_pace: str = "none"


# Row of a network without delay -> result of the official pair, and its CPU seconds per MB.
OFFICIAL = {
    "upload, paced": (official.UPLOAD, official.CPU_UP),
    "download, agent at its official pace": (official.DOWNLOAD, official.CPU_DOWN),
    "1-byte echo, idle session": (official.ECHO, ""),
    "1-byte echo beside an upload, paced": (official.ECHO_BESIDE_UPLOAD, ""),
}
ROWS = (
    Row("upload, paced", "upload", (2 * MB, MB)),
    Row("upload, paced, messages not spaced", "upload", (2 * MB, MB), ("spacing=off",), ("0 ms",)),
    Row("upload, unpaced", "upload", (20 * MB, MB), ("rate=off",)),
    Row(
        "upload, unpaced, agent at its official pace",  # each acknowledgement can wake the client
        "upload",
        (20 * MB, MB),
        ("rate=off",),
        ("0 ms",),
        agent_pace="official",
    ),
    Row("download, agent at its official pace", "download", (2 * MB, 2 * MB), agent_rate=OFFICIAL_AGENT_RATE),
    Row("download, unpaced, agent without pace", "download", (20 * MB, 20 * MB), ("rate=off",), ("0 ms",)),
    Row("1-byte echo, idle session", "echo", (100, 100)),
    Row("1-byte echo beside an upload, paced", "beside", (60, 60)),
    Row("1-byte echo beside an upload, paced, not spaced", "beside", (60, 60), ("spacing=off",), ("0 ms",)),
    Row("1-byte echo beside an upload, unpaced", "beside", (60, 60), ("rate=off",)),
)


@contextmanager
def far_end() -> Iterator[str]:
    """Run the server behind the agent; yield its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.far_end"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def client(sandbox: Sandbox, *words: str) -> dict[str, Any]:
    """Run one client process."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.channel_client", *words],
        env=sandbox.environ,
        stdout=subprocess.PIPE,
        check=True,
        timeout=200,
    )
    return dict(json.loads(done.stdout))


def shown(row: Row, amount: int, results: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the text of a cell: speed or latency, and CPU per MB."""
    if any("failed" in result for result in results):
        return "never", ""
    if row.what in ("upload", "download"):
        speed = statistics.median(amount / MB / result["seconds"] for result in results)
        cpu = statistics.median(result["cpu"] / (amount / MB) for result in results)
        return f"{speed:.2f} MB/s", f"{cpu:.3f}"
    times = sorted(one for result in results for one in result["times"])
    return f"{times[len(times) // 2] * 1e3:.1f} / {times[int(len(times) * 0.99)] * 1e3:.1f} ms", ""


def figures(row: Row, amount: int, measured: list[dict[str, Any]]) -> tuple[float, float] | None:
    """Return speed in MB/s and CPU seconds per MB, or median latency in ms and 0; None if a run failed."""
    if any("failed" in result for result in measured):
        return None
    if row.what in ("upload", "download"):
        megabytes = amount / MB
        speed = statistics.median(megabytes / result["seconds"] for result in measured)
        return speed, statistics.median(result["cpu"] / megabytes for result in measured)
    return statistics.median(one for result in measured for one in result["times"]) * 1e3, 0.0


def keep(row: Row, network: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Store the numbers of a row as data, only for one network: one chart per row is enough."""
    if network != "0 ms":
        return
    pairs = {
        "ours": figures(row, row.amount[0], ours),
        "model of the plugin": figures(row, row.amount[1], theirs),
    }
    unit = "MB/s" if row.what in ("upload", "download") else "ms, median"
    found = {name: pair for name, pair in pairs.items() if pair is not None}
    RESULTS.add(f"{row.name}, {network}", unit, {name: pair[0] for name, pair in found.items()})
    if row.what in ("upload", "download"):
        title = f"{row.name}, {network}: CPU of a MB"
        RESULTS.add(title, "seconds", {name: pair[1] for name, pair in found.items()})


def streams(runs: int, only: str) -> None:
    """Print the table of speeds and latencies."""
    rows = [row for row in ROWS if only in row.name]
    cells = []
    with far_end() as port:
        for rate, pace in dict.fromkeys((row.agent_rate, row.agent_pace) for row in rows):
            for network, faults in NETWORKS.items():
                here = [row for row in rows if (row.agent_rate, row.agent_pace) == (rate, pace)]
                here = [row for row in here if network in row.networks]
                if not here:
                    continue
                options = SandboxOptions(faults=faults, agent_rate=rate, agent_pace=pace)
                with start_loaded_sandbox(options) as sandbox:
                    client(sandbox, "ours", "upload", port, "1000")  # the first session warms up the sandbox
                    for row in here:
                        cells.append(line(row, network, sandbox, port, runs))
                        print(*cells[-1], sep=" | ", flush=True)
    titles = ("", "network", "ours", "model of the plugin", official.COLUMN)
    RESULTS.table("The data channel", (*titles, "CPU s per MB: ours", "model", "official pair"), cells)


def line(row: Row, network: str, sandbox: Sandbox, port: str, runs: int) -> list[str]:
    """Measure one row on one network and return its cells."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for _ in range(runs):
        ours.append(client(sandbox, "ours", row.what, port, str(row.amount[0]), *row.words))
        if not theirs or "failed" not in theirs[-1]:
            theirs.append(client(sandbox, "model", row.what, port, str(row.amount[1])))
    keep(row, network, ours, theirs)
    our_speed, our_cpu = shown(row, row.amount[0], ours)
    speed, cpu = shown(row, row.amount[1], theirs)
    pair, pair_cpu = OFFICIAL.get(row.name, ("", "")) if network == "0 ms" else ("", "")
    return [row.name, network, our_speed, speed, pair, our_cpu, cpu, pair_cpu]


def shells(runs: int) -> None:
    """Measure the time from process start to the first prompt, and from `exit` to process end."""
    starts, ends, bare = [], [], []
    with start_loaded_sandbox() as sandbox:
        for _ in range(runs):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], check=True)
            bare.append(time.perf_counter() - begun)
            start, end = one_shell(sandbox)
            starts.append(start)
            ends.append(end)
    rows = {
        "start of the process until the first prompt": starts,
        "start and end of a bare Python": bare,
        "`exit` until the process is gone": ends,
    }
    cells = [[name, f"{statistics.median(times):.3f} s"] for name, times in rows.items()]
    RESULTS.table("A shell", ("", f"median of {runs} runs"), cells)


def one_shell(sandbox: Sandbox) -> tuple[float, float]:
    """Open a shell on a terminal, and exit from it."""
    here, there = os.openpty()
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", "shell", "-q", "my-profile", "i-deadbeef"],
        env=sandbox.environ,
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    )
    os.close(there)
    seen = b""
    while not re.search(rb"[#$] $", seen):
        select.select([here], [], [], 30)
        seen += os.read(here, 4096)
    start = time.perf_counter() - begun
    time.sleep(0.3)
    begun = time.perf_counter()
    os.write(here, b"exit\r")
    process.wait()
    end = time.perf_counter() - begun
    os.close(here)
    return start, end


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of each instead of three")
    parser.add_argument("--only", default="", metavar="TEXT", help="the rows whose name has this in it")
    options = parser.parse_args()
    runs = 1 if options.quick else 3
    streams(runs, options.only)
    if options.only:
        return
    shells(2 * runs + 1)
    RESULTS.write()


if __name__ == "__main__":
    main()
