"""``tunnels``: in the background, on demand, and started by systemd's own program."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from aws_runas.sandbox.fixtures import MFA_SERIAL
from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox
from tests.integration.forward.support import (
    DEADLINE,
    PROFILE,
    TARGET,
    echo,
    receive_exactly,
    serving,
    wait_until,
)
from tests.support.ports import free_port


class World:
    """A sandbox, a tunnels file, and the commands on it."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox = sandbox
        self.file = directory / "tunnels.toml"
        self.runtime = directory / "run"
        self.runtime.mkdir(mode=0o700)
        self.environ = sandbox.environ | {
            "RUNAS_TUNNELS_FILE": str(self.file),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CONFIG_HOME": str(directory / "config"),
        }

    def write(self, **tunnels: dict[str, str | list[str]]) -> None:
        text = ""
        for name, entry in tunnels.items():
            text += f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
        self.file.write_text(text)

    def run(self, *words: str, status: int = 0) -> tuple[str, str]:
        ran = subprocess.run(
            [sys.executable, "-m", "aws_runas", "tunnels", *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            start_new_session=True,
        )
        assert b"Traceback" not in ran.stderr
        assert ran.returncode == status, (ran.stdout, ran.stderr, self.log())
        return ran.stdout.decode(), ran.stderr.decode()

    def log(self) -> str:
        log = self.runtime / "aws-runas" / "tunnels.log"
        return log.read_text() if log.exists() else ""

    def status(self, name: str) -> dict[str, Any]:
        rows = json.loads(self.run("status", "--json")[0])["tunnels"]
        [row] = [row for row in rows if row["name"] == name]
        found: dict[str, Any] = row
        return found

    def stop(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "aws_runas", "tunnels", "down"], env=self.environ, capture_output=True, check=False
        )


@pytest.fixture
def world(make_sandbox: MakeSandbox, tmp_path: Path) -> Iterator[World]:
    made = World(make_sandbox(), tmp_path)
    yield made
    made.stop()


