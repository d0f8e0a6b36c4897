"""A sandbox for the tests that want one: ``sandbox`` shared by all, ``make_sandbox`` for one with faults of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aws_runas.sandbox.options import Faults, SandboxOptions
from aws_runas.sandbox.world import Sandbox, start_sandbox

AWS_RUNAS = [sys.executable, "-m", "aws_runas"]
MakeSandbox = Callable[..., Sandbox]
RunAs = Callable[..., "subprocess.CompletedProcess[bytes]"]


def _base(home: Path) -> dict[str, str]:
    """The test runner's variables without what is a user's own; HOME is an empty directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    return kept | {"HOME": str(home)}


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox without faults, one for the whole run: do not change what others rely on."""
    with start_sandbox(base=_base(tmp_path_factory.mktemp("home"))) as running:
        yield running


@pytest.fixture
def make_sandbox(tmp_path: Path) -> Iterator[MakeSandbox]:
    """Make sandboxes of one's own: ``make_sandbox(close_after=2, agent_version="2.3.700.0")``."""
    with ExitStack() as stack:

        def make(**values: object) -> Sandbox:
            faults = {name: values.pop(name) for name in list(values) if name in Faults.__dataclass_fields__}
            options = SandboxOptions(faults=Faults(**faults), **values)  # type: ignore[arg-type]
            return stack.enter_context(start_sandbox(options, base=_base(tmp_path)))

        yield make


@pytest.fixture
def runas() -> RunAs:
    """Run aws-runas inside a sandbox: ``runas(sandbox, "shell", "my-profile", "i-deadbeef", input=b"exit\\n")``."""

    def run(
        where: Sandbox, *words: str, input: bytes = b"", timeout: float = 60, **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*AWS_RUNAS, *words],
            env=where.environ | environ,
            input=input,
            capture_output=True,
            timeout=timeout,
            start_new_session=True,  # no terminal, so that nothing waits for somebody to type
            check=False,
        )

    return run
