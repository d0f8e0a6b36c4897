"""One sandbox whose faults are changed from test to test: starting one takes most of a second."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from aws_runas.sandbox.options import Faults
from aws_runas.sandbox.world import Sandbox, start_sandbox


class Faulty:
    """The sandbox; its sessions keep the faults that were set when they began."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def play(self, **faults: Any) -> Sandbox:
        """Set these faults and no others, with no session left of those before."""
        self.sandbox.end_sessions()
        self.sandbox.set_faults(**(asdict(Faults()) | faults))
        return self.sandbox


@pytest.fixture(scope="session")
def faulty() -> Iterator[Faulty]:
    with start_sandbox(base={"PATH": os.environ["PATH"]}) as sandbox:
        yield Faulty(sandbox)