def works(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        connection.sendall(b"ping")
        return receive_exactly(connection, 4) == b"ping"


@contextmanager
def echoing() -> Iterator[int]:
    with serving(echo) as server:
        yield server.port


@pytest.mark.slow
def test_tunnels_go_up_stay_up_and_come_down(world: World) -> None:
    with echoing() as remote:
        port = free_port()
        world.write(db={"profile": PROFILE, "target": TARGET, "forwards": [f"{port}:localhost:{remote}"]})
        stdout, _ = world.run("up")
        assert stdout == f"db: listening on 127.0.0.1:{port} -> {TARGET}:{remote}\n"
        assert works(port)
        row = world.status("db")
        assert (row["state"], len(row["sessions"]), row["error"]) == ("connected", 1, "")
        assert "db  connected for" in world.run("status")[0]
        assert world.run("up")[0] == stdout  # again changes nothing
        assert world.sandbox.count("StartSession") == 1
        assert world.run("down")[0] == "closed db\n"
        _, stderr = world.run("status", status=6)
        assert "no tunnels are up" in stderr
        wait_until(lambda: not any(not s["ended"] for s in world.sandbox.sessions()), "the session is ended")


def test_lazy_tunnel_asks_aws_nothing_before_the_first_connection_and_closes_when_idle(world: World) -> None:
    with echoing() as remote:
        port = free_port()
        forwards = [f"{port}:localhost:{remote}"]
        world.write(db={"profile": PROFILE, "target": "Name:web", "forwards": forwards, "idle": "1s"})
        world.sandbox.forget_calls()
        world.run("up", "--lazy")
        assert world.status("db")["state"] == "listening"
        assert world.sandbox.calls == []
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
            connection.sendall(b"ping")
            assert receive_exactly(connection, 4) == b"ping"
            assert world.status("db")["state"] == "connected"  # as long as there is a connection
        wait_until(lambda: world.status("db")["state"] == "listening", "the idle session is closed")
        assert works(port)
        assert world.sandbox.count("StartSession") == 2


def test_two_that_start_at_once_end_in_one_process(world: World) -> None:
    with echoing() as remote:
        ports = {"one": free_port(), "two": free_port()}
        entries: dict[str, dict[str, str | list[str]]] = {
            name: {"profile": PROFILE, "target": TARGET, "forwards": [f"{port}:localhost:{remote}"]}
            for name, port in ports.items()
        }
        world.write(**entries)
        both = [
            subprocess.Popen(
                [sys.executable, "-m", "aws_runas", "tunnels", "up", name],
                env=world.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            for name in ports
        ]  # fmt: skip
        for name, process in zip(ports, both, strict=True):
            output, _ = process.communicate(timeout=60)
            assert (process.returncode, output.decode()) == (
                0, f"{name}: listening on 127.0.0.1:{ports[name]} -> {TARGET}:{remote}\n",
            )  # fmt: skip
        assert all(works(port) for port in ports.values())
        process_of(world)  # there is one


def test_file_that_was_edited_meanwhile_is_said_and_touches_no_open_tunnel(world: World) -> None:
    with echoing() as remote:
        port, other = free_port(), free_port()
        world.write(db={"profile": PROFILE, "target": TARGET, "forwards": [f"{port}:localhost:{remote}"]})
        world.run("up")
        world.write(db={"profile": PROFILE, "target": TARGET, "forwards": [f"{other}:localhost:{remote}"]})
        stdout, stderr = world.run("up")
        assert stdout == f"db: listening on 127.0.0.1:{port} -> {TARGET}:{remote}\n"
        assert "tunnel db is open with its old settings" in stderr
        assert works(port)
        world.file.write_text("[[")
        assert works(port)
        assert world.status("db")["state"] == "connected"
        assert world.run("down")[0] == "closed db\n"


@pytest.mark.slow
def test_stopped_process_is_named_by_status(world: World) -> None:
    world.write(db={"profile": PROFILE, "target": TARGET, "forwards": [f"{free_port()}:localhost:9"]})
    world.run("up", "--lazy")
    pid = process_of(world)
    os.kill(pid, signal.SIGSTOP)
    try:
        _, stderr = world.run("status", status=6)
        assert f"process {pid} that holds the tunnels does not answer" in stderr
    finally:
        os.kill(pid, signal.SIGCONT)
    assert world.status("db")["state"] == "listening"


@pytest.mark.slow
def test_one_tunnel_that_fails_does_not_touch_the_other(world: World) -> None:
    with echoing() as remote:
        port = free_port()
        good: dict[str, str | list[str]] = {"profile": PROFILE, "target": TARGET}
        world.write(
            good=good | {"forwards": [f"{port}:localhost:{remote}"]},
            bad={"profile": PROFILE, "target": "Name:nobody", "forwards": ["0:localhost:1"]},
        )
        stdout, stderr = world.run("up", status=6)
        assert "good: listening" in stdout
        assert "tunnel bad: no instance matches" in stderr
        assert works(port)
        assert world.status("bad")["state"] == "failed"
        assert world.run("down", "bad")[0] == "closed bad\n"
        assert works(port)


def test_code_that_nobody_can_be_asked_for_refuses_connections_until_login(world: World) -> None:
    with echoing() as remote:
        port = free_port()
        config = Path(world.environ["AWS_CONFIG_FILE"])
        account = MFA_SERIAL.split(":")[4]
        config.write_text(
            re.sub(r"(?m)^mfa_process.*$", "", config.read_text())
            + f"\n[profile ask]\nrole_arn = arn:aws:iam::{account}:role/my-role-mfa\n"
            f"source_profile = my-profile-user\nmfa_serial = {MFA_SERIAL}\nregion = us-east-1\n"
        )
        world.write(db={"profile": "ask", "target": TARGET, "forwards": [f"{port}:localhost:{remote}"]})
        world.run("up", "--lazy")
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE) as connection,
            pytest.raises(ConnectionResetError),
        ):
            connection.recv(1)
        row = world.status("db")
        assert row["state"] == "waiting for MFA"
        assert "an MFA code is needed" in row["error"]
        assert "tunnel db waits for an MFA code" in world.log()
        world.run("login", "-o", world.sandbox.mfa_code())
        assert works(port)
        assert world.status("db")["state"] == "connected"
        world.run("down")
        shutil.rmtree(world.environ["RUNAS_CACHE_DIR"])
        _, errors = world.run("up", status=4)
        assert errors == "aws-runas: tunnel db is waiting for MFA: aws-runas tunnels login\n"


