"""Compares a fleet of 100 instances with the AWS CLI's method (send-command, then one get for each host).

Run: .venv/bin/python -m bench.fleet
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter

from tests.sim.fleet_service import Machine, Service, play

from aws_runas.fleet.model import Host, Limits, Pair
from aws_runas.fleet.policy import FleetPolicy
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.world import Sandbox
from bench.loaded import start_loaded_sandbox
from bench.results import Results

INSTANCES = 100
CALLS = {
    "send": "SendCommand",
    "list": "ListCommandInvocations",
    "get": "GetCommandInvocation",
    "cancel": "CancelCommand",
}
SHORT = "hostname"
LONG = "i=0; while [ $i -lt 400 ]; do echo line $i of some log that is fifty characters; i=$((i+1)); done"  # 20 KB
PEER = """
import sys, time, boto3
ssm = boto3.client("ssm")
ids = [f"i-0f1ee7{n:011d}" for n in range(100)]
sent = [ssm.send_command(InstanceIds=ids[at:at + 50], DocumentName="AWS-RunShellScript", MaxErrors="50",
                         Parameters={"commands": [sys.argv[1]]})["Command"]["CommandId"] for at in (0, 50)]
waiting = {(sent[n // 50], instance) for n, instance in enumerate(ids)}
while waiting:
    for command, instance in sorted(waiting):
        reply = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        if reply["Status"] not in ("Pending", "InProgress"):
            waiting.discard((command, instance))
    time.sleep(1)
"""


def calls(sandbox: Sandbox) -> Counter[str]:
    """Return the number of SSM calls since the last count."""
    return Counter(str(call["action"]) for call in sandbox.calls if call["service"] == "ssm")


def ours(sandbox: Sandbox, command: str) -> tuple[float, int]:
    """Run the command with fleet; return seconds and successes."""
    arguments = ["fleet", "--on", "tag:Fleet=yes", "--yes", "--max-concurrency", "100", "-O", "jsonl", "my-profile"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "aws_runas", *arguments, "--", command],
        env=sandbox.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    return seconds, sum(json.loads(line)["status"] == "success" for line in done.stdout.splitlines())


def peer(sandbox: Sandbox, command: str) -> float:
    """Run the command as a boto3 script would; return seconds."""
    began = time.monotonic()
    program = [sys.executable, "-m", "aws_runas", "-E", "my-profile", sys.executable, "-c", PEER, command]
    subprocess.run(program, env=sandbox.environ, capture_output=True, check=True)
    return time.monotonic() - began


def shown(seconds: float, counted: Counter[str]) -> str:
    """Return a cell: the duration and the calls."""
    return f"{seconds:.1f} s, " + ", ".join(f"{count:,} {name}" for name, count in sorted(counted.items()))


def virtual() -> list[str]:
    """Simulate ten thousand targets in virtual time; return the row of the table."""
    nonce, pair = "feedbeef", Pair("p", "eu-west-1")
    hosts = [Host(pair, f"i-{number:017x}") for number in range(10_000)]
    service = Service(nonce, lambda host: Machine(seconds=1 + int(host.instance_id[2:], 16) % 20))
    _, end = play(FleetPolicy(hosts, Limits(concurrency=1000), nonce), service)
    calls = Counter({CALLS[str(name)]: count for name, count in service.calls.items()})
    name = "10,000 targets, 1,000 at a time, commands of 1 to 20 s, in virtual time"
    return [name, f"{shown(end, calls)}, {service.throttled.total()} throttled", ""]


def main() -> None:
    """Print a table, and store its numbers."""
    results = Results("fleet")
    cells = []
    with start_loaded_sandbox(SandboxOptions(instances=INSTANCES)) as sandbox:
        for name, command in (("short output", SHORT), ("20 KB each", LONG)):
            before = calls(sandbox)
            seconds, successes = ours(sandbox, command)
            between = calls(sandbox)
            other = peer(sandbox, command)
            after = calls(sandbox)
            if successes != INSTANCES:
                raise SystemExit(f"{name}: {successes} of {INSTANCES} instances succeeded")
            cells.append([name, shown(seconds, between - before), shown(other, after - between)])
            rows = {"fleet": seconds, "loop of boto3 with a call for each instance": other}
            results.add(f"A command on {INSTANCES} instances, {name}", "s", rows)
    cells.append(virtual())
    results.table("Fleet", ("", "fleet: seconds, calls", "boto3 loop: seconds, calls"), cells)
    results.write()


if __name__ == "__main__":
    main()
