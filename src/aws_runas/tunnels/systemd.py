"""Integration with systemd and launchd: inherited sockets, notifications, and the files that install a tunnel.

Source: systemd sd_listen_fds(3), sd_notify(3), systemd.socket(5); launchd.plist(5).
"""

from __future__ import annotations

import contextlib
import os
import plistlib
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_runas.ssm.forward.destination import LocalAddress

if TYPE_CHECKING:
    import ctypes

FIRST_DESCRIPTOR: Final = 3  # sd_listen_fds(3)
PREFIX: Final = "aws-runas-tunnel-"
LAUNCHD_SOCKET: Final = "Listener"  # name of a job's sockets, followed by a number
LAUNCHD_COUNT: Final = "RUNAS_LAUNCHD_SOCKETS"  # variable of a job: its number of sockets
LABEL: Final = "aws-runas.tunnel."  # prefix of launchd job labels


def inherited_sockets(environ: Mapping[str, str], pid: int) -> list[socket.socket]:
    """Return the listening sockets that the service manager passed to this process, in order.

    Args:
        environ: variables of this process.
        pid: the id of this process; sockets for another process are ignored.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return []
    count = environ.get("LISTEN_FDS", "")
    if not count.isdigit():
        return []
    sockets = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)):
        inherited = socket.socket(fileno=descriptor)
        os.set_inheritable(descriptor, False)
        inherited.setblocking(False)
        sockets.append(inherited)
    return sockets


def address_of(bound: socket.socket) -> LocalAddress:
    """Return the address that a socket is bound to."""
    name = bound.getsockname()
    return LocalAddress(path=str(name)) if isinstance(name, str | bytes) else LocalAddress(str(name[0]), int(name[1]))


def notify(environ: Mapping[str, str], *lines: str) -> None:
    """Send lines such as READY=1 to the service manager, if there is one."""
    path = environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        to.connect(address)
        to.sendall("\n".join(lines).encode())


def socket_unit(name: str, addresses: Sequence[LocalAddress]) -> str:
    """Return the socket unit of a tunnel that is started on demand."""
    listen = "".join(f"ListenStream={address}\n" for address in addresses)
    return (
        f"[Unit]\nDescription=aws-runas tunnel {name}\n\n"
        f"[Socket]\n{listen}SocketMode=0600\nFileDescriptorName={name}\n\n"
        "[Install]\nWantedBy=sockets.target\n"
    )


def service_unit(name: str, command: Sequence[str], *, on_demand: bool) -> str:
    """Return the service unit of a tunnel.

    Args:
        name: the name of the tunnel.
        command: program and arguments that serve it; they are quoted here.
        on_demand: a socket unit starts it, instead of the login.
    """
    start = " ".join(_quote(word) for word in command)
    requires = f"Requires={PREFIX}{name}.socket\nAfter={PREFIX}{name}.socket\n" if on_demand else ""
    install = "" if on_demand else "\n[Install]\nWantedBy=default.target\n"
    return (
        f"[Unit]\nDescription=aws-runas tunnel {name}\n{requires}\n"
        f"[Service]\nType=notify\nNotifyAccess=main\nExecStart={start}\nRestart=on-failure\n{install}"
    )


def launchd_plist(name: str, command: Sequence[str], addresses: Sequence[LocalAddress] = ()) -> bytes:
    """Return the launchd job of a tunnel.

    Args:
        addresses: launchd listens there and starts the job at the first connection; if empty, the job starts at login.
    """
    job: dict[str, object] = {"Label": LABEL + name, "ProgramArguments": list(command)}
    if not addresses:
        return plistlib.dumps(job | {"RunAtLoad": True, "KeepAlive": True})
    sockets = {f"{LAUNCHD_SOCKET}{number}": _launchd_socket(address) for number, address in enumerate(addresses)}
    job |= {"Sockets": sockets, "EnvironmentVariables": {LAUNCHD_COUNT: str(len(addresses))}}
    return plistlib.dumps(job)


def _launchd_socket(address: LocalAddress) -> dict[str, object]:
    if address.path:
        return {"SockPathName": address.path, "SockPathMode": 0o600}
    family = "IPv6" if ":" in address.host else "IPv4"
    return {"SockNodeName": address.host, "SockServiceName": str(address.port), "SockFamily": family}


def launchd_sockets(environ: Mapping[str, str], library: ctypes.CDLL | None = None) -> list[socket.socket]:
    """Return the listening sockets that launchd holds for this process, in order.

    Args:
        environ: variables of this process; a job of `launchd_plist` sets its number of sockets.
        library: provides launch_activate_socket and free; None for the system library.

    Source: launch_activate_socket(3).
    """
    count = environ.get(LAUNCHD_COUNT, "")
    if not count.isdigit():
        return []
    import ctypes

    system = library if library is not None else ctypes.CDLL(None)
    if not hasattr(system, "launch_activate_socket"):
        return []
    sockets: list[socket.socket] = []
    for number in range(int(count)):
        descriptors, found = ctypes.POINTER(ctypes.c_int)(), ctypes.c_size_t()
        name = f"{LAUNCHD_SOCKET}{number}".encode("ascii")
        if system.launch_activate_socket(name, ctypes.byref(descriptors), ctypes.byref(found)) != 0:
            continue  # the job was started manually, or has no such socket
        for index in range(found.value):
            inherited = socket.socket(fileno=descriptors[index])
            inherited.setblocking(False)
            sockets.append(inherited)
        system.free(descriptors)
    return sockets


def unit_directory(environ: Mapping[str, str], home: Path) -> Path:
    """Return the directory of the user's systemd units."""
    config = environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else home / ".config") / "systemd" / "user"


def _quote(word: str) -> str:
    """Quote a word of ExecStart=. systemd expands % and $ too."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or not word or any(char in word for char in " '\t") else word
