"""Owners of sockets as the kernel knows them: the user at the other end of a loopback connection, and the process that
listens on a port.

Source: Linux, sock_diag(7), linux/inet_diag.h and proc(5).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from pathlib import Path

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NO_COOKIE = b"\xff" * 8
STATE_OFFSET = 16 + 1  # of idiag_state, after the netlink header
UID_OFFSET = 16 + 64  # of idiag_uid, followed by idiag_inode
TCP_LISTEN = 10
_LISTEN = "0A"  # state in /proc/net/tcp
Address = tuple[str, int]  # IP address and port


class SocketOwners:
    """Asks the kernel for the user of a socket, over one netlink socket that stays open.

    An open socket keeps working when the process runs out of descriptors. Not thread-safe.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._sequence = 0
        if sys.platform.startswith("linux"):
            with contextlib.suppress(OSError):  # no such protocol
                self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG)
                self._socket.settimeout(1.0)  # the kernel answers at once or not at all
            if not self._works():
                self.close()

    @property
    def is_known(self) -> bool:
        """Return True if this system reports the user of a socket."""
        return self._socket is not None

    def owner_of(self, peer: Address, local: Address) -> int | None:
        """Return the user id of the client's end of a connection between two addresses of this machine.

        Args:
            peer: the client's end.
            local: our end.

        Returns:
            None if the kernel finds no such socket, or its process has closed it.
        """
        if self._socket is None:
            return None
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        try:
            self._socket.sendto(_question(peer, local, self._sequence), (0, 0))
            while True:
                answer = self._socket.recv(4096)
                kind, _, sequence = struct.unpack_from("=HHI", answer, 4)
                if sequence == self._sequence:
                    break
        except (OSError, ValueError, struct.error):
            return None
        if kind != SOCK_DIAG_BY_FAMILY or len(answer) < UID_OFFSET + 8:
            return None
        owner, inode = struct.unpack_from("=II", answer, UID_OFFSET)
        # A client that has closed its end has no inode, and is shown as root's. Instead of a connection that does not
        # exist, the kernel shows a socket that listens on the client's port.
        return int(owner) if inode and answer[STATE_OFFSET] != TCP_LISTEN else None

    def is_own(self, peer: Address, local: Address) -> bool:
        """Return True if a connection comes from this process's user or root.

        Where the system does not report the user, every client on loopback passes.
        """
        return not self.is_known or self.owner_of(peer, local) in (0, os.getuid())

    def close(self) -> None:
        """Close the netlink socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _works(self) -> bool:
        """Try it with our own connection: a kernel without the module finds no socket at all."""
        if self._socket is None:
            return False
        try:
            with (
                socket.create_server(("127.0.0.1", 0)) as listener,
                socket.create_connection(listener.getsockname(), timeout=1.0) as sock,
            ):
                return self.owner_of(sock.getsockname(), sock.getpeername()) == os.geteuid()
        except OSError:
            return True  # without loopback there are no connections to check either


def _question(peer: Address, local: Address, sequence: int) -> bytes:
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    source = socket.inet_pton(family, peer[0].split("%")[0]).ljust(16, b"\0")
    target = socket.inet_pton(family, local[0].split("%")[0]).ljust(16, b"\0")
    ports = struct.pack("!HH", peer[1], local[1])
    identity = ports + source + target + struct.pack("=I", 0) + NO_COOKIE
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + identity
    return struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, sequence, 0) + body


def find_port_owner(port: int, path: str = "") -> str:
    """Return the process that listens on a TCP port or a unix socket (/proc on Linux).

    Args:
        port: the port; ignored if a path is given.
        path: path of the unix socket.

    Returns:
        ``nginx (pid 1234)``, or "" if the system does not show it: another user's process, or not Linux.
    """
    inodes = _unix_inodes(path) if path else _tcp_inodes(port)
    if not inodes:
        return ""
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in _process_directories():
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in links:
                        return f"{_process_name(process)} (pid {process.name})"
    return ""


def _tcp_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if len(fields) > 9 and fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes


def _unix_inodes(path: str) -> set[str]:
    inodes = set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
            fields = line.split(None, 7)
            if len(fields) == 8 and fields[7] == path:
                inodes.add(fields[6])
    return inodes


def _process_directories() -> list[Path]:
    try:
        return [directory for directory in Path("/proc").iterdir() if directory.name.isdigit()]
    except OSError:
        return []


def _process_name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip() or "a process"
    except OSError:
        return "a process"
