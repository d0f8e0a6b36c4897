"""``list instances``, and the list that opens if no target is given."""

from __future__ import annotations

import json

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS, RunAs


def test_instances_with_an_agent_are_listed_with_state_and_ping_status(sandbox: Sandbox, runas: RunAs) -> None:
    ran = runas(sandbox, "list", "instances", "my-profile")
    assert (ran.returncode, ran.stderr) == (0, b"")
    rows = [line.split() for line in ran.stdout.decode().splitlines()]
    assert ["i-deadbeef", "web", "running", "Online", "10.0.0.10"] in rows
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)
    found = json.loads(runas(sandbox, "list", "instances", "-O", "json", "my-profile").stdout)["instances"]
    assert [one["instance_id"] for one in found] == [row[0] for row in rows]
    assert all(one["ping_status"] == "Online" and one["state"] in ("running", "") for one in found)


@pytest.mark.parametrize("words", [("shell", "my-profile"), ("ssh", "my-profile"), ("forward", "9000"), ("shell",)])
def test_without_a_terminal_a_missing_target_names_the_picker(
    sandbox: Sandbox, runas: RunAs, words: tuple[str, ...]
) -> None:
    ran = runas(sandbox, *words)
    assert ran.returncode == 2
    assert b"no target given" in ran.stderr
    assert b"--pick" in ran.stderr
    assert ran.stderr.count(b"\n") == 1


def test_without_a_target_the_user_picks_it_with_keys_that_arrive_at_once(sandbox: Sandbox) -> None:
    child = pexpect.spawn(
        AWS_RUNAS[0], [*AWS_RUNAS[1:], "shell", "my-profile"], env=sandbox.environ | {"TERM": "xterm"}, timeout=60,
        dimensions=(24, 120),
    )  # fmt: skip
    child.expect_exact(b"type to narrow")
    shown = child.before or b""
    assert b"i-deadbeef" in shown
    assert b"Online" in shown
    child.send(b"deadbeef\r")
    child.expect(rb"[$#] ")
    child.sendline(b"exit 3")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus in (0, 3)
