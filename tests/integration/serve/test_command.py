"""``serve`` and its flags as a user types them, in a sandbox."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.support.ports import free_port
from tests.support.serving import Command, eventually, fetch

TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
MFA = "x-awsrunas-authentication-type"
ROLE = "/latest/meta-data/iam/security-credentials/"

RunAs = Callable[..., "subprocess.CompletedProcess[bytes]"]


def _bearer(server: Command) -> dict[str, str]:
    return {"Authorization": server.variables[TOKEN]}


@pytest.mark.parametrize("words", [["serve", "ecs", "-p", "0", "my-profile"], ["srv", "-p", "0", "ecs", "my-profile"]])
def test_ecs_prints_the_two_variables_of_a_client_as_shell_lines(words: list[str], sandbox: Sandbox) -> None:
    with Command(words, sandbox.environ) as server:
        assert server.variables[URI] == f"{server.base}credentials"
        assert len(server.variables[TOKEN]) >= 32
        document = server.fetch("/credentials", headers=_bearer(server)).json()
        assert document["RoleArn"] == "arn:aws:iam::123456789012:role/my-role"
        assert server.fetch("/credentials").status == 401


def test_the_flags_of_the_original_start_the_same_servers(sandbox: Sandbox) -> None:
    port = free_port()
    with Command(["--ecs", "-p", str(port), "my-profile"], sandbox.environ) as server:
        assert server.variables[URI] == f"http://127.0.0.1:{port}/credentials"
    with Command(["--ec2", "-p", str(port), "my-profile"], sandbox.environ) as server:
        assert server.variables == {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{port}/"}
        assert server.fetch(ROLE).text == "my-profile"
        assert server.fetch(ROLE + "my-profile").json()["Code"] == "Success"


def test_metadata_that_is_turned_off_here_is_turned_on_for_clients(sandbox: Sandbox) -> None:
    environ = sandbox.environ | {"AWS_EC2_METADATA_DISABLED": "true"}
    with Command(["serve", "ec2", "-p", "0", "my-profile"], environ) as server:
        assert server.variables["AWS_EC2_METADATA_DISABLED"] == "false"


def test_the_profile_may_come_from_the_environment(sandbox: Sandbox) -> None:
    environ = sandbox.environ | {"AWS_PROFILE": "my-profile"}
    with Command(["serve", "ec2", "-p", "0"], environ) as server:
        assert server.fetch(ROLE).text == "my-profile"


def test_ecs_listens_on_12319_of_both_loopbacks(sandbox: Sandbox) -> None:
    try:
        socket.create_server(("127.0.0.1", 12319)).close()
    except OSError:
        pytest.skip("something else listens on port 12319")
    with Command(["serve", "ecs", "my-profile"], sandbox.environ) as server:
        assert server.port == 12319
        assert fetch(12319, "/credentials", headers=_bearer(server), host="localhost").status == 200
        if socket.has_ipv6:
            assert fetch(12319, "/credentials", headers=_bearer(server), host="::1").status == 200


def test_a_token_of_the_environment_is_used(sandbox: Sandbox) -> None:
    mine = "a token of sixteen or more characters"
    with Command(["serve", "ecs", "-p", "0", "my-profile"], sandbox.environ | {TOKEN: mine}) as server:
        assert server.variables[TOKEN] == f"'{mine}'"
        assert server.fetch("/credentials", headers={"Authorization": mine}).status == 200


def test_a_short_token_is_used_with_a_warning(sandbox: Sandbox) -> None:
    with Command(["serve", "ecs", "-p", "0", "my-profile"], sandbox.environ | {TOKEN: "secret"}) as server:
        assert b"can be guessed" in server.said
        assert b"secret" not in server.said
        assert server.fetch("/credentials", headers={"Authorization": "secret"}).status == 200


@pytest.mark.parametrize("token", ["sixteen characters\n", "tab\tinside", " sixteen characters", "sixteen charactér"])
def test_a_token_that_is_no_use_is_refused(token: str, sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, "serve", "ecs", "-p", "0", "my-profile", **{TOKEN: token})
    assert done.returncode == 3
    assert token.strip().encode() not in done.stderr


def test_a_code_is_asked_for_over_http_and_checked_by_aws(make_sandbox: Callable[[], Sandbox]) -> None:
    sandbox = make_sandbox()
    with Command(["serve", "ecs", "-p", "0", "my-profile-mfa"], sandbox.environ) as server:
        reply = server.fetch("/credentials", headers=_bearer(server))
        assert (reply.status, reply.headers[MFA]) == (401, "MFA")
        right = sandbox.mfa_code()
        wrong = f"{(int(right) + 1) % 1000000:06d}"
        refused = server.fetch("/mfa", "POST", _bearer(server), f"mfa={wrong}")
        assert (refused.status, refused.headers[MFA], refused.json()["code"]) == (401, "MFA", "mfa-code-refused")
        taken = server.fetch("/mfa", "POST", _bearer(server), f"mfa={right}")
        assert (taken.status, taken.json()["name"]) == (200, "my-profile-mfa")
        assert server.fetch("/credentials", headers=_bearer(server)).status == 200
        assert sandbox.count("GetSessionToken") == 2  # one for each code: no code is tried twice


def test_a_code_given_by_flag_serves_the_first_time(make_sandbox: Callable[[], Sandbox]) -> None:
    sandbox = make_sandbox()
    words = ["-o", sandbox.mfa_code(), "serve", "ecs", "-p", "0", "my-profile-mfa"]
    with Command(words, sandbox.environ) as server:
        eventually(lambda: server.fetch("/profile").json()["has_credentials"], "the first credentials")


def test_other_profiles_are_served_without_a_switch_and_switched_to(sandbox: Sandbox) -> None:
    with Command(["serve", "ecs", "-p", "0", "my-profile"], sandbox.environ) as server:
        other = server.fetch("/credentials/my-profile", headers=_bearer(server)).json()
        assert other["RoleArn"].endswith("role/my-role")
        assert server.fetch("/credentials/my-profile-chained", headers=_bearer(server)).status == 200
        assert server.fetch("/profile").json()["name"] == "my-profile"
        assert server.fetch("/profile", "POST", _bearer(server), "my-profile").json()["name"] == "my-profile"
        assert "my-profile-mfa" in server.fetch("/list-roles").json()
        assert "my-profile-user" in server.fetch("/list-profiles").json()


def test_a_unix_socket_is_this_users_alone_and_gone_at_the_end(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with Command(["serve", "ecs", "-p", "0", "--socket", str(path), "my-profile"], sandbox.environ) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        token = server.variables[TOKEN]
        request = f"GET /credentials HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(path))
            sock.sendall(request.encode())
            assert b"200 OK" in sock.recv(65536)
        assert server.end() == 143
    assert not path.exists()


def test_a_file_in_the_sockets_place_is_left_alone(sandbox: Sandbox, runas: RunAs, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    done = runas(sandbox, "serve", "ecs", "-p", "0", "--socket", str(path), "my-profile")
    assert done.returncode == 6
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=lambda value: str(value),
)
def test_a_signal_ends_the_server_in_order(number: int, status: int, sandbox: Sandbox) -> None:
    with Command(["serve", "ecs", "-p", "0", "my-profile"], sandbox.environ) as server:
        with socket.create_connection(("127.0.0.1", server.port)):
            assert server.end(number) == status
        assert server.process.stderr is not None
        assert b"Traceback" not in server.process.stderr.read()
        with pytest.raises(ConnectionRefusedError):
            server.fetch("/")


def test_a_port_in_use_is_named(sandbox: Sandbox, runas: RunAs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = runas(sandbox, "serve", "ecs", "-p", str(port), "my-profile")
    assert done.returncode == 6  # as forward says it
    assert f"127.0.0.1:{port} is in use already, by ".encode() in done.stderr
    assert f"(pid {os.getpid()})".encode() in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["serve"], 2, b"ec2"),
        (["serve", "ec3"], 2, b"ec3"),
        (["serve", "ecs", "-p", "65536"], 2, b"65536"),
        (["serve", "ecs", "-p", "x"], 2, b"x"),
        (["serve", "ecs", "-p", "0", "my-profile", "more"], 2, b"more"),
        (["serve", "ec2", "--bind", "0.0.0.0", "-p", "0"], 2, b"--bind"),
        (["serve", "ec2", "--socket", "/x", "-p", "0"], 2, b"--socket"),
        (["serve", "ecs", "--no-v1"], 2, b"--no-v1"),
        (["serve", "ecs", "-p", "0", "sandbx"], 3, b"sandbx"),
        (["serve", "ecs", "-p", "0", "--bind", "192.0.2.1", "my-profile"], 1, b"192.0.2.1"),
    ],
)
def test_what_cannot_be_served_ends_with_a_line_that_names_it(
    words: list[str], status: int, text: bytes, sandbox: Sandbox, runas: RunAs
) -> None:
    done = runas(sandbox, *words)
    assert done.returncode == status
    assert text in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_a_thousand_idle_connections_do_not_stop_an_sdk(sandbox: Sandbox) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this machine does not allow the open files")
    with Command(["serve", "ecs", "-p", "0", "my-profile"], sandbox.environ) as server, contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for number in range(1200):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            if number % 2:
                idle.sendall(b"GET /credentials HT")  # and never a byte more
        assert server.fetch("/credentials", headers=_bearer(server)).status == 200


def test_verbose_tells_of_requests_and_of_no_secret(sandbox: Sandbox) -> None:
    with Command(["-vv", "serve", "ecs", "-p", "0", "my-profile"], sandbox.environ) as server:
        document = server.fetch("/credentials/my-profile", headers=_bearer(server)).json()
        server.end()
        assert server.process.stderr is not None
        said = server.said + server.process.stderr.read()
    assert b"GET '/credentials/my-profile' 200" in said
    for secret in (document["SecretAccessKey"], document["Token"], server.variables[TOKEN]):
        assert secret.encode() not in said


def test_a_reader_of_the_variables_may_close_its_end(sandbox: Sandbox) -> None:
    script = f"{sys.executable} -m aws_runas serve ecs -p 0 my-profile & echo pid $! >&2; wait"
    shell = subprocess.Popen(
        ["sh", "-c", f"({script}) | head -1"],
        env=sandbox.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert shell.stdout is not None
        assert shell.stderr is not None
        uri = shell.stdout.readline().decode().strip().split("=", 1)[1]
        port = int(uri.rsplit(":", 1)[1].split("/")[0])
        eventually(lambda: fetch(port, "/profile").json()["has_credentials"], "credentials")
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate(timeout=20)
