"""Compares `cp`, `forward` and scp through `ssh` in one run: MB/s up and down, text, many files, the first byte.

    .venv/bin/python -m bench.copy [--quick | --long [SHARE]]

`--long` measures little and checks cases that are too slow for the tests: 50 MB while connections are cut, and 4 and 8
sessions. A share such as 0.02 reduces all sizes, to test the benchmark itself.

Agents send at the pace of official ones. `forward` sends a stream of zeros through the same number of sessions; `cp`
sends random data, so that its compression has no effect. Everything shares this machine's processors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from aws_runas.sandbox.options import Faults, SandboxOptions
from aws_runas.sandbox.world import Sandbox
from bench.forward import AGENT_RATE, TARGET, Server, download, forward, upload
from bench.loaded import start_loaded_sandbox
from bench.results import Results

AWS_RUNAS = (sys.executable, "-m", "aws_runas")
TIMED = (sys.executable, "-m", "bench.timed_copy")
MEGABYTE = 1_000_000

# A child's peak memory includes its parent's memory at the time of the start, and this process holds the data. So a
# small process starts the child.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, slots=True)
class Copied:
    """Result of a copy.

    Args:
        done: bytes of the files.
        sent: bytes on the wire.
        seconds: of the command, from its first progress.
        data_seconds: from the first byte sent to the last one acknowledged.
        memory: peak in MB.
    """

    done: int
    sent: int
    seconds: float
    data_seconds: float
    memory: float

    @property
    def rate(self) -> float:
        """MB/s while data was on its way."""
        return self.done / self.data_seconds / MEGABYTE


def cp(sandbox: Sandbox, *words: str) -> Copied:
    """Run cp."""
    command = [sys.executable, "-c", MEASURE, *TIMED, "cp", "--progress", "json", *words]
    done = subprocess.run(command, env=sandbox.environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{")]
    last = {event["event"]: event for event in events}
    end, data = last["finished"], last["data"]
    return Copied(end["done"], end["sent"], end["seconds"], data["seconds"], int(done.stdout) / 1000)


def scp(sandbox: Sandbox, folder: Path, source: Path) -> float | None:
    """Return the MB/s of scp through `aws-runas ssh`, None if sshd is missing."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if sshd is None or shutil.which("scp") is None:
        return None
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    options = ["-o", "StrictModes=no", "-o", "UsePAM=no", "-o", f"PidFile={folder}/pid"]
    options += [
        "-o",
        "Subsystem=sftp internal-sftp",
        "-o",
        f"AuthorizedKeysFile={folder}/authorized",
        "-h",
        str(folder / "host"),
    ]
    Path("/run/sshd").mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    words = [sshd, "-D", "-e", "-f", os.devnull, "-p", str(port), *options]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    proxy = f"{' '.join(AWS_RUNAS)} ssh -q my-profile {TARGET}:{port}"
    try:
        time.sleep(0.5)
        began = time.perf_counter()
        subprocess.run(
            ["scp", "-q", "-B", "-i", str(folder / "user"), "-o", f"ProxyCommand={proxy}",
             "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}",
             str(source), f"127.0.0.1:{folder}/scp"],
            env=sandbox.environ, check=True,
        )  # fmt: skip
        return source.stat().st_size / (time.perf_counter() - began) / MEGABYTE
    finally:
        process.terminate()
        process.wait()


def peer(sandbox: Sandbox, server: Server, way: str, sessions: int) -> float:
    """Return the MB/s of a separate forward: a download must not share the session with the rest of an upload."""
    with forward(sandbox, server.port, "--sessions", str(sessions)) as (port, _):
        time.sleep(1.0)  # until the other sessions are open
        speed = upload(server, port, 4.0, sessions) if way == "up" else download(port, 4.0, sessions)
    return speed / MEGABYTE


