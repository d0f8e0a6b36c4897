"""Command blocks of the documentation that need programs which only these tests have (marked ``interop``)."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.contract.docs_blocks import Block, blocks
from tests.contract.docs_world import World, make_world
from tests.integration.forward.test_databases import create_database
from tests.interop.test_database_tokens import postgresql
from tests.interop.test_databases_by_name import folder, own_sandbox
from tests.interop.test_forwarded_programs import client, free_port
from tests.support import rds_iam, requires
from tests.support.bind_server import bind_server

__all__ = ["folder", "own_sandbox"]

BLOCKS = [block for block in blocks() if block.interop]


def test_a_block_of_each_kind_is_here() -> None:
    assert {block.scenario for block in BLOCKS} == set(SCENARIOS)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_the_block_runs(block: Block, own_sandbox: Sandbox, tmp_path: Path, folder: Path) -> None:
    with make_world(own_sandbox, tmp_path) as world:
        SCENARIOS[block.scenario](block, world, folder)


def _programs(block: Block, world: World, _folder: Path) -> None:
    """rsync, sftp and git, each with run in place of ssh."""
    for name in ("rsync", "sftp", "git"):
        requires.program(name, package="openssh-client" if name == "sftp" else name)
    (world.folder / "dir").mkdir()
    (world.folder / "dir" / "file").write_text("content\n")
    world.succeed("aws-runas run my-profile web 'mkdir -p site && git init -q --bare project.git'")
    world.succeed(block.script)
    assert world.succeed("aws-runas -q run my-profile web 'cat site/file'") == "content\n"
    assert (world.folder / "project" / ".git").is_dir()


def _database(block: Block, world: World, folder: Path) -> None:
    """psql through a forward, with a server whose name is that of a database of the sandbox."""
    requires.program("psql", package="postgresql-client")
    port, local = free_port(), free_port()
    host = create_database(world.sandbox, "ledger", port)
    keys = json.loads(world.succeed("aws-runas -O json my-profile"))
    secrets = {keys["AccessKeyId"]: (keys["SecretAccessKey"], keys["SessionToken"])}

    def check(name: str, password: str) -> bool:
        user = name.removeprefix("database:")
        return not rds_iam.refusal(password, host, port, user, "us-east-1", secrets.__getitem__, time.time())

    changes = {
        "rds:orders": "rds:ledger",
        "orders.cxyz.eu-west-1.rds.amazonaws.com": host,
        "15432": str(local),
        "PGDATABASE=orders": "PGDATABASE=postgres",
        ":5432": f":{port}",
        "psql": "psql -X -A -t -w -c 'select current_user'",
    }
    text = block.script
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    forward, _, rest = text.partition("\n")
    with bind_server(check) as bind_port, postgresql(folder, host, port, bind_port) as certificate:
        (world.folder / "global-bundle.pem").write_bytes(certificate.read_bytes())
        words = ["psql", "-X", "-w", "-h", str(folder), "-p", str(port), "-U", "tester", "-d", "postgres", "-c"]
        client(*words, "create role app login")
        with subprocess.Popen(
            ["bash", "-c", f"exec {forward}"],
            env=world.environ,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        ) as running:
            assert running.stdout is not None
            try:
                assert "listening on" in running.stdout.readline()
                assert world.succeed(rest).splitlines()[-1] == "app"
            finally:
                running.terminate()


SCENARIOS: dict[str, Callable[[Block, World, Path], None]] = {"programs": _programs, "database": _database}
