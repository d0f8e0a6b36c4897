"""Every way to end a forward leaves no process, no session at the service and no socket."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS, MakeSandbox
from tests.integration.forward.support import PROFILE, TARGET, echo, forwarding, serving, wait_until
from tests.integration.forward.test_listening import answers
from tests.integration.forward.test_staying_up import active_sessions
from tests.unit.test_notices import fill


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_session_at_the_service_and_removes_the_socket(
    sandbox: Sandbox, tmp_path: Path, number: int
) -> None:
    path = tmp_path / "forward.sock"
    with serving(echo) as server:
        before = set(active_sessions(sandbox))
        words = ("-p", str(path), "-L", f"0:localhost:{server.port}", PROFILE, f"{TARGET}:{server.port}")
        with forwarding(sandbox, *words, lines=2) as forward:
            opened = set(active_sessions(sandbox)) - before
            assert opened
            assert forward.stop(number) == 128 + number
            assert not opened & set(active_sessions(sandbox))  # a program that another test has killed may open some
            assert not path.exists()
            assert "Traceback" not in forward.errors


def test_signal_while_connections_are_open_breaks_them_off(sandbox: Sandbox) -> None:
    with (
        serving(echo) as server,
        forwarding(sandbox, PROFILE, f"{TARGET}:{server.port}") as forward,
        forward.connect() as connection,
    ):
        assert answers(connection)
        assert forward.stop(signal.SIGTERM) == 143
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def end_while_opening(sandbox: Sandbox, verb: str, number: signal.Signals) -> int:
    """Send a signal while StartSession takes its time; the exit status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", verb, PROFILE, f"{TARGET}:9000"],
        env=sandbox.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_until(lambda: sandbox.count("AssumeRole") == 1, "StartSession comes next, and takes its time")
    process.send_signal(number)
    sandbox.set_faults(start_slow=0)  # answered after the signal however slow the machine is
    output, errors = process.communicate(timeout=30)
    assert (output, errors.count(b"Traceback")) == (b"", 0)
    return process.returncode


@pytest.mark.slow
def test_signal_while_the_first_session_is_being_opened_leaves_none(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(start_slow=60)
    assert end_while_opening(sandbox, "forward", signal.SIGTERM) == 143
    assert active_sessions(sandbox) == []


def test_parent_that_dies_takes_the_forward_along(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "orphan.sock"
    before = set(active_sessions(sandbox))
    script = (
        "import subprocess, sys, time; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); time.sleep(60)"
    )
    with serving(echo) as server:
        command = [sys.executable, "-m", "aws_runas", "forward", "-p", str(path), PROFILE, f"{TARGET}:{server.port}"]
        parent = subprocess.Popen(
            [sys.executable, "-c", script, *command],
            env=sandbox.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline().startswith(b"listening on ")
        parent.kill()
        parent.wait()
        parent.stdout.close()
        wait_until(lambda: not _is_running(child), "the forward has ended")
        assert set(active_sessions(sandbox)) <= before
        assert not path.exists()


def test_forward_under_nohup_outlives_its_parent(sandbox: Sandbox, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = f"nohup {sys.executable} -m aws_runas forward {PROFILE} {TARGET}:9000 >{output} 2>&1 & echo $!"
    started = subprocess.run(
        ["sh", "-c", command], env=sandbox.environ, capture_output=True, text=True, check=True, start_new_session=True
    )
    child = int(started.stdout)
    try:
        wait_until(lambda: "listening on" in output.read_text(), "it listens, its parent long gone")
        os.kill(child, signal.SIGHUP)
        assert _is_running(child)
    finally:
        os.kill(child, signal.SIGTERM)
    wait_until(lambda: not _is_running(child), "it has ended")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ssh_that_is_hung_up_while_its_session_is_being_opened_leaves_none(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(start_slow=60)
    assert end_while_opening(sandbox, "ssh", signal.SIGHUP) == 129
    assert active_sessions(sandbox) == []


@pytest.mark.slow
def test_log_that_nobody_reads_stops_neither_the_traffic_nor_the_end(sandbox: Sandbox) -> None:
    """With -v each connection is two lines, and each call to AWS another two with -v -v."""
    reader, writer = os.pipe()
    with serving(echo) as server:
        process = subprocess.Popen(
            [*AWS_RUNAS, "forward", "-v", "-v", "--sessions", "2", "my-profile", f"i-deadbeef:{server.port}"],
            env=sandbox.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writer,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            port = int(re.search(rb":(\d+) ->", process.stdout.readline()).group(1))  # type: ignore[union-attr]
            fill(writer)
            for number in range(60):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                    connection.sendall(b"%d" % number)
                    assert connection.recv(10) == b"%d" % number
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 128 + signal.SIGTERM
        finally:
            process.kill()
            process.communicate()
            os.close(writer)
            os.close(reader)