def table(results: Results, base: dict[str, str], folder: Path, *, quick: bool) -> None:
    """Print the rows.

    For uploads, agents have the official pace: a rate would delay their acknowledgements. For downloads they have the
    rate, because a sleep after each message cannot catch up on a busy machine.
    """
    cells = []
    server = Server()
    size = (4 if quick else 12) * MEGABYTE
    agents = {"up": SandboxOptions(agent_pace="official"), "down": SandboxOptions(agent_rate=AGENT_RATE)}
    for way, options in agents.items():
        with start_loaded_sandbox(options, base=base) as sandbox:
            for sessions in (1, 2) if quick else (1, 2, 4):
                source = folder / f"data{sessions}"
                source.write_bytes(Random(sessions).randbytes(size * sessions))
                row = [peer(sandbox, server, way, sessions)]
                for via in ("port", "shell"):
                    target = folder / f"there-{way}-{via}-{sessions}"
                    there, here = f"{TARGET}:{source}", f"{TARGET}:{target}"
                    sides = (str(source), here) if way == "up" else (there, str(target))
                    words = ("--via", via, "--no-resume", "--sessions", str(sessions), "my-profile")
                    row.append(cp(sandbox, *words, *sides).rate)
                    target.unlink()
                name = f"{way}, {sessions} session{'s' * (sessions > 1)}"
                cells.append([name, *(f"{speed:.2f}" for speed in row)])
                if sessions == 1:
                    rows = {"`forward`": row[0], "`cp --via port`": row[1], "`cp --via shell`": row[2]}
                    results.add(f"A copy, {name}", "MB/s", rows)
            peer_scp = scp(sandbox, folder, folder / "data1") if way == "up" else None
            if peer_scp is not None:
                cells.append(["scp through `ssh`, up, with its start", f"{peer_scp:.2f}", "", ""])
    results.table("Copies", ("MB/s", "`forward`", "`cp --via port`", "`cp --via shell`"), cells)


def others(results: Results, sandbox: Sandbox, folder: Path, *, share: float) -> None:
    """Measure text, many files, a single small file, and memory."""
    cells = []
    text = folder / "text"
    lines = int(270_000 * share)
    line = b"2026-11-27 12:00:%02d host app[%d]: request took %d ms\n"
    text.write_bytes(b"".join(line % (n % 60, n, n % 977) for n in range(lines)))
    copied = cp(sandbox, "--sessions", "1", "my-profile", str(text), f"{TARGET}:{folder}/text2")
    megabytes = text.stat().st_size / MEGABYTE
    sent = f"{copied.rate:.1f} MB/s, {copied.sent / MEGABYTE:.2f} MB sent, {copied.seconds:.1f} s in all"
    cells.append([f"text, {megabytes:.1f} MB, 1 session", sent])
    tree = folder / "tree"
    count = int(10_000 * share)
    make_tree(tree, count, 1000)
    began = time.perf_counter()
    cp(sandbox, "-r", "--sessions", "1", "my-profile", str(tree), f"{TARGET}:{folder}/tree2")
    cells.append([f"{count:,} files of 1 kB, 1 session", f"{time.perf_counter() - began:.1f} s"])
    (folder / "one").write_bytes(b"x")
    began = time.perf_counter()
    cp(sandbox, "my-profile", str(folder / "one"), f"{TARGET}:{folder}/one2")
    cells.append(["one byte, whole command", f"{time.perf_counter() - began:.1f} s"])
    for mebibytes in (64,) if share < 1 else (64, 512):
        source, there = folder / "large", folder / "large2"
        source.write_bytes(Random(mebibytes).randbytes(1 << 20) * mebibytes)
        for direction, sides in (
            ("up", (str(source), f"{TARGET}:{there}")),
            ("down", (f"{TARGET}:{source}", str(there))),
        ):
            memory = cp(sandbox, "--no-resume", "--rate", "off", "my-profile", *sides).memory
            cells.append([f"most memory of `cp --rate off`, {mebibytes} MiB {direction}", f"{memory:.0f} MB"])
            there.unlink()
    cells += memory_of_trees(sandbox, folder, int(100_000 * share))
    if share >= 1:  # progress is reported once per second, too rarely for smaller sizes
        cells += resume(sandbox, folder)
    results.table("Text, many files, memory", ("", ""), cells)


def make_tree(top: Path, count: int, size: int) -> None:
    """Create files of a given number and size, in a hundred directories."""
    for number in range(count):
        path = top / f"{number % 100}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Random(number).randbytes(size))


def memory_of_trees(sandbox: Sandbox, folder: Path, count: int) -> list[list[str]]:
    """Return rows about a tree of many small files, in both directions."""
    cells = []
    source, there = folder / "many", folder / "many2"
    make_tree(source, count, 10)
    for direction, sides in (("up", (str(source), f"{TARGET}:{there}")), ("down", (f"{TARGET}:{source}", str(there)))):
        memory = cp(sandbox, "-r", "--rate", "off", "my-profile", *sides).memory
        cells.append([f"most memory of `cp -r`, {count:,} files of 10 bytes {direction}", f"{memory:.0f} MB"])
        shutil.rmtree(there)
    shutil.rmtree(source)
    return cells


