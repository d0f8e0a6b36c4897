"""Files that the verb tunnels writes: its log, and the units of the service manager."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from aws_runas import unix_socket
from aws_runas.cli.commands.tunnels import client
from aws_runas.cli.commands.tunnels.client import new_log
from aws_runas.cli.commands.tunnels.install import install, uninstall
from aws_runas.cli.environment import Environment
from aws_runas.errors import ConfigError, SessionError
from aws_runas.tunnels.control import ask

ENTRY = 'profile = "p"\ntarget = "web"\nforwards = ["15432:localhost:5432"]\n'


def environment(home: Path) -> Environment:
    variables = {"XDG_CONFIG_HOME": str(home / "config"), "RUNAS_TUNNELS_FILE": str(home / "tunnels.toml")}
    return Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), variables, home, lambda: 0.0)


@pytest.mark.parametrize("kind", ["nothing", "file", "link", "hard link", "fifo"])
def test_the_log_is_a_new_private_file_whatever_has_its_name(tmp_path: Path, kind: str) -> None:
    precious, log = tmp_path / "precious", tmp_path / "tunnels.log"
    precious.write_text("precious")
    match kind:
        case "file":
            log.write_text("before")
        case "link":
            log.symlink_to(precious)
        case "hard link":
            log.hardlink_to(precious)
        case "fifo":
            os.mkfifo(log)
    descriptor = new_log(log)
    try:
        os.write(descriptor, b"first")
        os.truncate(log, 0)  # as programs do that rotate logs
        os.write(descriptor, b"second")
    finally:
        os.close(descriptor)
    assert (log.read_bytes(), precious.read_text()) == (b"second", "precious")
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_made_is_an_error_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "tunnels.log").mkdir()
    with pytest.raises(SessionError) as caught:
        new_log(tmp_path / "tunnels.log")
    assert caught.value.hint == (
        "XDG_RUNTIME_DIR names the directory; make room there, and remove what has the log's name"
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\nExecStart=/bin/evil", "%h", "", "-x", "a b", "x" * 101])
def test_a_name_that_no_service_can_have_writes_and_removes_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "tunnels.toml").write_text(f'["{name}"]\n{ENTRY}')
    env = environment(tmp_path)
    spelled = name.replace("\\n", "\n")
    for writes in (True, False):
        with pytest.raises(ConfigError) as caught:
            install([spelled], env, on_demand=True) if writes else uninstall([spelled], env)
        assert (caught.value.code, caught.value.hint) == (
            "tunnels-name-invalid", "rename it: letters, digits, dots, - and _",
        )  # fmt: skip
    assert not (tmp_path / "config").exists()


def test_a_unit_that_another_process_removes_meanwhile_is_not_removed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = tmp_path / "config" / "systemd" / "user"
    units.mkdir(parents=True)
    for kind in ("service", "socket"):
        (units / f"aws-runas-tunnel-db.{kind}").touch()
    unlink = Path.unlink

    def late(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".socket":
            unlink(path)  # the other process
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", late)
    monkeypatch.setattr("sys.platform", "linux")
    removed = uninstall(["db"], environment(tmp_path))
    assert (removed.status, removed.stdout) == (0, f"removed {units}/aws-runas-tunnel-db.service\n")


def test_a_process_that_ends_while_it_is_asked_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tunnels down` beside `tunnels up`: the second command starts a new process instead of failing."""
    path = str(tmp_path / "s")
    ending = unix_socket.listen(path)

    def end(*_: object) -> dict[str, object]:
        ending.remove_file()
        ending.socket.close()
        return ask(tmp_path / "s", {})

    monkeypatch.setattr(client, "ask", end)
    assert client._ask_running(tmp_path / "s", {"command": "up"}) is None
    assert client._ask_running(tmp_path / "s", {"command": "up"}) is None
    ending = unix_socket.listen(path)
    monkeypatch.setattr(client, "ask", lambda *_: ask(tmp_path / "s", {}, 0.1))
    with pytest.raises(SessionError, match="does not answer"):
        client._ask_running(tmp_path / "s", {"command": "up"})
    ending.socket.close()
