"""What `run` and `cp` know before they open a session: old agents, Windows, logged sessions; and the picker."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.world import Sandbox, start_sandbox
from tests.integration.conftest import AWS_RUNAS

pytestmark = pytest.mark.slow

WINDOWS = "i-0f1ee7ff000000003"


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """An old agent, logged sessions, and a Windows instance."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    home = str(tmp_path_factory.mktemp("home"))
    options = SandboxOptions(agent_version="3.1.1000.0", log_group="/sessions", instances=1)
    with start_sandbox(options, base=kept | {"HOME": home}) as running:
        yield running


def _runas(sandbox: Sandbox, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*AWS_RUNAS, *words],
        env=sandbox.environ, input=input, capture_output=True, timeout=60, start_new_session=True, check=False,
    )  # fmt: skip


def test_an_old_agent_gets_the_shell_at_once_and_is_asked_once(awkward: Sandbox) -> None:
    counts = [awkward.count(name) for name in ("StartSession", "DescribeInstanceInformation")]
    for _ in range(2):
        done = _runas(awkward, "run", "-n", "--events", "my-profile", "i-deadbeef", "echo hi; echo err >&2; exit 3")
        assert (done.stdout, done.returncode) == (b"hi\n", 3), done.stderr
        assert json.loads(done.stderr.splitlines()[0])["carrier"] == "shell"
    assert awkward.count("StartSession") == counts[0] + 2
    refused = _runas(awkward, "run", "-n", "--via", "document", "my-profile", "i-deadbeef", "true")
    assert refused.returncode == 6
    assert b"3.1.1000.0" in refused.stderr
    assert b"--via shell" in refused.stderr
    assert awkward.count("StartSession") == counts[0] + 2
    assert awkward.count("DescribeInstanceInformation") > counts[1]  # an old version is asked for again: it may be new


@pytest.mark.parametrize(
    "words",
    [("run", "-n", "my-profile", WINDOWS, "hostname"), ("run", "-t", "my-profile", WINDOWS, "hostname"),
     ("cp", "my-profile", "a", f"{WINDOWS}:./b"), ("cp", "my-profile", f"{WINDOWS}:./b", "a")],
)  # fmt: skip
def test_windows_is_refused_before_a_session_is_opened(awkward: Sandbox, words: tuple[str, ...]) -> None:
    before = awkward.count("StartSession")
    done = _runas(awkward, *words)
    assert done.returncode == 5
    lines = done.stderr.decode().splitlines()
    assert f"{words[0]} does not work with Windows instances yet: {WINDOWS}" in lines[0]
    assert len(lines) <= 2
    assert awkward.count("StartSession") == before


@pytest.mark.parametrize(("via", "upload"), [("shell", False), ("shell", True), ("port", False)])
def test_a_download_through_a_logged_session_warns(awkward: Sandbox, tmp_path: Path, via: str, upload: bool) -> None:
    (tmp_path / "a").write_bytes(b"content")
    sides = (f"{tmp_path}/a", f"web:{tmp_path}/b") if upload else (f"web:{tmp_path}/a", f"{tmp_path}/b")
    done = _runas(awkward, "cp", "--via", via, "my-profile", *sides)
    assert (done.returncode, (tmp_path / "b").read_bytes()) == (0, b"content"), done.stderr
    warned = [
        line for line in done.stderr.splitlines() if line.startswith(b"aws-runas: warning: this session is logged")
    ]
    assert len(warned) == (via == "shell" and not upload)
    assert all(b"/sessions" in line and b"--via port" in line for line in warned)


def _on_terminal(sandbox: Sandbox, words: list[str], keys: bytes) -> tuple[bytes, int]:
    """Run on a terminal, standard input from a file; press keys when the list is there."""
    pid, master = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (24, 100))
        os.execvpe(AWS_RUNAS[0], [*AWS_RUNAS, *words], {**sandbox.environ, "TERM": "xterm"})
    shown, typed = b"", False
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:
            data = b""
        if not data:
            break
        shown += data
        if not typed and b"bastion" in shown:
            os.write(master, keys)
            typed = True
    os.close(master)
    return shown, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_without_a_target_run_opens_the_picker(sandbox: Sandbox) -> None:
    shown, status = _on_terminal(
        sandbox, ["run", "-q", "my-profile", "--", "echo six times $((6*7)); exit 7"], b"web\r"
    )
    assert status == 7, shown
    assert b"six times 42" in shown


def test_without_a_target_cp_opens_the_picker(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    shown, status = _on_terminal(sandbox, ["cp", "-q", "my-profile", f"{tmp_path}/a", f":{tmp_path}/b"], b"web\r")
    assert (status, (tmp_path / "b").read_bytes()) == (0, b"content"), shown


@pytest.mark.parametrize("words", [("run", "my-profile", "--", "true"), ("cp", "my-profile", "a", ":/b"), ("run",)])
def test_without_a_terminal_a_missing_target_is_one_clear_line(sandbox: Sandbox, words: tuple[str, ...]) -> None:
    done = _runas(sandbox, *words)
    assert done.returncode == 2
    assert done.stderr.startswith(b"aws-runas: no target given")
    assert b"--pick" in done.stderr