def _is_reset(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        return True


@pytest.mark.slow
def test_tunnels_wait_for_the_passphrase_and_for_a_sign_in_until_login(world: World) -> None:
    sso_cache = Path(world.environ["HOME"]) / ".aws" / "sso" / "cache"
    for token in sso_cache.glob("*.json"):
        token.unlink()
    world.environ |= {"RUNAS_KEYRING": "file", "RUNAS_CACHE_DIR": str(world.runtime / "cache")}
    words = [sys.executable, "-m", "aws_runas", "keys", "import", "my-profile-user"]
    given = world.environ | {"RUNAS_KEYRING_PASSPHRASE": "canary"}
    subprocess.run(words, env=given, check=True, capture_output=True)
    with echoing() as remote:
        db, web = free_port(), free_port()
        world.write(
            db={"profile": PROFILE, "target": TARGET, "forwards": [f"{db}:localhost:{remote}"]},
            web={"profile": "sandbox-sso", "target": TARGET, "forwards": [f"{web}:localhost:{remote}"]},
        )
        world.run("up", "--lazy")
        assert _is_reset(db)
        assert _is_reset(web)
        assert world.status("db")["state"] == "waiting for the passphrase"
        assert world.status("web")["state"] == "waiting for a sign-in"
        assert "tunnel db waits for the passphrase of the keyring file: aws-runas tunnels login" in world.log()
        assert "tunnel web waits for a sign-in: aws-runas tunnels login" in world.log()
        browser = f"{sys.executable} -m tests.support.portal_browser"
        environ = world.environ | {"RUNAS_BROWSER": browser, "PYTHONPATH": str(Path(__file__).parents[3])}
        child = pexpect.spawn(sys.executable, ["-m", "aws_runas", "tunnels", "login"], env=environ, timeout=60)
        child.expect("Passphrase for .*: ")
        child.sendline("canary")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0, child.before
        assert works(db)
        assert works(web)
        assert [world.status(name)["state"] for name in ("db", "web")] == ["connected", "connected"]
        assert "canary" not in world.log()


@pytest.mark.slow
def test_process_that_was_stopped_for_a_while_resumes_its_sessions(world: World) -> None:
    with echoing() as remote:
        port = free_port()
        world.write(db={"profile": PROFILE, "target": TARGET, "forwards": [f"{port}:localhost:{remote}"]})
        world.run("up")
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
            connection.sendall(b"ping")
            assert receive_exactly(connection, 4) == b"ping"
            pid = process_of(world)
            os.kill(pid, signal.SIGSTOP)
            world.sandbox.cut(abort=True)
            time.sleep(8)  # longer than any gap that counts as a busy machine
            os.kill(pid, signal.SIGCONT)
            connection.sendall(b"pong")
            assert receive_exactly(connection, 4) == b"pong"


def test_the_status_is_redrawn_until_ctrl_c(world: World) -> None:
    port = free_port()
    world.write(db={"profile": PROFILE, "target": TARGET, "forwards": [f"{port}:localhost:9"]})
    world.run("up", "--lazy")
    pid, master = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable, [sys.executable, "-m", "aws_runas", "tunnels", "status", "--watch"],
            {**world.environ, "TERM": "xterm"},
        )  # fmt: skip
    shown = b""
    while shown.count(b"db  listening") < 3:
        shown += os.read(master, 4096)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
    narrow = b""
    while not re.search(rb"\x1b\[H\x1b\[Jdb  listening for [0-9]\r\n", narrow):  # 19 characters of the line
        narrow += os.read(master, 4096)
    os.write(master, b"\x03")
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        shown += data
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert shown.count(b"\x1b[H") >= 3  # each one over the last
    assert b"Traceback" not in shown
    assert f"127.0.0.1:{port}".encode() in shown


