"""Profiles that are written to the config file by several processes at once, and by one that is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.integration.conftest import AWS_RUNAS
from tests.integration.sso.test_login import Portal, portal, world  # noqa: F401 - fixtures

WORDS = ("sso", "profiles", "--write", "--sso-session", "sandbox-sso")
KILLED = """
import os, signal, sys
from aws_runas.cli import app
import aws_runas.credentials.sso_profiles, aws_runas.identity.sso_assignments, aws_runas.aws.sso
import aws_runas.cli.sso_session, aws_runas.cli.commands.sso
step, words = int(sys.argv[1]), sys.argv[2:]
count = 0
directory = os.path.dirname(os.environ["AWS_CONFIG_FILE"])

def watch(event, arguments):
    global count
    changes = event in ("os.rename", "os.remove", "os.chmod", "os.truncate") or (
        event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if changes:
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

sys.addaudithook(watch)
sys.exit(app.main(words))
"""


@pytest.fixture
def config(portal: Portal, tmp_path: Path) -> Path:  # noqa: F811
    """A config file of the test's own, below a signed-in user."""
    path = tmp_path / "config"
    path.write_bytes(Path(portal.environ["AWS_CONFIG_FILE"]).read_bytes() + b"\n# my own comment\n")
    portal.environ |= {"AWS_CONFIG_FILE": str(path)}
    portal.sandbox.set_faults(sso_accounts=20, sso_rate=1000.0)
    assert portal.run("login", "sandbox-sso").returncode == 0
    return path


def headings(path: Path) -> list[str]:
    return re.findall(r"(?m)^\[(.*)\]", path.read_text())


@pytest.mark.slow
def test_many_at_once_write_each_profile_once(portal: Portal, config: Path) -> None:  # noqa: F811
    before = config.read_text()
    started: list[subprocess.Popen[Any]] = [
        subprocess.Popen(
            [*AWS_RUNAS, *WORDS],
            env=portal.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 6, said
    found = headings(config)
    assert len(found) == len(set(found)) > 20
    assert config.read_text().startswith(before)
    added = [int(number) for text in said for number in re.findall(r"(\d+) added", text)]
    assert sum(added) == len(found) - len(re.findall(r"(?m)^\[", before))
    assert sum("nothing to change" in text for text in said) == 6 - len(added)


@pytest.mark.slow
def test_killed_at_any_step_the_file_is_the_old_or_the_new_one(portal: Portal, config: Path) -> None:  # noqa: F811
    old = config.read_bytes()
    assert portal.run(*WORDS).returncode == 0
    new = config.read_bytes()
    seen = set()
    for step in range(60):
        config.write_bytes(old)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(step), *WORDS], env=portal.environ, capture_output=True, timeout=60,
            check=False,
        )  # fmt: skip
        content = config.read_bytes()
        assert content in (old, new), f"half of it at step {step}"
        backup = config.with_name("config.bak")
        assert not backup.exists() or backup.read_bytes() == old
        seen.add(content == new)
        assert not [path for path in config.parent.iterdir() if path.suffix == ".tmp"] or content == old
        if done.returncode != -signal.SIGKILL:
            break
    assert done.returncode == 0, done.stderr
    assert step > 3
    assert seen == {False, True}
    assert os.stat(config).st_mode & 0o777 == 0o644


@pytest.mark.slow
def test_a_session_that_flags_describe_is_offered_to_the_config_file(portal: Portal, config: Path) -> None:  # noqa: F811
    """On a terminal it is written after a yes; without one the section is printed."""
    start = re.search(r"(?m)^sso_start_url = (\S+)", config.read_text())
    assert start is not None
    words = ["login", "--start-url", start[1], "--sso-region", "us-east-1", "--sso-session"]
    before = config.read_text()
    printed = portal.run(*words, "new")
    assert (printed.returncode, config.read_text()) == (0, before), printed.stderr
    assert f"[sso-session new]\nsso_start_url = {start[1]}\nsso_region = us-east-1" in printed.stderr
    for answer, is_written in (("n", False), ("y", True)):
        command = [*AWS_RUNAS, *words, f"asked-{answer}"]
        child = pexpect.spawn(command[0], command[1:], env=portal.environ, timeout=60, encoding="utf-8")
        child.expect(r"write \[sso-session asked-.\] to .*\? \[y/N\] ")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        assert (f"sso-session asked-{answer}" in headings(config)) == is_written
    assert config.read_text().startswith(before)
    assert config.with_name("config.bak").read_text() == before
    done = portal.run(*words, "asked-y")  # it is known now, and the same
    assert "already signed in to asked-y" in done.stderr
    other = portal.run("login", "--start-url", f"{start[1]}x", "--sso-region", "us-east-1", "--sso-session", "asked-y")
    assert (other.returncode, "in the config file with another start URL" in other.stderr) == (3, True)
