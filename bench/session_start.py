"""Measures the start time of a session and the memory of a forward, with and without botocore.

    .venv/bin/python -m bench.session_start [runs]

Both alternate against one sandbox, with cached credentials. A setting that aws.direct leaves to botocore selects
botocore.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from aws_runas.sandbox.world import Sandbox
from bench.loaded import start_loaded_sandbox
from bench.results import Results

COMMAND = [sys.executable, "-m", "aws_runas", "forward", "my-profile", "i-deadbeef:9000"]
WITH_BOTOCORE = {"AWS_SDK_UA_APP_ID": "bench"}


def measure(sandbox: Sandbox, extra: dict[str, str]) -> tuple[float, float, float]:
    """Return seconds until StartSession, seconds until the port listens, and the resident MB at that time."""
    environ = sandbox.environ | extra
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    calls, begun = len(sandbox.calls), time.time()
    process = subprocess.Popen(
        COMMAND, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        listening = time.time() - begun
        with open(f"/proc/{process.pid}/statm") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        started = next(call["time"] for call in sandbox.calls[calls:] if call["action"] == "StartSession") - begun
        process.terminate()
        process.wait()
    return started, listening, resident


def main(runs: int) -> None:
    """Print the median and the minimum of each."""
    results = Results("session_start")
    rows: dict[str, list[tuple[float, float, float]]] = {"botocore": [], "direct": []}
    with start_loaded_sandbox() as sandbox:
        measure(sandbox, {})  # fetches the credentials
        for _ in range(runs):
            rows["botocore"].append(measure(sandbox, WITH_BOTOCORE))
            rows["direct"].append(measure(sandbox, {}))
    cells = []
    for name, values in rows.items():
        started, listening, resident = zip(*values, strict=True)
        times = [f"{statistics.median(column):.3f} / {min(column):.3f} s" for column in (started, listening)]
        cells.append([name, *times, f"{statistics.median(resident):.1f} MB"])
    columns = ("", "StartSession, median / fastest", "listening, median / fastest", "resident")
    results.table("The start of a forward", columns, cells)
    medians = {name: statistics.median(value[1] for value in values) * 1000 for name, values in rows.items()}
    results.add("From the start of a forward until it listens", "ms", medians)
    results.write()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
