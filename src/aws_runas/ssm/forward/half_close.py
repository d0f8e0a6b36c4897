"""Has a local program closed its connection whole, or only its sending half? TCP itself does not say.

Both look the same to the one at the other end: FIN. But here the other end is on this machine, and the system knows
whether a process still holds it. Where it does not (close), nobody waits for an answer, and the far side can be told at
once; where it does (shutdown), the answer must still be carried, and the far side must not be told yet (spec 10).
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
from typing import Final

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ANY_STATE: Final = 0xFFFF_FFFF
_ENOENT: Final = 2
_NO_COOKIE: Final = b"\xff" * 8
_INODE_OFFSET: Final = _HEADER.size + 4 + 48 + 16  # after the header, four bytes, struct inet_diag_sockid, four numbers


def was_closed_whole(connected: socket.socket | None) -> bool:
    """Tell whether the program at the other end of a connection has let go of it altogether.

    Args:
        connected: our end, which has read EOF.

    Returns:
        True where that is certain; False where the program may still read, or where the system does not tell.
    """
    if connected is None or not sys.platform.startswith("linux"):
        return False
    try:
        if connected.family == socket.AF_UNIX:
            return _hung_up(connected)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            return _orphaned(connected)
    except (OSError, ValueError, struct.error):
        pass
    return False


def _hung_up(connected: socket.socket) -> bool:
    """A unix socket says POLLHUP when the other end is gone, and only POLLRDHUP when it is half-closed."""
    poll = select.poll()
    poll.register(connected.fileno(), select.POLLHUP)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _orphaned(connected: socket.socket) -> bool:
    """Ask the kernel for the other end of a TCP connection on this machine: a socket without inode has no process."""
    here, there = connected.getsockname(), connected.getpeername()
    addresses = [
        socket.inet_pton(connected.family, name[0].partition("%")[0]).ljust(16, b"\0") for name in (there, here)
    ]
    identity = struct.pack("!HH", there[1], here[1]) + b"".join(addresses) + struct.pack("=I", 0) + _NO_COOKIE
    request = struct.pack("=BBBBI", connected.family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + identity
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with contextlib.closing(
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    ) as diag:
        diag.settimeout(0.1)
        diag.send(header + request)
        answer = diag.recv(4096)
    kind = int.from_bytes(answer[4:6], sys.byteorder)
    if kind == _NLMSG_ERROR:
        error = int.from_bytes(answer[_HEADER.size : _HEADER.size + 4], sys.byteorder, signed=True)
        # Not there at all: closed and gone, when it is this machine's. Of another machine's socket nothing is known.
        return error == -_ENOENT and bool(here[0] == there[0])
    if kind != _SOCK_DIAG_BY_FAMILY:
        return False
    return int.from_bytes(answer[_INODE_OFFSET : _INODE_OFFSET + 4], sys.byteorder) == 0
