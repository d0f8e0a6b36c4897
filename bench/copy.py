"""`cp` beside `forward` and beside scp through `ssh`, in one run: MB/s up and down, text, many files, the first byte.

    .venv/bin/python -m bench.copy [--quick]

Agents send at the pace of official ones. `forward` is a stream of zeros through as many sessions; `cp`
sends random data, so its compression does not count. Everything shares this machine's processors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.world import Sandbox, start_sandbox
from bench.forward import AGENT_RATE, TARGET, Server, download, forward, upload

AWS_RUNAS = (sys.executable, "-m", "aws_runas")
MEGABYTE = 1_000_000


def cp(sandbox: Sandbox, *words: str) -> list[dict[str, float]]:
    """Run cp; return its progress events."""
    done = subprocess.run(
        [*AWS_RUNAS, "cp", "--progress", "json", *words],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    lines = done.stderr.splitlines()
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    return [json.loads(line) for line in lines if line.startswith(b"{")]


def rate(events: list[dict[str, float]]) -> float:
    """MB/s between the first event with data and the last."""
    moving = [event for event in events if event["done"]]
    first, last = moving[0], moving[-1]
    seconds = last["seconds"] - first["seconds"]
    if seconds <= 0:
        return last["done"] / max(last["seconds"], 0.1) / MEGABYTE
    return (last["done"] - first["done"]) / seconds / MEGABYTE


def scp(sandbox: Sandbox, folder: Path, source: Path) -> float | None:
    """MB/s of scp through `aws-runas ssh`, None where sshd is missing."""
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


def table(sandbox: Sandbox, folder: Path, *, quick: bool) -> None:
    """Print the rows."""
    server = Server()
    size = (4 if quick else 12) * MEGABYTE
    print(f"{'':34}{'forward':>9}{'cp port':>9}{'cp shell':>9}   MB/s")
    for sessions in (1, 2) if quick else (1, 2, 4):
        source = folder / f"data{sessions}"
        source.write_bytes(Random(sessions).randbytes(size * sessions))
        with forward(sandbox, server.port, "--sessions", str(sessions)) as (port, _):
            peer_up = upload(server, port, 4.0, sessions) / MEGABYTE
            peer_down = download(port, 4.0, sessions) / MEGABYTE
        words = ("--no-resume", "--sessions", str(sessions), "my-profile")
        for direction, peer in (("up", peer_up), ("down", peer_down)):
            row = []
            for via in ("port", "shell"):
                target = folder / f"there-{direction}-{via}-{sessions}"
                there, here = f"{TARGET}:{source}", f"{TARGET}:{target}"
                sides = (str(source), here) if direction == "up" else (there, str(target))
                row.append(rate(cp(sandbox, "--via", via, *words, *sides)))
                target.unlink()
            print(f"{f'{direction}, {sessions} sessions':34}{peer:9.2f}{row[0]:9.2f}{row[1]:9.2f}")
    peer_scp = scp(sandbox, folder, folder / "data1")
    print(f"{'scp through ssh, up, with its start':34}" + ("" if peer_scp is None else f"{peer_scp:9.2f}"))


def others(sandbox: Sandbox, folder: Path, *, quick: bool) -> None:
    """Text, many files, and a single small file."""
    text = folder / "text"
    line = b"2026-11-27 12:00:%02d host app[%d]: request took %d ms\n"
    text.write_bytes(b"".join(line % (n % 60, n, n % 977) for n in range(90_000)))
    events = cp(sandbox, "--sessions", "1", "my-profile", str(text), f"{TARGET}:{folder}/text2")
    last = events[-1]
    megabytes = text.stat().st_size / MEGABYTE
    print(f"text, {megabytes:.1f} MB, 1 session: {last['seconds']:.1f} s, {last['sent'] / MEGABYTE:.2f} MB sent")
    tree = folder / "tree"
    count = 1_000 if quick else 10_000
    for number in range(count):
        path = tree / f"{number % 100}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Random(number).randbytes(1000))
    began = time.perf_counter()
    cp(sandbox, "-r", "--sessions", "1", "my-profile", str(tree), f"{TARGET}:{folder}/tree2")
    print(f"{count} files of 1 kB, 1 session: {time.perf_counter() - began:.1f} s")
    (folder / "one").write_bytes(b"x")
    began = time.perf_counter()
    cp(sandbox, "my-profile", str(folder / "one"), f"{TARGET}:{folder}/one2")
    print(f"one byte, whole command: {time.perf_counter() - began:.2f} s")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer and smaller")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "RUNAS_"))}
        options = SandboxOptions(agent_rate=AGENT_RATE, agent_pace="official")
        with start_sandbox(options, base=base | {"HOME": name}) as sandbox:
            print(f"load average {os.getloadavg()[0]:.1f}")
            table(sandbox, folder, quick=quick)
            others(sandbox, folder, quick=quick)


if __name__ == "__main__":
    main()
