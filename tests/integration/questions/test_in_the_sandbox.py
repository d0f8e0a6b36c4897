"""Targets in every spelling and the diagnosis, from the command line to a session with an agent."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pexpect
import pytest

from aws_runas.sandbox.fixtures import INSTANCES
from aws_runas.sandbox.services.ecs import TASK
from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox, RunAs
from tests.support.name_server import dnsmasq

WEB = next(one for one in INSTANCES if one.instance_id == "i-deadbeef")
WORKERS = [one for one in INSTANCES if one.name == "worker"]


@pytest.fixture(scope="module")
def dns() -> Iterator[dict[str, str]]:
    """Variables that lead to a name server that knows two names."""
    records = [
        "--local=/#/",
        f"--host-record=web.example.test,{WEB.private_ip}",
        f"--txt-record=bastion.example.test,{WEB.instance_id}",
    ]
    with dnsmasq(records) as address:
        yield {"RUNAS_RESOLV_CONF": "/dev/null", "RUNAS_DNS_SERVER": address}


@pytest.mark.parametrize(
    "target",
    [
        WEB.instance_id,
        "Role:web",
        WEB.name,
        WEB.private_ip,
        str(WEB.public_ip),
        "web.example.test",
        "bastion.example.test",
    ],
)
def test_a_shell_opens_whatever_the_target_is_called(
    sandbox: Sandbox, runas: RunAs, dns: dict[str, str], target: str
) -> None:
    found = runas(sandbox, "shell", "my-profile", target, input=b"echo he''re\nexit\n", **dns)
    assert found.returncode == 0, found.stderr
    assert b"here" in found.stdout


@pytest.mark.parametrize("target", ["ecs:sandbox/web/app", f"ecs:sandbox_{TASK}_"])
def test_a_shell_opens_in_a_container_by_execute_command(sandbox: Sandbox, runas: RunAs, target: str) -> None:
    if target.endswith("_"):
        listed = runas(sandbox, "shell", "my-profile", "ecs:sandbox/web").stderr.decode().splitlines()
        assert "matches 2 containers" in listed[0]
        target = next(word for line in listed for word in line.split() if word.startswith(target))
    found = runas(sandbox, "shell", "-q", "my-profile", target, input=b"echo he''re\nexit\n")
    assert found.returncode == 0, found.stderr
    assert b"here" in found.stdout


def test_several_matches_are_listed_and_the_picker_chooses_one(
    sandbox: Sandbox, runas: RunAs, dns: dict[str, str]
) -> None:
    found = runas(sandbox, "shell", "my-profile", "worker", **dns)
    lines = found.stderr.decode().splitlines()
    assert found.returncode == 5
    assert lines[0] == "aws-runas: 'worker' matches 2 instances by Name tag"
    assert [line.split()[:3] for line in lines[1:3]] == [[one.instance_id, one.name, one.private_ip] for one in WORKERS]
    assert lines[3] == "aws-runas: give one of these instance ids, or choose with --pick"
    words = ["-m", "aws_runas", "shell", "-q", "--pick", "my-profile", "worker"]
    child = pexpect.spawn(
        sys.executable, words, env={**sandbox.environ, **dns, "TERM": "xterm"}, encoding="utf-8", timeout=30
    )
    child.expect("2 of 2; type to narrow")
    child.send(WORKERS[1].private_ip[-4:])
    child.expect("1 of 2; type to narrow")
    child.send("\r")
    child.expect(r"[$#] ")
    child.sendline("echo he''re; exit")
    child.expect("here")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_an_unknown_target_is_told_with_what_was_tried(sandbox: Sandbox, runas: RunAs, dns: dict[str, str]) -> None:
    found = runas(sandbox, "shell", "my-profile", "no such thing", **dns)
    assert found.returncode == 5
    assert found.stderr.decode().splitlines() == [
        "aws-runas: no instance matches 'no such thing' in us-east-1; tried in this order:",
        "  Name tag: no instance has it",
        "aws-runas: give an instance id (i-...), or check the region and that the instance is running",
    ]


def test_an_instance_of_nowhere_is_told_with_the_likely_cause(sandbox: Sandbox, runas: RunAs) -> None:
    found = runas(sandbox, "shell", "my-profile", "i-00000000")
    assert found.returncode == 5
    assert b"i-00000000 is not connected to Systems Manager in us-east-1" in found.stderr
    assert b"there is no such instance in us-east-1" in found.stderr


def checks(found: bytes) -> dict[str, str]:
    return {one["check"]: one["verdict"] for one in json.loads(found)["checks"]}


def test_everything_is_well_in_the_sandbox(sandbox: Sandbox, runas: RunAs, dns: dict[str, str]) -> None:
    found = runas(sandbox, "diagnose", "-O", "json", "my-profile", WEB.name, **dns)
    assert found.returncode == 0, found.stdout
    assert checks(found.stdout) == dict.fromkeys(
        (
            "profile",
            "variables",
            "region",
            "credentials",
            "clock",
            "sts",
            "identity",
            "key age",
            "target",
            "agent",
            "session",
            "plugin",
        ),
        "ok",
    )


def test_each_check_is_a_line(sandbox: Sandbox, runas: RunAs) -> None:
    lines = runas(sandbox, "diagnose", "my-profile", WEB.instance_id).stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 12


def test_a_role_that_may_not_open_sessions_is_found_out(sandbox: Sandbox, runas: RunAs) -> None:
    found = runas(sandbox, "diagnose", "-O", "json", "my-profile-reader", WEB.instance_id)
    assert found.returncode == 6
    verdicts = checks(found.stdout)
    assert verdicts["identity"] == "ok"
    assert verdicts["session"] == "fail"


@pytest.mark.slow
def test_an_old_agent_is_warned_of(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    where = make_sandbox(agent_version="2.3.600.0")
    found = runas(where, "diagnose", "-O", "json", "my-profile", WEB.instance_id)
    assert checks(found.stdout)["agent"] == "warn"


def test_a_wrong_profile_ends_the_diagnosis_with_its_status(sandbox: Sandbox, runas: RunAs) -> None:
    found = runas(sandbox, "diagnose", "my-profil")
    assert found.returncode == 3
    assert found.stdout.startswith(b"fail  profile    profile my-profil does not exist; did you mean my-profile")


def test_an_mfa_code_that_nobody_can_type_is_a_failure_not_a_wait(sandbox: Sandbox, runas: RunAs) -> None:
    found = runas(sandbox, "diagnose", "-O", "json", "my-profile-mfa")
    assert found.returncode == 4
    assert checks(found.stdout)["identity"] == "fail"
