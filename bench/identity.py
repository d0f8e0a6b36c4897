"""Measures the search for the roles of a user with 20 groups and 200 roles: ours, and the same calls in sequence.

"By hand" makes one call after the other. IAM is moto in a separate process; a second row adds the round trip of a real
network to each call.

    python -m bench.identity [ROUNDS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.moto_world import MotoWorld

from aws_runas.identity.roles import own_roles
from bench.results import Results

GROUPS = 20
ROLES = 200
ROUND_TRIP = 0.03  # seconds, from a laptop to the next region

_SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
input()
"""


def role(number: int) -> str:
    return f"arn:aws:iam::{number % 7 + 111111111111}:role/role-{number:03}"


def document(numbers: range) -> str:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": [role(number) for number in numbers]}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def populate(world: MotoWorld) -> dict[str, str]:
    """Create the user; half of each group's roles are in an inline policy, half in an attached one."""
    iam = world.client("iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    each = ROLES // GROUPS
    for number in range(GROUPS):
        name, first = f"group-{number}", number * each
        iam.create_group(GroupName=name)
        iam.add_user_to_group(GroupName=name, UserName="ann")
        half = first + each // 2
        iam.put_group_policy(GroupName=name, PolicyName="inline", PolicyDocument=document(range(first, half)))
        arn = iam.create_policy(PolicyName=name, PolicyDocument=document(range(half, first + each)))["Policy"]["Arn"]
        iam.attach_group_policy(GroupName=name, PolicyArn=arn)
    environ = world.environ(AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"])
    del environ["AWS_SESSION_TOKEN"]
    return environ


def by_hand(sts: Any, iam: Any) -> int:
    """Make the same calls in sequence; return the number of roles found."""
    user = sts.get_caller_identity()["Arn"].rpartition("/")[2]
    found: set[str] = set()

    def take(policy: Any) -> None:
        for statement in policy["Statement"]:
            found.update(statement["Resource"])

    def managed(arn: str) -> None:
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        take(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])

    for name in iam.list_user_policies(UserName=user)["PolicyNames"]:
        take(iam.get_user_policy(UserName=user, PolicyName=name)["PolicyDocument"])
    for one in iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]:
        managed(one["PolicyArn"])
    for group in iam.list_groups_for_user(UserName=user)["Groups"]:
        name = group["GroupName"]
        for policy in iam.list_group_policies(GroupName=name)["PolicyNames"]:
            take(iam.get_group_policy(GroupName=name, PolicyName=policy)["PolicyDocument"])
        for one in iam.list_attached_group_policies(GroupName=name)["AttachedPolicies"]:
            managed(one["PolicyArn"])
    return len(found)


def timed(work: Callable[[], int]) -> float:
    start = time.perf_counter()
    assert work() == ROLES
    return time.perf_counter() - start


def compare(world: MotoWorld, environ: dict[str, str], rounds: int, delay: float) -> tuple[float, float]:
    """Return the medians of ours and by hand, in seconds."""
    access = world.access(environ=environ)
    sts, iam = access.user_client("sts"), access.user_client("iam")
    if delay:
        for client in (sts, iam):
            client.meta.events.register("before-send", lambda **_: time.sleep(delay))
    ours, hand = [], []
    for _ in range(rounds):
        ours.append(timed(lambda: len(own_roles(access)[1].roles)))
        hand.append(timed(lambda: by_hand(sts, iam)))
    return statistics.median(ours), statistics.median(hand)


def main() -> None:
    """Print the table, and store its numbers."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    results = Results("identity")
    cells = []
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        with tempfile.TemporaryDirectory() as home:
            world = MotoWorld(server.stdout.readline().strip(), Path(home))
            environ = populate(world)
            for name, delay in (
                ("IAM on loopback", 0.0),
                (f"{ROUND_TRIP * 1000:.0f} ms more for each call", ROUND_TRIP),
            ):
                ours, hand = (seconds * 1000 for seconds in compare(world, environ, rounds, delay))
                cells.append([name, f"{ours:.0f} ms", f"{hand:.0f} ms", f"{ours / hand:.2f}"])
                rows = {"ours": ours, "one call after the other": hand}
                results.add(f"{ROLES} roles of {GROUPS} groups, {name}", "ms", rows)
    finally:
        server.kill()
        server.wait()
    title = f"{ROLES} roles of {GROUPS} groups, medians of {rounds}"
    results.table("Own roles", (title, "ours", "one call after the other", "ratio"), cells)
    results.write()


if __name__ == "__main__":
    main()
