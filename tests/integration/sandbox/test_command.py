"""``aws-runas sandbox COMMAND``: its status is ours, and nothing stays behind, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

AWS_RUNAS = [sys.executable, "-m", "aws_runas"]
TELL = 'echo "$RUNAS_SANDBOX $AWS_ENDPOINT_URL $$"; '
DEADLINE = 20.0  # seconds


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait for something that other processes do."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def answers(endpoint: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(endpoint.rpartition(":")[2]))) == 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    return kept | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "AWS_PROFILE": "foreign", "AWS_ACCESS_KEY_ID": "x"}


def run(environ: dict[str, str], *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*AWS_RUNAS, "sandbox", *words], env=environ, input=input, capture_output=True, timeout=60, check=False
    )


class Running:
    """A sandbox whose command has told where it is."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        directory, self.endpoint, pid = process.stdout.readline().decode().split()
        self.process = process
        self.directory = Path(directory)
        self.pid = int(pid)

    def is_gone(self) -> bool:
        return not self.directory.exists() and not answers(self.endpoint) and not alive(self.pid)


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[Callable[..., Running]]:
    processes: list[subprocess.Popen[bytes]] = []

    def begin(script: str, *flags: str) -> Running:
        words = [*AWS_RUNAS, "sandbox", *flags, "sh", "-c", TELL + script]
        process = subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, start_new_session=True)
        processes.append(process)
        return Running(process)

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
)
def test_status_of_the_command_is_ours(environ: dict[str, str], script: str, status: int) -> None:
    assert run(environ, "sh", "-c", script).returncode == status


@pytest.mark.slow
def test_command_that_cannot_be_found_or_executed(environ: dict[str, str], tmp_path: Path) -> None:
    missing = run(environ, "no-such-program-anywhere")
    assert (missing.returncode, b"no-such-program-anywhere" in missing.stderr) == (127, True)
    plain = tmp_path / "plain"
    plain.write_text("no program")
    assert run(environ, str(plain)).returncode == 126


def test_environment_points_at_the_sandbox_and_holds_nothing_foreign(environ: dict[str, str]) -> None:
    shown = run(environ, "env").stdout.decode()
    variables = dict(line.partition("=")[::2] for line in shown.splitlines() if line.startswith(("AWS_", "RUNAS_")))
    directory = variables["RUNAS_SANDBOX"]
    assert variables["AWS_CONFIG_FILE"].startswith(directory)
    assert variables["RUNAS_CACHE_DIR"].startswith(directory)
    assert variables["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert not {"AWS_PROFILE", "AWS_ACCESS_KEY_ID"} & set(variables)
    assert not Path(directory).exists()


def test_files_are_for_this_user_alone(environ: dict[str, str]) -> None:
    script = 'find "$RUNAS_SANDBOX" -printf "%m %y %p\\n"'
    lines = run(environ, "sh", "-c", script).stdout.decode().splitlines()
    assert any(line.endswith("/config") for line in lines), lines
    for line in lines:
        mode, _, path = line.split(" ", 2)
        assert stat.S_IMODE(int(mode, 8)) & 0o077 == 0, path


def test_shell_runs_what_is_piped_into_it(environ: dict[str, str]) -> None:
    done = run(environ | {"SHELL": "/bin/sh"}, input=b"echo $((6*7)); exit 5\n")
    assert (done.stdout, done.returncode) == (b"42\n", 5)


@pytest.mark.slow
def test_flags_after_the_command_belong_to_the_command(environ: dict[str, str]) -> None:
    assert run(environ, "echo", "--kms", "-p", "1").stdout == b"--kms -p 1\n"
    assert run(environ, "--", "echo", "x").stdout == b"x\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_command_and_leaves_nothing(start: Callable[..., Running], number: signal.Signals) -> None:
    running = start("exec sleep 600")
    running.process.send_signal(number)
    assert running.process.wait(DEADLINE) == 128 + number
    assert eventually(running.is_gone)


@pytest.mark.slow
def test_command_that_ignores_signals_is_killed(start: Callable[..., Running]) -> None:
    running = start("trap '' TERM HUP; while :; do sleep 1; done")
    running.process.terminate()
    assert running.process.wait(DEADLINE) == 128 + signal.SIGTERM
    assert eventually(running.is_gone)


def test_ctrl_c_reaches_the_command_once_and_its_status_counts(start: Callable[..., Running]) -> None:
    running = start(
        'trap \'n=$((n+1))\' INT; echo ready; while [ -z "$n" ]; do sleep 0.05; done; echo "interrupted $n"; exit 9'
    )
    assert running.process.stdout is not None
    running.process.stdout.readline()
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.process.stdout.readline() == b"interrupted 1\n"
    assert running.process.wait(DEADLINE) == 9
    assert eventually(running.is_gone)


def test_nothing_stays_when_we_are_killed(start: Callable[..., Running]) -> None:
    running = start("exec sleep 600")
    running.process.kill()
    running.process.wait(DEADLINE)
    assert eventually(running.is_gone)


def test_shells_on_instances_end_with_the_sandbox(start: Callable[..., Running], tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = (
        f"(echo 'sleep 600 & echo $! > {mark}; wait'; sleep 600) | "
        f"{sys.executable} -m aws_runas shell my-profile i-deadbeef >/dev/null 2>&1 & wait"
    )
    running = start(script)
    assert eventually(lambda: mark.exists() and mark.read_text().strip() != "")
    pid = int(mark.read_text())
    assert alive(pid)
    running.process.kill()
    assert eventually(lambda: not alive(pid))
    assert eventually(running.is_gone)


def test_port_that_is_taken_is_a_clear_error(environ: dict[str, str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = run(environ, "-p", port, "true")
    assert done.returncode == 1
    first, hint = done.stderr.decode().splitlines()
    assert first == f"aws-runas: the sandbox cannot listen on 127.0.0.1:{port}: address already in use"
    assert "--port" in hint


def test_port_that_was_named_is_used(environ: dict[str, str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    done = run(environ, f"--port={port}", "sh", "-c", "echo $AWS_ENDPOINT_URL")
    assert done.stdout.decode().strip() == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-p", "0"], "port '0' is not in 1..65535"),
        (["-p", "http"], "port 'http' is not in 1..65535"),
        (["--loss", "much"], "--loss 'much': is no number"),
        (["--close-after", "5"], "--close-after '5': must be a time like 20ms, 5s or 10m"),
        (["--signature", "perhaps"], "must be one of optional, required, refused"),
        (["--agent-version", "3"], "--agent-version '3' is not like 3.3.0.0"),
        (["--clock-speed", "0"], "must be a positive number"),
        (["--agent-manners", "rude"], "--agent-manners 'rude': must be one of official, kind"),
        (["--agent-pace", "fast"], "--agent-pace 'fast': must be one of official, none"),
    ],
)
def test_options_without_sense_are_refused_with_their_value(
    environ: dict[str, str], flags: list[str], words: str
) -> None:
    done = run(environ, *flags, "true")
    assert done.returncode == 2
    assert words in done.stderr.decode()
