"""Measures `run`: whole commands compared with `shell --document`, throughput in each direction, echo of one byte.

    .venv/bin/python -m bench.run [--quick | --long]

`--long` measures no speed: it verifies 64 MiB of bytes that agents tend to damage, in both directions and on both
output streams, with two cuts of each side and an agent that executes messages twice.

The agent has the official pace. Instances have no version manager in their PATH: its shims add 65 ms to each start of
Python. Wall times are medians of interleaved rounds. Everything shares this machine's processors.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from aws_runas.sandbox.options import Faults, SandboxOptions
from aws_runas.sandbox.world import Sandbox
from bench.forward import AGENT_RATE
from bench.loaded import start_loaded_sandbox
from bench.results import Results

AWS_RUNAS = (sys.executable, "-m", "aws_runas")
TARGET = ("my-profile", "i-deadbeef")
DOCUMENT = ("--document", "AWS-StartNonInteractiveCommand", "--parameter")
# The minimum for any helper in Python: the start of the interpreter, and the shell for the user's command.
INTERPRETER = """sh -c 'python3 -I -S -c "" && sh -c true'"""
MEGABYTE = 1_000_000


def wall(sandbox: Sandbox, *words: str) -> float:
    """Return the seconds of a whole command."""
    began = time.perf_counter()
    subprocess.run([*AWS_RUNAS, *words], env=sandbox.environ, stdin=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def start(sandbox: Sandbox, *words: str) -> subprocess.Popen[bytes]:
    """Start a command on the shell carrier; return when it runs."""
    process = subprocess.Popen(
        [*AWS_RUNAS, "run", "-q", "--via", "shell", *TARGET, *words],
        env=sandbox.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # a buffer would hide data that communicate() counts
    )
    assert process.stdout is not None
    assert process.stdout.read(1) == b"!"
    return process


def up(sandbox: Sandbox, size: int) -> float:
    """Return the MB/s of standard input."""
    process = start(sandbox, "printf '!'; exec wc -c")
    began = time.perf_counter()
    process.communicate(Random(1).randbytes(size))
    return size / (time.perf_counter() - began) / MEGABYTE


def down(sandbox: Sandbox, size: int) -> float:
    """Return the MB/s of standard output."""
    process = start(sandbox, f"printf '!'; exec head -c {size} /dev/urandom")
    began = time.perf_counter()
    out, _ = process.communicate(b"")
    assert len(out) == size
    return size / (time.perf_counter() - began) / MEGABYTE


def echo(sandbox: Sandbox, count: int) -> float:
    """Return p50 of the round trip of one byte, in milliseconds."""
    process = start(sandbox, "printf '!'; exec cat")
    assert process.stdin is not None
    assert process.stdout is not None
    times = []
    for _ in range(count):
        began = time.perf_counter()
        os.write(process.stdin.fileno(), b"x")
        assert os.read(process.stdout.fileno(), 1) == b"x"
        times.append(time.perf_counter() - began)
    process.communicate(b"")
    return statistics.median(times) * 1000


def awkward_bytes(size: int) -> bytes:
    """Return random bytes with NUL, U+FFFD and an incomplete character at the end."""
    random = Random(64)
    pieces = [random.randbytes(4093) + b"\0\xef\xbf\xbd" for _ in range(size // 4097)]
    return b"".join(pieces) + b"\xef\xbf\xbd\xff\xfe\xfd"


def long_run(base: dict[str, str], cutter: str, size: int) -> list[str]:
    """Send bytes and read them back on both streams while connections are cut; return the result."""
    data = awkward_bytes(size)
    seconds = size / MEGABYTE / 3  # without pacing, this takes longer: both cuts happen in the middle
    faults = Faults(close_after=seconds) if cutter == "close_after" else Faults(leave_after=seconds)
    errors = Path(base["HOME"], "errors")
    with start_loaded_sandbox(SandboxOptions(faults=faults), base=base) as sandbox:
        began = time.perf_counter()
        done = subprocess.run(
            [
                *AWS_RUNAS,
                "run",
                "--via",
                "shell",
                "--rate",
                "4000",
                "--stderr",
                str(errors),
                *TARGET,
                "tee /dev/stderr",
            ],
            env=sandbox.environ,
            input=data,
            capture_output=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        exact = (done.stdout == data, errors.read_bytes() == data)
        resumed = sandbox.count("ResumeSession")
    if not all(exact) or done.returncode:
        print(done.stderr.decode("utf-8", "replace"), file=sys.stderr)
    cutting = "service" if cutter == "close_after" else "agent"
    seen = f"exact {all(exact)}, status {done.returncode}, {resumed} resumed, {seconds:.0f} s"
    return [f"{size:,} bytes up and down on both streams, connections cut by the {cutting}", seen]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer and smaller")
    parser.add_argument("--long", type=int, nargs="?", const=64, metavar="MIB", help="judge exactness (default 64 MiB)")
    arguments = parser.parse_args()
    quick = arguments.quick
    base = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "RUNAS_"))}
    # For this process too: instances have the PATH of the sandbox's process, which inherits ours.
    base["PATH"] = os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), os.defpath))
    if arguments.long:
        with tempfile.TemporaryDirectory() as home:
            cutters = ("close_after", "leave_after")
            cells = [long_run(base | {"HOME": home}, cutter, arguments.long << 20) for cutter in cutters]
        print("\n".join(" | ".join(row) for row in cells), flush=True)
        return
    results = Results("run")
    with tempfile.TemporaryDirectory() as home:
        options = SandboxOptions(agent_rate=AGENT_RATE, agent_pace="official")
        with start_loaded_sandbox(options, base=base | {"HOME": home}) as sandbox:
            rows: dict[str, list[float]] = {
                "`shell --document` true": [],
                "`shell --document`, Python's start alone": [],
                "`run --via document` true": [],
                "`run --via shell` true": [],
            }
            interpreter = f"command={INTERPRETER}"
            for _ in range(3 if quick else 7):
                calls = (
                    ("shell", "-q", *DOCUMENT, "command=true", *TARGET),
                    ("shell", "-q", *DOCUMENT, interpreter, *TARGET),
                    ("run", "-q", "--via", "document", *TARGET, "true"),
                    ("run", "-q", "--via", "shell", *TARGET, "true"),
                )
                for times, words in zip(rows.values(), calls, strict=True):
                    times.append(wall(sandbox, *words))
            cells = [[name, f"{statistics.median(times):.2f} s"] for name, times in rows.items()]
            size = (3 if quick else 10) * MEGABYTE
            cells.append(["standard output down", f"{down(sandbox, size):.2f} MB/s"])
            # AGENT_RATE models how official agents read a terminal; it would also delay their acknowledgements.
            with start_loaded_sandbox(SandboxOptions(agent_pace="official"), base=base | {"HOME": home}) as unlimited:
                cells.append(["standard input up", f"{up(unlimited, size):.2f} MB/s"])
            cells.append(["one byte and its echo, p50", f"{echo(sandbox, 50 if quick else 300):.1f} ms"])
    results.add("A whole command", "s", {name: statistics.median(times) for name, times in rows.items()})
    results.table("Commands", ("", "median"), cells)
    results.write()


if __name__ == "__main__":
    main()
