"""Instances with each Python that this machine has: `run` and `cp` work with 3.6 to 3.14 as the instance's python3.

The machine's own tests of the helper without a sandbox are in tests/integration/command/test_helper.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from aws_runas.sandbox.world import Sandbox, start_sandbox
from tests.integration.conftest import AWS_RUNAS
from tests.integration.copy.near import tree
from tests.support.pythons import VERSIONS, installed_pythons

PYTHONS = installed_pythons()
TARGET = ("my-profile", "i-deadbeef")
DATA = Random(31).randbytes(1_000_000) + b"\0\x1e\x03\x04" + b"\xef\xbf\xbd" * 50 + b"\xff\xfe\xfd"
SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class Instances:
    """A sandbox whose instances have the python3 of a directory that comes first in their PATH."""

    sandbox: Sandbox
    programs: Path

    def use(self, python: str) -> None:
        """Make this the instances' python3."""
        link = self.programs / "python3"
        link.unlink(missing_ok=True)
        link.symlink_to(python)


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instances]:
    """One sandbox for all versions."""
    programs, home = tmp_path_factory.mktemp("programs"), tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        running = start_sandbox(base=kept | {"HOME": str(home)})
    with running:
        yield Instances(running, programs)


def _start(sandbox: Sandbox, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*AWS_RUNAS, *words],
        env=sandbox.environ,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # a buffer would swallow what communicate() counts
        start_new_session=True,
    )


@pytest.fixture(params=PYTHONS.items(), ids=list(PYTHONS))
def version(request: pytest.FixtureRequest, instances: Instances) -> str:
    """A version of Python that the instances have now."""
    found: tuple[str, str] = request.param
    instances.use(found[1])
    return found[0]


def test_there_is_a_python_to_try() -> None:
    """Which ones: the parameters of the tests below. Our own version is always there."""
    assert set(PYTHONS) <= set(VERSIONS)
    assert PYTHONS


def test_bytes_streams_and_status_with_a_cut_in_the_middle(version: str, instances: Instances) -> None:
    sandbox = instances.sandbox
    before = sandbox.count("ResumeSession")
    process = _start(sandbox, "run", "-q", *TARGET, "tee /dev/stderr; exit 37", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(DATA[:60_000])
    process.stdin.flush()
    first = process.stdout.read(1)
    assert sandbox.cut() >= 1
    output, errors = process.communicate(DATA[60_000:], timeout=60)
    assert (first + output == DATA, errors == DATA, process.returncode) == (True, True, 37)
    assert sandbox.count("ResumeSession") > before


@pytest.mark.parametrize("via", ["document", "shell"])
def test_the_helper_runs_on_it_and_both_streams_and_statuses_are_right(
    version: str, instances: Instances, via: str
) -> None:
    process = _start(instances.sandbox, "run", "-v", "--via", via, *TARGET, "echo out; echo err >&2; kill -9 $$")
    output, errors = process.communicate(timeout=60)
    assert (output, process.returncode) == (b"out\n", 128 + 9)
    assert b"err\n" in errors
    assert f"Python {version}.".encode() in errors


def test_signals_reach_the_command(version: str, instances: Instances) -> None:
    traps = "".join(f"trap 'echo {number.name}' {number.name[3:]};" for number in SIGNALS)
    process = _start(
        instances.sandbox, "run", "-q", "--via", "shell", "--timeout", "60s", *TARGET,
        f"{traps} echo ready; n=0; while :; do sleep 0.05; done",
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for number in SIGNALS[:1] + SIGNALS[4:] + SIGNALS[1:4]:
        process.send_signal(number)
        assert process.stdout.readline() == f"{number.name}\n".encode()
    process.kill()
    process.communicate(timeout=30)


@pytest.mark.parametrize("via", ["port", "shell"])
def test_a_tree_is_copied_there_and_back(version: str, instances: Instances, tmp_path: Path, via: str) -> None:
    here = tmp_path / "here"
    (here / "a dir" / "empty").mkdir(parents=True)
    (here / "large").write_bytes(DATA + DATA[:300_000])
    (here / "a dir" / "-x it's").write_bytes(DATA[-200:])
    with open(os.fsencode(here) + b"/\xff\xfe", "wb") as stream:
        stream.write(b"odd name")
    (here / "run.sh").write_bytes(b"#!/bin/sh\n")
    (here / "run.sh").chmod(0o755)
    (here / "link").symlink_to("run.sh")
    for sides in ((f"{here}", f"i-deadbeef:{tmp_path}/there"), (f"i-deadbeef:{tmp_path}/there", f"{tmp_path}/back")):
        process = _start(instances.sandbox, "cp", "-q", "-r", "-p", "--via", via, "my-profile", *sides)
        assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == 0
    assert tree(tmp_path / "there", modes=True) == tree(here, modes=True)
    assert tree(tmp_path / "back", modes=True) == tree(here, modes=True)
