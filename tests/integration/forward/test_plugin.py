"""--plugin: what the external program is given. The program here only writes it down."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.forward.support import PROFILE, TARGET
from tests.integration.forward.test_listening import failure
from tests.integration.forward.test_staying_up import active_sessions

PLUGIN = """#!/bin/sh
if [ "$1" = --version ]; then echo 1.2.764.0; exit 0; fi
printf '%s\\n' "$@" > {folder}/arguments
"""


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """A session-manager-plugin in PATH that notes its arguments."""
    program = tmp_path / "session-manager-plugin"
    program.write_text(PLUGIN.format(folder=tmp_path))
    program.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def request_of(folder: Path) -> dict[str, object]:
    arguments = (folder / "arguments").read_text().splitlines()
    request: dict[str, object] = json.loads(next(line for line in arguments if line.startswith('{"Target"')))
    return request


def test_plugin_is_given_the_port_document_and_the_local_port(
    sandbox: Sandbox, plugin: dict[str, str], tmp_path: Path
) -> None:
    before = set(active_sessions(sandbox))
    result = failure(sandbox, "--plugin", "-p", "8765", PROFILE, f"{TARGET}:9000", environ=plugin)
    assert (result.returncode, result.stderr) == (0, "")
    assert request_of(tmp_path) == {
        "Target": TARGET,
        "DocumentName": "AWS-StartPortForwardingSession",
        "Parameters": {"portNumber": ["9000"], "localPortNumber": ["8765"]},
    }
    assert set(active_sessions(sandbox)) <= before


def test_plugin_reaches_hosts_behind_the_instance(sandbox: Sandbox, plugin: dict[str, str], tmp_path: Path) -> None:
    result = failure(sandbox, "--plugin", "-L", "5432:db.internal:5432", PROFILE, TARGET, environ=plugin)
    assert result.returncode == 0, result.stderr
    assert request_of(tmp_path)["Parameters"] == {
        "portNumber": ["5432"],
        "host": ["db.internal"],
        "localPortNumber": ["5432"],
    }


@pytest.mark.parametrize("words", [("-L", "1:h:2"), ("-p", "/tmp/x.sock"), ("--bind", "0.0.0.0")])
def test_what_the_plugin_cannot_do_is_refused(sandbox: Sandbox, plugin: dict[str, str], words: tuple[str, ...]) -> None:
    result = failure(sandbox, "--plugin", *words, PROFILE, f"{TARGET}:9000", environ=plugin)
    assert result.returncode == 2
    assert "--plugin" in result.stderr
