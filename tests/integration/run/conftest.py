"""A sandbox whose credentials are cached, as they are when people work: the fast start is taken."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aws_runas.fast import shortcut
from aws_runas.fast import start as fast
from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS

PROFILE = "my-profile"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="session")
def warm(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a shell in the sandbox, with a home and a cache of its own that is warm."""
    home = tmp_path_factory.mktemp("home")
    found = dict(sandbox.environ) | {"HOME": str(home), "RUNAS_CACHE_DIR": str(home / "cache")}
    for _ in range(20):  # a config file that is younger than the clock's tick is not trusted
        subprocess.run([*AWS_RUNAS, "-E", PROFILE, "true"], env=found, check=True, timeout=60)
        if shortcut.read(PROFILE, found) is not None:
            return found
    raise AssertionError("there is no shortcut for the fast start")


@pytest.fixture
def environ(warm: dict[str, str]) -> dict[str, str]:
    """The variables of the warm shell, to be changed as the test likes."""
    return dict(warm)


@pytest.fixture(params=["fast", "full"])
def each_way(request: pytest.FixtureRequest, environ: dict[str, str]) -> dict[str, str]:
    """The same variables, once for the fast start and once for the full way."""
    return environ if request.param == "fast" else environ | {fast.SWITCH: "1"}


def run(words: list[str], environ: dict[str, str], **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run aws-runas to its end, without a terminal."""
    settings: dict[str, object] = {"input": b"", "capture_output": True, "timeout": 60, "start_new_session": True}
    return subprocess.run([*AWS_RUNAS, *words], env=environ, check=False, **(settings | options))  # type: ignore[call-overload,no-any-return]


def children_of(pid: int) -> list[int]:
    """Process ids of the children, of whatever thread."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(each) for each in (task / "children").read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process, zombies left out."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
