"""--plugin with a program in the plugin's place, which tells what it was given."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import RunAs
from tests.integration.shell.terminal import eventually

STAND_IN = """#!{python}
import json, os, signal, sys, time
if sys.argv[1:] == ["--version"]:
    print("{version}")
    sys.exit()
hits = []
signal.signal(signal.SIGINT, lambda *_: hits.append(1))
seen = {{"argv": sys.argv[1:], "environ": dict(os.environ), "stdin": ""}}
with open({report!r} + ".part", "w") as report:
    json.dump(seen, report)
os.rename({report!r} + ".part", {report!r})
while {wait} and not hits:
    time.sleep(0.02)
sys.exit(17 if not hits else 18)
"""


def install(directory: Path, version: str, *, wait: bool = False) -> Path:
    """Put the stand-in into a directory; returns where it reports."""
    report = directory / "report.json"
    program = directory / "session-manager-plugin"
    program.write_text(STAND_IN.format(python=sys.executable, version=version, report=str(report), wait=wait))
    program.chmod(0o755)
    return report


def told(report: Path) -> Any:
    return json.loads(report.read_text())


def test_the_plugin_gets_the_session_by_variable_and_credentials_beside_it(
    sandbox: Sandbox, runas: RunAs, tmp_path: Path
) -> None:
    report = install(tmp_path, "1.2.764.0")
    before = sandbox.count("TerminateSession")
    path = f"{tmp_path}{os.pathsep}{sandbox.environ['PATH']}"
    done = runas(sandbox, "shell", "--plugin", "--reason", "why", "my-profile", "i-deadbeef", PATH=path)
    assert done.returncode == 17, done.stderr
    assert done.stderr == b""
    seen = told(report)
    response = json.loads(seen["environ"]["AWS_SSM_START_SESSION_RESPONSE"])
    assert seen["argv"][:3] == ["AWS_SSM_START_SESSION_RESPONSE", "us-east-1", "StartSession"]
    assert seen["argv"][3] == ""
    assert json.loads(seen["argv"][4]) == {"Target": "i-deadbeef", "Reason": "why"}
    assert seen["argv"][5] == sandbox.endpoint
    assert response["TokenValue"] not in " ".join(seen["argv"])
    assert "AWS_ACCESS_KEY_ID" not in seen["environ"]
    assert seen["environ"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:")
    assert sandbox.count("TerminateSession") > before


def test_an_outdated_plugin_is_warned_of_and_one_that_is_too_old_refused(
    sandbox: Sandbox, runas: RunAs, tmp_path: Path
) -> None:
    path = f"{tmp_path}{os.pathsep}{sandbox.environ['PATH']}"
    report = install(tmp_path, "1.1.26.0")
    done = runas(sandbox, "shell", "--plugin", "my-profile", "i-deadbeef", PATH=path)
    assert done.returncode == 17
    assert b"warning: session-manager-plugin 1.1.26.0 does not sign" in done.stderr
    assert json.loads(told(report)["argv"][0])["SessionId"]
    install(tmp_path, "1.1.25.9")
    before = sandbox.count("StartSession")
    done = runas(sandbox, "shell", "--plugin", "my-profile", "i-deadbeef", PATH=path)
    assert done.returncode == 6
    assert b"1.1.26.0 or later is needed" in done.stderr
    assert sandbox.count("StartSession") == before, "nothing is opened for a plugin that cannot be used"


def test_ctrl_c_goes_to_the_plugin(sandbox: Sandbox, tmp_path: Path) -> None:
    report = install(tmp_path, "1.2.764.0", wait=True)
    environ = sandbox.environ | {"PATH": f"{tmp_path}{os.pathsep}{sandbox.environ['PATH']}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", "shell", "--plugin", "my-profile", "i-deadbeef"],
        env=environ,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        eventually(report.exists)
        address = told(report)["environ"]
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 18
    finally:
        process.kill()
        process.wait()
    request = urllib.request.Request(
        address["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        headers={"Authorization": address["AWS_CONTAINER_AUTHORIZATION_TOKEN"]},
    )
    with pytest.raises(OSError, match="refused"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5)
