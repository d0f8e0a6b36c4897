"""Files for service managers, and the protocol with them."""

from __future__ import annotations

import os
import plistlib
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from aws_runas.ssm.forward.destination import LocalAddress
from aws_runas.tunnels import systemd

COMMAND = ["/usr/bin/python3", "-m", "aws_runas", "tunnels", "up", "--foreground", "db"]


def test_notification_reaches_the_socket_of_the_manager(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        systemd.notify({"NOTIFY_SOCKET": path}, "READY=1", "STATUS=1 listening")
        assert manager.recv(1000) == b"READY=1\nSTATUS=1 listening"


def test_without_a_manager_nothing_is_sent() -> None:
    systemd.notify({}, "READY=1")
    systemd.notify({"NOTIFY_SOCKET": "/nonexistent/notify"}, "READY=1")


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"}]
)
def test_sockets_for_nobody_or_another_process_are_left_alone(environ: dict[str, str]) -> None:
    assert systemd.inherited_sockets(environ, os.getpid()) == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_units_are_accepted_by_systemd(tmp_path: Path) -> None:
    addresses = [LocalAddress("127.0.0.1", 5432), LocalAddress("::1", 6379), LocalAddress(path="/run/user/1/db.sock")]
    service, listen = tmp_path / "aws-runas-tunnel-db.service", tmp_path / "aws-runas-tunnel-db.socket"
    service.write_text(systemd.service_unit("db", COMMAND, on_demand=True))
    listen.write_text(systemd.socket_unit("db", addresses))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", service, listen], capture_output=True, check=False
    )
    complaints = [line for line in ran.stderr.decode().splitlines() if "aws-runas-tunnel-db" in line]
    assert complaints == []


def test_words_that_systemd_would_expand_are_quoted() -> None:
    unit = systemd.service_unit("a", ["/opt/my tools/python", "100%", "$HOME", 'say "x"'], on_demand=False)
    assert r'ExecStart="/opt/my tools/python" "100%%" "$$HOME" "say \"x\""' in unit
    assert "WantedBy=default.target" in unit


def test_launchd_job_is_a_property_list_that_starts_the_tunnel() -> None:
    job = plistlib.loads(systemd.launchd_plist("db", COMMAND))
    assert job["Label"] == "aws-runas.tunnel.db"
    assert job["ProgramArguments"] == COMMAND
    assert job["RunAtLoad"] is True
