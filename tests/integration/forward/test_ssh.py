"""Debian's ssh, scp, sftp and rsync through `aws-runas ssh` to Debian's sshd."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import random
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.forward.support import DEADLINE, TARGET, echo, receive_exactly, serving, wait_until
from tests.integration.forward.test_staying_up import active_sessions
from tests.support import requires
from tests.support.ports import free_port

PROXY = f"{shlex.quote(sys.executable)} -m aws_runas ssh --rate off my-profile %r@%h:%p"


@dataclass(frozen=True)
class Sshd:
    """A running sshd and a client's configuration that reaches it through the sandbox."""

    port: int
    config: Path
    key: Path
    environ: dict[str, str]

    def run(self, *words: str, input: bytes = b"", timeout: float = DEADLINE) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            words, env=self.environ, input=input, capture_output=True, timeout=timeout, start_new_session=True
        )

    def ssh(self, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return self.run("ssh", "-F", str(self.config), *words, input=input)


@pytest.fixture(scope="module")
def sshd(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = requires.program("sshd", package="openssh-server")
    requires.program("ssh", package="openssh-client")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation wants it
    port = free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    (folder / "config").write_text(
        f"Host {TARGET}\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        f"  ProxyCommand {PROXY}\n"
    )
    process = subprocess.Popen([program, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), "sshd listens")
        yield Sshd(port, folder / "config", folder / "user", sandbox.environ)
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "ten-megabytes"
    path.write_bytes(random.Random(10).randbytes(10_000_000))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_command_runs_and_its_status_comes_back(sshd: Sshd) -> None:
    result = sshd.ssh(TARGET, "cat; echo trouble >&2; exit 3", input=b"line\n" * 1000)
    assert result.stdout == b"line\n" * 1000
    assert result.stderr == b"trouble\n"
    assert result.returncode == 3


@contextlib.contextmanager
def login(sshd: Sshd, rows: int = 24, columns: int = 80) -> Iterator[pexpect.spawn[str]]:
    """An interactive login; leaving it types ``exit 4`` and checks that this is ssh's status."""
    words = ["-F", str(sshd.config), "-tt", TARGET, "/bin/sh"]
    child = pexpect.spawn("ssh", words, env=sshd.environ, timeout=DEADLINE, dimensions=(rows, columns))
    try:
        yield child
        child.sendline("exit 4")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 4
    finally:
        child.close(force=True)


def test_interactive_login_with_typing_and_window_size(sshd: Sshd) -> None:
    with login(sshd, 31, 97) as child:
        child.sendline("stty size; echo do''ne")
        child.expect("31 97")
        child.expect("done")


@pytest.mark.slow
def test_user_is_told_on_the_raw_terminal_that_the_agent_is_away_and_back(sshd: Sshd, sandbox: Sandbox) -> None:
    with login(sshd) as child:
        child.sendline("echo be''gun")
        child.expect("begun\r\n")
        assert sandbox.agents_leave(7) >= 1  # the session of an earlier test may not be over yet
        wait_until(lambda: not any(each["agent_connected"] for each in sandbox.sessions()), "the agent is away")
        child.sendline("echo do''ne")
        child.expect(r"\r\naws-runas: the agent has not answered for \d+ s; the connection waits\r\n")
        child.expect_exact("\r\naws-runas: the agent answers again\r\n")


@pytest.mark.slow
def test_scp_both_ways(sshd: Sshd, big_file: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    up = sshd.run("scp", "-q", "-F", str(sshd.config), str(big_file), f"{TARGET}:{there}")
    assert (up.returncode, up.stderr) == (0, b"")
    down = sshd.run("scp", "-q", "-F", str(sshd.config), f"{TARGET}:{there}", str(back))
    assert (down.returncode, down.stderr) == (0, b"")
    assert digest(back) == digest(there) == digest(big_file)


def test_sftp(sshd: Sshd, big_file: Path, tmp_path: Path) -> None:
    batch = f"put {big_file} {tmp_path}/there\nget {tmp_path}/there {tmp_path}/back\n".encode()
    result = sshd.run("sftp", "-q", "-F", str(sshd.config), "-b", "-", TARGET, input=batch)
    assert result.returncode == 0, result.stderr
    assert digest(tmp_path / "back") == digest(big_file)


def test_rsync(sshd: Sshd, tmp_path: Path) -> None:
    requires.program("rsync")
    source = tmp_path / "source"
    source.mkdir()
    for number in range(50):
        (source / f"file{number}").write_bytes(random.Random(number).randbytes(10_000))
    shell = f"ssh -F {sshd.config}"
    result = sshd.run("rsync", "-a", "-e", shell, f"{source}/", f"{TARGET}:{tmp_path}/copy/")
    assert (result.returncode, result.stderr) == (0, b"")
    assert {each.name: digest(each) for each in (tmp_path / "copy").iterdir()} == {
        each.name: digest(each) for each in source.iterdir()
    }


@pytest.mark.parametrize("mode", ["-L", "-D"])
def test_ssh_forwards_ports_itself(sshd: Sshd, mode: str) -> None:
    with serving(echo) as server:
        port = free_port()
        spec = f"{port}:127.0.0.1:{server.port}" if mode == "-L" else str(port)
        child = subprocess.Popen(
            ["ssh", "-F", str(sshd.config), "-N", mode, spec, TARGET],
            env=sshd.environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until(lambda: _listens(port), "ssh listens")
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
                if mode == "-D":  # SOCKS 5: no authentication, connect to an IPv4 address
                    connection.sendall(b"\x05\x01\x00")
                    assert receive_exactly(connection, 2) == b"\x05\x00"
                    connection.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + server.port.to_bytes(2, "big"))
                    assert receive_exactly(connection, 10)[:2] == b"\x05\x00"
                connection.sendall(b"through ssh")
                assert receive_exactly(connection, 11) == b"through ssh"
        finally:
            child.terminate()
            child.wait(DEADLINE)


def test_session_ends_with_ssh(sshd: Sshd, sandbox: Sandbox) -> None:
    before = set(active_sessions(sandbox))  # other tests share the sandbox
    assert sshd.ssh(TARGET, "true").returncode == 0
    wait_until(lambda: set(active_sessions(sandbox)) <= before, "its session is gone at the service")


def test_master_connection_outlives_the_ssh_that_started_it(sshd: Sshd, tmp_path: Path) -> None:
    control = ("-o", f"ControlPath={tmp_path}/master")
    first = sshd.ssh(*control, "-o", "ControlMaster=auto", "-o", "ControlPersist=60", TARGET, "true")
    assert first.returncode == 0
    # The parent was checked once a second: three checks later the connection is still used.
    for _ in range(3):
        assert sshd.ssh(*control, "-O", "check", TARGET).returncode == 0
        time.sleep(1)
    second = sshd.ssh(*control, "-o", "ProxyCommand=false", TARGET, "echo through the master")
    assert (second.returncode, second.stdout) == (0, b"through the master\n")
    assert sshd.ssh(*control, "-O", "exit", TARGET).returncode == 0


def proxy(sandbox: Sandbox, *words: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "aws_runas", "ssh", *words],
        env=sandbox.environ,
        input=input,
        capture_output=True,
        timeout=DEADLINE,
        start_new_session=True,
        check=False,
    )


def test_answers_under_way_at_the_end_of_input_still_arrive(sandbox: Sandbox) -> None:
    """And nothing else is on stdout."""

    def late(connection: socket.socket) -> None:
        question = receive_exactly(connection, 9)
        time.sleep(0.5)
        connection.sendall(question.upper() * 1000)

    with serving(late) as server:
        result = proxy(sandbox, "my-profile", f"{TARGET}:{server.port}", input=b"question\n")
    assert result.stdout == b"QUESTION\n" * 1000
    assert (result.returncode, result.stderr) == (0, b"")


def test_single_newline_stays_one(sandbox: Sandbox) -> None:
    with serving(lambda connection: connection.sendall(connection.recv(10))) as server:
        assert proxy(sandbox, "my-profile", f"{TARGET}:{server.port}", input=b"\n").stdout == b"\n"


def test_closed_port_is_an_error_on_stderr(sandbox: Sandbox) -> None:
    result = proxy(sandbox, "my-profile", f"{TARGET}:1")
    assert result.returncode == 6
    assert result.stdout == b""
    assert f"aws-runas: nothing accepts connections on port 1 of {TARGET}\n".encode() in result.stderr
    assert b"does a server listen there? (dial tcp localhost:1: connect: connection refused)" in result.stderr


def test_port_is_22_unless_named(sandbox: Sandbox) -> None:
    before = len(sandbox.calls)
    proxy(sandbox, "my-profile", f"somebody@{TARGET}")
    started = [call for call in sandbox.calls[before:] if call["action"] == "StartSession"]
    assert started[0]["parameters"]["Parameters"] == {"portNumber": ["22"]}
    assert started[0]["parameters"]["DocumentName"] == "AWS-StartSSHSession"


def test_public_key_is_pushed_for_the_user_that_is_named(sandbox: Sandbox, sshd: Sshd) -> None:
    before = len(sandbox.calls)
    with serving(lambda connection: connection.sendall(b"SSH-2.0-sshd\r\n")) as server:
        words = ("--ec2ic", "--identity", str(sshd.key), "my-profile", f"admin@{TARGET}:{server.port}")
        result = proxy(sandbox, *words)
    assert result.returncode == 0, result.stderr
    pushed = [call for call in sandbox.calls[before:] if call["action"] == "SendSSHPublicKey"]
    assert [call["parameters"]["InstanceOSUser"] for call in pushed] == ["admin"]
    key = " ".join(sshd.key.with_suffix(".pub").read_text().split()[:2])
    assert pushed[0]["parameters"]["SSHPublicKey"] == key
    assert pushed[0]["parameters"]["InstanceId"] == TARGET


def test_keys_of_the_agent_and_of_identity_files_are_pushed(sandbox: Sandbox, sshd: Sshd, tmp_path: Path) -> None:
    """ssh's own configuration and its agent say which."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "held"], check=True)
    agent = tmp_path / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(agent)], stdout=subprocess.DEVNULL)
    try:
        wait_until(agent.exists, "the agent is there")
        environ = {**os.environ, "SSH_AUTH_SOCK": str(agent), "HOME": str(home)}
        subprocess.run(["ssh-add", "-q", str(tmp_path / "held")], env=environ, check=True)
        from aws_runas.cli.session.ssh_keys import public_keys, ssh_settings

        settings = ssh_settings(TARGET, "admin", 22, environ)
        assert settings.user == "admin"
        held = " ".join((tmp_path / "held.pub").read_text().split()[:2])
        assert held in public_keys(settings, [], environ)
        assert public_keys(settings, [str(sshd.key)], environ) == [
            " ".join(sshd.key.with_suffix(".pub").read_text().split()[:2])
        ]
    finally:
        process.terminate()
        process.wait(DEADLINE)