def same(one: Path, other: Path) -> bool:
    """Compare two files without reading them whole."""
    digests = []
    for path in (one, other):
        with path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").digest())
    return digests[0] == digests[1]


def cuts(base: dict[str, str], folder: Path, share: float) -> list[list[str]]:
    """Copy 50 MB over both carriers while the service or the agent closes connections."""
    cells = []
    source = folder / "fifty"
    source.write_bytes(Random(50).randbytes(int(50 * MEGABYTE * share)))
    for via in ("port", "shell"):
        for faults in (Faults(close_after=4.0, new_cell=True), Faults(leave_after=3.0, away=0.5)):
            with start_loaded_sandbox(SandboxOptions(faults=faults), base=base) as sandbox:
                began, there = time.perf_counter(), folder / f"fifty-{via}"
                words = ("--via", via, "--sessions", "2", "--rate", "4000", "my-profile")
                cp(sandbox, *words, str(source), f"{TARGET}:{there}")
                seconds, resumed = time.perf_counter() - began, sandbox.count("ResumeSession")
                kind = "service" if faults.close_after else "agent"
                exact = f"exact {same(source, there)}, {resumed} resumed, {seconds:.0f} s"
                cells.append([f"{50 * share:g} MB up, {via}, connections cut by the {kind}", exact])
                there.unlink()
    return cells


def resume(sandbox: Sandbox, folder: Path) -> list[list[str]]:
    """Kill a copy of 1 GiB at 60 % and run the same command again."""
    source, there = folder / "gibibyte", folder / "gibibyte2"
    random, mebibytes = Random(1), 1024
    with source.open("wb") as stream:
        for _ in range(mebibytes):
            stream.write(random.randbytes(1 << 20))
    words = ("--progress", "json", "--sessions", "2", "--rate", "off", "my-profile", str(source), f"{TARGET}:{there}")
    process = subprocess.Popen(
        [*AWS_RUNAS, "cp", *words], env=sandbox.environ, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"{") and json.loads(line)["done"] > 0.6 * (mebibytes << 20):
            break
    process.kill()
    process.communicate()
    began = time.perf_counter()
    again = cp(sandbox, *words[2:]).sent / (mebibytes << 20)
    seconds, exact = time.perf_counter() - began, same(source, there)
    source.unlink()
    there.unlink()
    return [[f"{mebibytes} MiB up after SIGKILL at 60 %", f"exact {exact}, {again:.1%} sent again, {seconds:.0f} s"]]


def sessions(sandbox: Sandbox, folder: Path, share: float) -> list[list[str]]:
    """Compare 4 and 8 paced sessions with one."""
    cells = []
    for count in (1, 4, 8):
        source = folder / f"data{count}"
        source.write_bytes(Random(count).randbytes(int(count * 4 * MEGABYTE * share)))
        for upload_ in (True, False):
            there = folder / f"there{count}"
            sides = (str(source), f"{TARGET}:{there}") if upload_ else (f"{TARGET}:{source}", str(there))
            speed = cp(sandbox, "--sessions", str(count), "my-profile", *sides).rate
            exact = same(source, there)
            name = f"{count} session{'s' * (count > 1)}, {'up' if upload_ else 'down'}"
            cells.append([name, f"{speed:.2f} MB/s, exact {exact}"])
            there.unlink()
    return cells


def long(base: dict[str, str], folder: Path, share: float) -> None:
    """Run all parts of --long."""
    cells = cuts(base, folder, share)
    with start_loaded_sandbox(SandboxOptions(agent_rate=AGENT_RATE, agent_pace="official"), base=base) as sandbox:
        cells += sessions(sandbox, folder, share)
    print("\n".join(" | ".join(row) for row in cells), flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer and smaller")
    parser.add_argument(
        "--long", type=float, nargs="?", const=1.0, metavar="SHARE", help="judge what is too slow for the tests"
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    results = Results("copy")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "RUNAS_"))}
        # For this process too: instances have the PATH of the sandbox's process, which inherits ours.
        base["PATH"] = os.environ["PATH"] = os.pathsep.join((os.path.dirname(sys.executable), os.defpath))
        if arguments.long:
            long(base | {"HOME": name}, folder, arguments.long)
            return
        table(results, base | {"HOME": name}, folder, quick=quick)
        options = SandboxOptions(agent_rate=AGENT_RATE, agent_pace="official")
        with start_loaded_sandbox(options, base=base | {"HOME": name}) as sandbox:
            others(results, sandbox, folder, share=0.1 if quick else 1.0)
        results.write()


if __name__ == "__main__":
    main()
