"""Which user a loopback connection comes from, as the kernel knows it.

Source: Linux, sock_diag(7) and linux/inet_diag.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys

from aws_runas.serve.http import Connection, Request

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NO_COOKIE = b"\xff" * 8
UID_OFFSET = 16 + 64  # of idiag_uid, behind the netlink header


class Users:
    """Tells the users of connections by asking the kernel, on one socket that is kept: running out of descriptors must
    not open the door.

    Not for several threads at once.
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
        """Whether this system tells."""
        return self._socket is not None

    def user_of(self, connection: Connection) -> int | None:
        """User id of the client's end of a connection; None where the kernel finds no such socket.

        Args:
            connection: between two addresses of this machine.
        """
        if self._socket is None:
            return None
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        try:
            self._socket.sendto(_question(connection, self._sequence), (0, 0))
            while True:
                answer = self._socket.recv(4096)
                kind, _, sequence = struct.unpack_from("=HHI", answer, 4)
                if sequence == self._sequence:
                    break
        except (OSError, ValueError, struct.error):
            return None
        if kind != SOCK_DIAG_BY_FAMILY or len(answer) < UID_OFFSET + 4:
            return None
        return int(struct.unpack_from("=I", answer, UID_OFFSET)[0])

    def is_neighbour(self, request: Request) -> bool:
        """Whether a request comes from this process's user or root, on this machine.

        A unix socket is guarded by its file mode. Where the system does not tell the user, loopback has to do.
        """
        connection = request.connection
        if not connection.peer:
            return True
        if not is_loopback(connection.local) and connection.peer != connection.local:
            return False
        return not self.is_known or self.user_of(connection) in (0, os.getuid())

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _works(self) -> bool:
        """Try it on a connection of our own: a kernel without the module finds no socket at all."""
        if self._socket is None:
            return False
        try:
            with (
                socket.create_server(("127.0.0.1", 0)) as listener,
                socket.create_connection(listener.getsockname(), timeout=1.0) as sock,
            ):
                own, other = sock.getsockname(), sock.getpeername()
                return self.user_of(Connection(own[0], own[1], other[0], other[1])) == os.geteuid()
        except OSError:
            return True  # no loopback to try it on; then nobody connects by it either


def _question(connection: Connection, sequence: int) -> bytes:
    family = socket.AF_INET6 if ":" in connection.peer else socket.AF_INET
    source = socket.inet_pton(family, connection.peer.split("%")[0]).ljust(16, b"\0")
    target = socket.inet_pton(family, connection.local.split("%")[0]).ljust(16, b"\0")
    ports = struct.pack("!HH", connection.peer_port, connection.local_port)
    identity = ports + source + target + struct.pack("=I", 0) + NO_COOKIE
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + identity
    return struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, sequence, 0) + body


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address: 127.0.0.0/8, ::1, and IMDS's on our loopback interface."""
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1", "169.254.169.254")
