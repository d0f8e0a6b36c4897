"""Every command line of README, tutorial and how-to is one that the program accepts, and command blocks run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing import parser
from aws_runas.errors import UsageError
from aws_runas.sandbox.world import Sandbox
from tests.contract.docs_blocks import Block, blocks
from tests.integration.conftest import sandbox

__all__ = ["sandbox"]

BLOCKS = blocks()
ROLE = "arn:aws:iam::123456789012:role/my-role"
TIMEOUT = 120  # seconds for one block
PROGRAMS = ("terraform", "aws")  # stand-ins for programs of the user


def test_there_are_blocks_of_each_kind() -> None:
    assert len(BLOCKS) > 25
    assert sum(not block.not_run for block in BLOCKS) >= 10


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_the_command_lines_are_accepted(block: Block, tmp_path: Path) -> None:
    env = Environment(environ={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, home=tmp_path)
    for arguments in block.command_lines():
        try:
            parsed = parser.parse(arguments)
            if not parsed.help and parsed.command != "sandbox":
                app.understand(arguments, env)
        except UsageError as error:
            if error.code != "target-missing":  # an example may stop before its target
                pytest.fail(f"{block.place}: aws-runas {' '.join(arguments)}: {error.message}")


@pytest.mark.parametrize("block", [block for block in BLOCKS if not block.not_run], ids=lambda block: block.place)
def test_the_block_runs_in_the_sandbox(block: Block, sandbox: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        if name != "aws" or shutil.which("aws") is None:
            (folder / name).write_text("#!/bin/sh\nenv | grep -q ^AWS_\n")
            (folder / name).chmod(0o755)
    config = tmp_path / "config"
    text = Path(sandbox.environ["AWS_CONFIG_FILE"]).read_text()
    config.write_text(
        f"{text}\n[profile prod]\nrole_arn = {ROLE}\nsource_profile = {_user(sandbox)}\nregion = us-east-1\n"
    )
    credentials = tmp_path / "credentials"
    credentials.write_text(Path(sandbox.environ["AWS_SHARED_CREDENTIALS_FILE"]).read_text())
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    files = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    with (tmp_path / "output").open("w+b") as output:
        running = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail", "-c", block.script],
            env=sandbox.environ
            | files
            | {"PATH": path, "HOME": str(tmp_path), "RUNAS_CACHE_DIR": str(tmp_path / "cache")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=tmp_path,
            start_new_session=True,
        )
        try:
            status = running.wait(TIMEOUT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)  # what the block left in the background
        output.seek(0)
        assert status == 0, output.read().decode(errors="replace")


def _user(sandbox: Sandbox) -> str:
    """Name of the profile with the user's keys."""
    text = Path(sandbox.environ["AWS_CONFIG_FILE"]).read_text()
    found = re.search(r"source_profile *= *(\S+-user)", text)
    assert found is not None, text
    return found[1]
