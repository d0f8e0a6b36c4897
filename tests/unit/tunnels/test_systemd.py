"""Files for service managers, and the protocol with them."""

from __future__ import annotations

import ctypes
import os
import plistlib
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

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


def test_launchd_job_on_demand_names_every_address() -> None:
    addresses = [LocalAddress("127.0.0.1", 5432), LocalAddress("::1", 6379), LocalAddress(path="/tmp/db.sock")]
    job = plistlib.loads(systemd.launchd_plist("db", COMMAND, addresses))
    assert job["Sockets"] == {
        "Listener0": {"SockNodeName": "127.0.0.1", "SockServiceName": "5432", "SockFamily": "IPv4"},
        "Listener1": {"SockNodeName": "::1", "SockServiceName": "6379", "SockFamily": "IPv6"},
        "Listener2": {"SockPathName": "/tmp/db.sock", "SockPathMode": 0o600},
    }
    assert job["EnvironmentVariables"] == {"RUNAS_LAUNCHD_SOCKETS": "3"}
    assert not {"RunAtLoad", "KeepAlive"} & job.keys()


@pytest.mark.skipif(shutil.which("plistutil") is None, reason="needs plistutil of libplist-utils")
def test_plistutil_reads_the_job(tmp_path: Path) -> None:
    path = tmp_path / "job.plist"
    path.write_bytes(systemd.launchd_plist("db", COMMAND, [LocalAddress("127.0.0.1", 5432)]))
    binary = tmp_path / "job.binary"
    subprocess.run(["plistutil", "-i", str(path), "-o", str(binary)], capture_output=True, check=True)
    assert binary.read_bytes().startswith(b"bplist")
    assert plistlib.loads(binary.read_bytes()) == plistlib.loads(path.read_bytes())


class Launchd:
    """launch_activate_socket(3) as C code sees it: a function pointer that hands out memory of malloc."""

    def __init__(self, **listening: list[socket.socket]) -> None:
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        libc.free.argtypes = [ctypes.c_void_p]
        self.freed = 0
        out = ctypes.POINTER(ctypes.POINTER(ctypes.c_int))
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, out, ctypes.POINTER(ctypes.c_size_t))

        def activate(name: bytes, descriptors: Any, count: Any) -> int:
            found = listening.get(name.decode())
            if found is None:
                return 2  # ENOENT
            memory = libc.malloc(ctypes.sizeof(ctypes.c_int) * len(found))
            descriptors[0] = ctypes.cast(memory, ctypes.POINTER(ctypes.c_int))
            for index, bound in enumerate(found):
                descriptors[0][index] = os.dup(bound.fileno())
            count[0] = len(found)
            return 0

        def free(pointer: Any) -> None:
            libc.free(pointer)
            self.freed += 1

        self.launch_activate_socket = prototype(activate)
        self.free = free


def test_sockets_of_launchd_are_taken_by_their_names() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as two:
        library = Launchd(Listener0=[one], Listener2=[two])
        environ = {"RUNAS_LAUNCHD_SOCKETS": "3"}
        taken = systemd.launchd_sockets(environ, library)  # type: ignore[arg-type]
        assert [systemd.address_of(bound).port for bound in taken] == [one.getsockname()[1], two.getsockname()[1]]
        assert [bound.getblocking() for bound in taken] == [False, False]
        assert library.freed == 2
        for bound in taken:
            bound.close()


@pytest.mark.parametrize("environ", [{}, {"RUNAS_LAUNCHD_SOCKETS": "x"}, {"RUNAS_LAUNCHD_SOCKETS": "1"}])
def test_without_launchd_there_are_no_sockets(environ: dict[str, str]) -> None:
    assert systemd.launchd_sockets(environ) == []
