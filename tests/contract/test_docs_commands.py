"""Every command line of README, tutorial and how-to is one that the program accepts, and command blocks run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing import parser
from aws_runas.errors import UsageError
from aws_runas.sandbox.world import Sandbox
from tests.contract.docs_blocks import Block, blocks
from tests.contract.docs_world import SCENARIOS, make_world, on_free_ports
from tests.integration.conftest import sandbox

__all__ = ["sandbox"]

BLOCKS = blocks()
NOT_RUN = [  # pages of the blocks that cannot be run; each has its reason above it
    "docs/how-to/credentials.md",
    "docs/how-to/serve.md",
    "docs/how-to/serve.md",
    "docs/how-to/serve.md",
    "docs/how-to/uninstall.md",
]


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


def _runnable() -> list[object]:
    """The blocks that run here; those of the how-to pages take a minute together, so they are slow tests."""
    runnable = [block for block in BLOCKS if not block.not_run and not block.interop]
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(each, id=each.place, marks=marks["how-to" in each.place]) for each in runnable]


@pytest.mark.parametrize("block", _runnable())
def test_the_block_runs_in_the_sandbox(block: Block, sandbox: Sandbox, tmp_path: Path) -> None:
    with make_world(sandbox, tmp_path) as world:
        SCENARIOS[block.scenario](on_free_ports(block), world)


def test_every_scenario_has_a_block() -> None:
    assert set(SCENARIOS) == {block.scenario for block in BLOCKS if not block.not_run and not block.interop}


def test_few_blocks_cannot_be_run() -> None:
    assert [block.place.partition(":")[0] for block in BLOCKS if block.not_run] == NOT_RUN