def process_of(world: World) -> int:
    """The pid of the background process, found by its control socket's user in /proc."""
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                environ = (directory / "environ").read_bytes()
                command = (directory / "cmdline").read_bytes()
            except OSError:
                continue
            if str(world.runtime).encode() in environ and b"--foreground" in command:
                return int(directory.name)
    raise AssertionError("no process")


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="needs systemd-socket-activate")
def test_systemd_starts_it_at_the_first_connection_and_it_ends_when_idle(world: World, tmp_path: Path) -> None:
    with echoing() as remote:
        port = free_port()
        forwards = [f"{port}:localhost:{remote}"]
        world.write(db={"profile": PROFILE, "target": TARGET, "forwards": forwards, "idle": "1s"})
        path = str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(DEADLINE)
            command = [sys.executable, "-m", "aws_runas", "tunnels", "up", "--foreground", "db"]
            names = [f"--setenv={name}" for name in (*world.environ, "NOTIFY_SOCKET")]
            activate = subprocess.Popen(
                ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=db", *names, *command],
                env=world.environ | {"NOTIFY_SOCKET": path},
                stderr=subprocess.PIPE,
            )
            try:
                assert activate.stderr is not None
                wait_for_line(activate, b"Listening on")
                assert world.sandbox.count("StartSession") == 0
                assert works(port)
                messages = [manager.recv(1000).decode()]
                assert messages[0].startswith("READY=1\nSTATUS=")
                while "STOPPING=1" not in messages:  # it leaves by itself
                    messages.append(manager.recv(1000).decode())
                assert activate.wait(DEADLINE) == 0
                assert "READY=1\nSTATUS=1 connected" in messages
            finally:
                if activate.poll() is None:
                    activate.terminate()
                activate.wait(DEADLINE)
                assert activate.stderr is not None
                activate.stderr.close()
        wait_until(lambda: not any(not s["ended"] for s in world.sandbox.sessions()), "the session is ended")


def wait_for_line(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"no {text!r} before the end")


def test_units_are_written_and_removed(world: World) -> None:
    world.write(db={"profile": PROFILE, "target": TARGET, "forwards": ["15432:localhost:5432"]})
    stdout, _ = world.run("install", "db")
    directory = Path(world.environ["XDG_CONFIG_HOME"]) / "systemd" / "user"
    assert "ListenStream=127.0.0.1:15432\n" in (directory / "aws-runas-tunnel-db.socket").read_text()
    assert "tunnels up --foreground db" in (directory / "aws-runas-tunnel-db.service").read_text()
    assert f"wrote {directory / 'aws-runas-tunnel-db.socket'}" in stdout
    assert "systemctl --user enable --now aws-runas-tunnel-db.socket" in stdout
    assert "removed" in world.run("uninstall", "db")[0]
    assert list(directory.iterdir()) == []
    _, stderr = world.run("uninstall", "db", status=3)
    assert "not installed" in stderr


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ([], 2, "no action given"),
        (["start"], 2, "'start' is no action"),
        (["down", "--lazy"], 2, "--lazy does not go with down"),
        (["up", "dc"], 3, "no tunnel 'dc'"),
        (["up", "--lazy", "strange"], 3, "no-such-profile"),
        (["install"], 2, "needs the name of a tunnel"),
        (["install", "--start", "soon", "db"], 2, "'soon' is neither login nor demand"),
        (["install", "any"], 3, "has a forward without a fixed local port"),
        (["down"], 6, "no tunnels are up"),
        (["login", "dc"], 3, "no tunnel 'dc'"),
    ],
)
def test_mistakes_are_named(world: World, words: list[str], status: int, text: str) -> None:
    world.write(
        db={"target": TARGET, "forwards": ["15432:localhost:5432"]},
        any={"target": TARGET, "forwards": ["0:localhost:5432"]},
        strange={"profile": "no-such-profile", "target": TARGET, "forwards": ["0:localhost:5432"]},
    )
    _, stderr = world.run(*words, status=status)
    assert text in stderr
