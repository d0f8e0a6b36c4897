"""Clients of the session protocol that we did not write, against the sandbox."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.sandbox.clients import user_client
from tests.support import requires

from . import javascript

TIMEOUT = 60.0  # seconds


def javascript_shell(sandbox: Sandbox, typed: str, until: str) -> str:
    reply = user_client(sandbox, "ssm").start_session(Target="i-deadbeef")
    session = {name: reply[name] for name in ("SessionId", "StreamUrl", "TokenValue")}
    done = subprocess.run(
        [javascript.node(), "session.mjs"],
        cwd=javascript.FOLDER,
        env=os.environ | {"SESSION": json.dumps(session), "TYPED": typed, "UNTIL": until},
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )
    return done.stdout.decode()


def test_javascript_library_opens_a_shell_of_its_size(make_sandbox: Any) -> None:
    """It tells its size when publication starts, and knows that by the length of the bare text, which is 17."""
    sandbox = make_sandbox(publication="text")
    shown = javascript_shell(sandbox, "stty size; echo six times seven is $((6*7))\r", "is 42")
    assert "34 97" in shown


def test_aws_cli_gets_a_session_and_would_hand_it_to_the_plugin(sandbox: Sandbox, tmp_path: Path) -> None:
    """The plugin here writes down what it was given."""
    plugin = tmp_path / "session-manager-plugin"
    plugin.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.arguments"; env | grep AWS_SSM >> "$0.arguments"; exit 0\n')
    plugin.chmod(0o700)
    done = subprocess.run(
        ["aws", "ssm", "start-session", "--target", "i-deadbeef", "--profile", "my-profile"],
        env=sandbox.environ | {"PATH": f"{tmp_path}:{sandbox.environ['PATH']}"},
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    arguments = (tmp_path / "session-manager-plugin.arguments").read_text()
    assert "StartSession" in arguments
    assert sandbox.endpoint in arguments
    assert '"Target": "i-deadbeef"' in arguments


def test_aws_cli_tells_who_it_is(sandbox: Sandbox) -> None:
    done = subprocess.run(
        ["aws", "sts", "get-caller-identity", "--profile", "my-profile"],
        env=sandbox.environ,
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert ":assumed-role/my-role/" in json.loads(done.stdout)["Arn"]


@pytest.fixture
def pyssm() -> str:
    found = shutil.which("pyssm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        requires.missing("needs the program pyssm; `make interop` installs it")
    return found


def test_pyssm_runs_a_command(sandbox: Sandbox, pyssm: str) -> None:
    done = subprocess.run(
        [pyssm, "exec", "--target", "i-deadbeef", "--command", "echo $((6*7)); exit 3", "--profile", "my-profile",
         "--endpoint-url", sandbox.endpoint],
        env=sandbox.environ, capture_output=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert b"42" in done.stdout
    assert done.returncode == 3


def test_pyssm_forwards_a_port(sandbox: Sandbox, pyssm: str) -> None:
    process = subprocess.Popen(
        [pyssm, "port-forward", "--target", "i-deadbeef", "--remote-port", "9000", "--profile", "my-profile",
         "--endpoint-url", sandbox.endpoint],
        env=sandbox.environ | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = next(line for line in iter(process.stdout.readline, b"") if b"127.0.0.1" in line or b"localhost" in line)
        port = int("".join(c for c in line.decode().rpartition(":")[2].split()[0] if c.isdigit()))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=TIMEOUT) as answer:
            assert b"hello from the sandbox" in answer.read()
    finally:
        process.kill()
        process.communicate()
