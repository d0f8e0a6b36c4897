"""Where a forward listens, what it prints, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from aws_runas.ssm.forward.listener import COMPLAIN_INTERVAL
from tests.integration.forward.support import (
    DEADLINE,
    PROFILE,
    TARGET,
    Forwarded,
    echo,
    forwarding,
    receive_exactly,
    serving,
)
from tests.support.ports import free_port


def failure(sandbox: Sandbox, *words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a forward that is to fail."""
    return subprocess.run(
        [sys.executable, "-m", "aws_runas", "forward", *words],
        env=sandbox.environ | (environ or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        start_new_session=True,
        check=False,
    )


def answers(connection: socket.socket) -> bool:
    connection.settimeout(DEADLINE)
    connection.sendall(b"hello")
    return receive_exactly(connection, 5) == b"hello"


def test_listening_line_names_the_port_that_was_asked_for(sandbox: Sandbox) -> None:
    port = free_port()
    with serving(echo) as server:
        with forwarding(sandbox, "-p", str(port), PROFILE, f"{TARGET}:{server.port}") as forward:
            assert forward.lines == [f"listening on 127.0.0.1:{port} -> {TARGET}:{server.port}\n"]
            with forward.connect() as connection:
                assert answers(connection)
        assert forward.errors == ""


def test_json_line_has_the_address_in_parts(sandbox: Sandbox) -> None:
    with serving(echo) as server, forwarding(sandbox, "-O", "json", PROFILE, f"{TARGET}:{server.port}") as forward:
        line = json.loads(forward.lines[0])
        assert line["host"] == "127.0.0.1"
        assert line["local"] == f"127.0.0.1:{line['port']}"
        assert line["target"] == TARGET
        assert line["remote_port"] == server.port
        with socket.create_connection((line["host"], line["port"]), DEADLINE) as connection:
            assert answers(connection)


def test_many_forwards_in_one_process_and_hosts_behind_the_instance(sandbox: Sandbox) -> None:
    sandbox_calls = len(sandbox.calls)
    with serving(echo) as server:
        far = f"127.0.0.1:{server.port}"
        words = ["-L", f"0:{far}", "-L", f"127.0.0.1:0:localhost:{server.port}", PROFILE, f"{TARGET}:{server.port}"]
        with forwarding(sandbox, *words, lines=3) as forward:
            for line in forward.lines:
                port = int(line.split(" -> ")[0].rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
                    assert answers(connection)
    started = [call for call in sandbox.calls[sandbox_calls:] if call["action"] == "StartSession"]
    assert {call["parameters"].get("DocumentName") for call in started} == {"AWS-StartPortForwardingSession"}


def test_host_behind_the_instance_takes_the_document_for_remote_hosts(sandbox: Sandbox) -> None:
    before = len(sandbox.calls)
    with socket.socket() as listening:
        listening.bind(("127.0.0.2", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with forwarding(sandbox, "-L", f"0:127.0.0.2:{port}", PROFILE, TARGET) as forward:
            assert forward.lines[0].endswith(f" -> 127.0.0.2:{port} via {TARGET}\n")
            with forward.connect() as connection:
                accepted, _ = listening.accept()
                with accepted:
                    connection.sendall(b"through")
                    assert receive_exactly(accepted, 7) == b"through"
    started = [call for call in sandbox.calls[before:] if call["action"] == "StartSession"]
    assert started[0]["parameters"]["DocumentName"] == "AWS-StartPortForwardingSessionToRemoteHost"
    assert started[0]["parameters"]["Parameters"] == {"portNumber": [str(port)], "host": ["127.0.0.2"]}


def test_ipv6_at_the_local_end(sandbox: Sandbox) -> None:
    with serving(echo) as server:
        with forwarding(sandbox, "-L", f"[::1]:0:localhost:{server.port}", PROFILE, TARGET) as forward:
            assert forward.lines[0].startswith("listening on [::1]:")
            with socket.create_connection(("::1", forward.port), DEADLINE) as connection:
                assert answers(connection)
        with forwarding(sandbox, "--bind", "localhost", PROFILE, f"{TARGET}:{server.port}") as forward:
            hosts = {str(each[4][0]) for each in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}
            for host in hosts:
                with socket.create_connection((host, forward.port), DEADLINE) as connection:
                    assert answers(connection)


def test_unix_socket_is_private_and_gone_afterwards(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "db.sock"
    with serving(echo) as server:
        with forwarding(sandbox, "-p", str(path), PROFILE, f"{TARGET}:{server.port}") as forward:
            assert forward.lines == [f"listening on {path} -> {TARGET}:{server.port}\n"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                assert answers(connection)
        assert not path.exists()


def test_socket_of_a_dead_process_is_replaced(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with (
        serving(echo) as server,
        forwarding(sandbox, "-L", f"{path}:localhost:{server.port}", PROFILE, TARGET),
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.connect(str(path))
        assert answers(connection)


def test_socket_that_somebody_answers_on_is_left_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "live.sock"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        result = failure(sandbox, "-p", str(path), PROFILE, f"{TARGET}:9000")
        assert result.returncode == 6
        assert f"{path} is in use already" in result.stderr
    assert path.exists()


def test_file_in_the_place_of_a_socket_is_left_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine")
    result = failure(sandbox, "-p", str(path), PROFILE, f"{TARGET}:9000")
    assert result.returncode == 6
    assert "is not a socket" in result.stderr
    assert path.read_text() == "mine"


def test_taken_port_names_the_process_that_holds_it(sandbox: Sandbox) -> None:
    before = sandbox.count("StartSession")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = failure(sandbox, "-p", str(port), PROFILE, f"{TARGET}:9000")
    assert result.returncode == 6
    assert f"127.0.0.1:{port} is in use already" in result.stderr
    assert f"(pid {os.getpid()})" in result.stderr
    assert result.stdout == ""
    assert sandbox.count("StartSession") == before, "no session is opened for a port that cannot be had"


def test_same_port_twice_is_an_error_and_no_traceback(sandbox: Sandbox) -> None:
    port = free_port()
    result = failure(sandbox, "-L", f"{port}:localhost:1", "-L", f"{port}:localhost:2", PROFILE, TARGET)
    assert result.returncode == 6
    assert f"127.0.0.1:{port} is in use already" in result.stderr
    assert "Traceback" not in result.stderr


def test_connections_wait_when_files_run_out_and_one_line_says_so(sandbox: Sandbox) -> None:
    port, start = free_port(), time.monotonic()
    with serving(echo) as server:
        command = f"ulimit -n 64; exec {sys.executable} -m aws_runas forward -p {port} {PROFILE} {TARGET}:{server.port}"
        process = subprocess.Popen(
            ["sh", "-c", command],
            env=sandbox.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"listening on ")
        connections = [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(100)]
        for connection in connections:
            with connection:
                assert answers(connection)
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE)
    lines = errors.splitlines()
    assert set(lines) == {b"aws-runas: connections have to wait: [Errno 24] Too many open files"}
    assert len(lines) <= 1 + (time.monotonic() - start) / COMPLAIN_INTERVAL  # thousands of attempts otherwise


def test_what_is_wrong_shows_at_once(sandbox: Sandbox) -> None:
    result = failure(sandbox, PROFILE, "i-00000000:9000")
    assert result.returncode == 5
    assert "i-00000000" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["my-profile", "i-deadbeef"], "i-deadbeef"),
        (["my-profile", "i-deadbeef:0"], "'0'"),
        (["my-profile", "i-deadbeef:65536"], "'65536'"),
        (["my-profile", "i-deadbeef:http"], "i-deadbeef:http"),
        (["-p", "65536", "my-profile", "i-deadbeef:9000"], "65536"),
        (["-p", "eighty", "my-profile", "i-deadbeef:9000"], "eighty"),
        (["-L", "1:2", "my-profile", "i-deadbeef"], "1:2"),
        (["-L", "5432:db:0", "my-profile", "i-deadbeef"], "5432:db:0"),
        (["--sessions", "9", "my-profile", "i-deadbeef:9000"], "9"),
        (["--sessions", "many", "my-profile", "i-deadbeef:9000"], "many"),
        (["--half-close", "soon", "my-profile", "i-deadbeef:9000"], "soon"),
        (["-O", "env", "my-profile", "i-deadbeef:9000"], "env"),
        (["-p", "1234", "-L", "5432:db:5432", "my-profile", "i-deadbeef"], "i-deadbeef"),
        ([], "no target"),
        (["my-profile", "i-deadbeef:9000", "extra"], "extra"),
    ],
)
def test_bad_command_lines_are_one_line_that_names_the_value(sandbox: Sandbox, words: list[str], value: str) -> None:
    result = failure(sandbox, *words)
    assert result.returncode == 2
    assert value in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_named_tunnels_open_by_name_and_are_listed(sandbox: Sandbox, tmp_path: Path) -> None:
    with serving(echo) as server:
        file = tmp_path / "tunnels.toml"
        file.write_text(
            f'[db]\nprofile = "{PROFILE}"\ntarget = "{TARGET}"\nforwards = ["0:localhost:{server.port}"]\n'
            f'[web]\nprofile = "{PROFILE}"\ntarget = "{TARGET}"\nforwards = ["0:localhost:{server.port}"]\n'
        )
        environ = {"RUNAS_TUNNELS_FILE": str(file)}
        with forwarding(sandbox, "db", environ=environ) as forward, forward.connect() as connection:
            assert answers(connection)
        with forwarding(sandbox, "db", "web", environ=environ, lines=2) as forward:
            assert len({line.split(" -> ")[0] for line in forward.lines}) == 2
        listed = failure(sandbox, "--list", environ=environ)
        assert listed.returncode == 0
        assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == ["db", "web"]
        as_json = json.loads(failure(sandbox, "--list", "-O", "json", environ=environ).stdout)
        assert [tunnel["name"] for tunnel in as_json] == ["db", "web"]
        unknown = failure(sandbox, "dbx", environ=environ)
        assert unknown.returncode == 2
        assert "did you mean db" in unknown.stderr


def test_tunnels_lie_beside_the_config_file_that_is_used(sandbox: Sandbox, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_bytes(sandbox.config_file.read_bytes())
    (tmp_path / "aws-runas").mkdir()
    (tmp_path / "aws-runas" / "tunnels.toml").write_text('[one]\ntarget = "t"\nforwards = ["1:h:2"]\n')
    listed = failure(sandbox, "--list", environ={"AWS_CONFIG_FILE": str(config)})
    assert listed.stdout == "one\t-\tt\t1:h:2\n"


def test_events_tell_what_happens_as_json_lines(sandbox: Sandbox) -> None:
    with serving(echo) as server:
        forward = Forwarded(sandbox, "--events", PROFILE, f"{TARGET}:{server.port}")
        try:
            assert json.loads(forward.lines[0])["event"] == "session_opened"
            listening = forward.event("listening")
            with socket.create_connection((listening["host"], listening["port"]), DEADLINE) as connection:
                assert forward.event("connection_opened")["connection"] == 1
                assert answers(connection)
            closed = forward.event("connection_closed")
            assert (closed["sent"], closed["received"]) == (5, 5)
        finally:
            forward.stop()
