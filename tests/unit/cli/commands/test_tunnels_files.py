"""Files that the verb tunnels writes: its log, and the units of the service manager."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from aws_runas.cli.commands.tunnels.client import new_log
from aws_runas.cli.commands.tunnels.install import install, uninstall
from aws_runas.cli.environment import Environment
from aws_runas.errors import ConfigError, SessionError

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
