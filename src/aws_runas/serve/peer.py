"""Which user a loopback connection comes from, as the kernel knows it.

Source: Linux, sock_diag(7) and linux/inet_diag.h.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

from aws_runas.serve.http import Connection, Request

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR = 2
NLM_F_REQUEST = 1
NO_COOKIE = b"\xff" * 8
UID_OFFSET = 16 + 64  # of idiag_uid, behind the netlink header


def user_of(connection: Connection) -> int | None:
    """User id of the client's end of a connection; None where the system does not tell.

    Args:
        connection: between two addresses of this machine.
    """
    if not sys.platform.startswith("linux") or not connection.peer:
        return None
    family = socket.AF_INET6 if ":" in connection.peer else socket.AF_INET
    source = socket.inet_pton(family, connection.peer.split("%")[0]).ljust(16, b"\0")
    target = socket.inet_pton(family, connection.local.split("%")[0]).ljust(16, b"\0")
    ports = struct.pack("!HH", connection.peer_port, connection.local_port)
    identity = ports + source + target + struct.pack("=I", 0) + NO_COOKIE
    body = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + identity
    header = struct.pack("=IHHII", 16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(1.0)  # the kernel answers at once or not at all
            netlink.sendto(header + body, (0, 0))
            answer = netlink.recv(4096)
    except OSError:
        return None
    if len(answer) < UID_OFFSET + 4 or struct.unpack_from("=H", answer, 4)[0] != SOCK_DIAG_BY_FAMILY:
        return None
    return int(struct.unpack_from("=I", answer, UID_OFFSET)[0])


def is_neighbour(request: Request) -> bool:
    """Whether a request comes from this process's user or root, on this machine.

    A unix socket is guarded by its file mode. Where the system does not tell the user, loopback has to do.
    """
    connection = request.connection
    if not connection.peer:
        return True
    if not is_loopback(connection.local) and connection.peer != connection.local:
        return False
    user = user_of(connection)
    return user is None or user in (0, os.getuid())


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address: 127.0.0.0/8, ::1, and IMDS's on our loopback interface."""
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1", "169.254.169.254")
