"""Decides when a half-closed connection is closed at the remote end, and whether its local program still exists.

On the wire, a program that closes its connection and one that ends only its sending half look the same: FIN. But the
program runs on this machine, and the kernel knows whether a process still has the socket open. If no process has it
open (close), no answer can be read, and FIN is sent to the remote end at once. If a process has it open (shutdown), it
may still read an answer, and FIN must wait: the Amazon agent drops the rest of its answer when it receives FIN (spec
10).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import select
import socket
import struct
import sys
from collections.abc import Callable
from enum import Enum
from typing import Final

from aws_runas.dataclass import dataclass

REMOTE_END_TIMEOUT: Final = 2.0  # seconds that a program may still send after the remote end has closed

NO_ANSWER: Final = "silence after the program ended its sending half"  # reason of a reset
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ANY_STATE: Final = 0xFFFF_FFFF
_ENOENT: Final = 2
_NO_COOKIE: Final = b"\xff" * 8
_ANSWER_TIMEOUT: Final = 0.1  # seconds
_INODE_OFFSET: Final = _HEADER.size + 4 + 48 + 16  # after the header, four bytes, struct inet_diag_sockid, four numbers


class HalfCloseAction(Enum):
    """Action for a half-closed connection."""

    WAIT = "wait"  # do nothing yet
    CLOSE = "close"  # close it at the remote end
    RESET = "reset"  # close it at the remote end, and reset the local one: an answer may be lost


@dataclass(frozen=True, slots=True)
class HalfCloseState:
    """State of the two halves of a connection. Times are monotonic seconds; None if the event has not happened.

    Args:
        local_end_at: when the program ended its sending half.
        remote_end_at: when the remote end closed its half.
        last_received: when the last byte from the remote end arrived, 0.0 if none has.
        unsent: True if bytes from the program are still queued.
    """

    local_end_at: float | None = None
    remote_end_at: float | None = None
    last_received: float = 0.0
    unsent: bool = False


def decide_half_close(
    state: HalfCloseState, now: float, timeout: float, program_closed: Callable[[], bool]
) -> HalfCloseAction:
    """Return the action for a connection at this time.

    Args:
        state: state of the connection.
        now: monotonic seconds.
        timeout: seconds of silence until a half-closed connection is closed at the remote end.
        program_closed: returns True if no process has the local end open any more; called only if it matters.
    """
    if state.remote_end_at is not None:
        expired = now - state.remote_end_at >= REMOTE_END_TIMEOUT
        return HalfCloseAction.CLOSE if expired else HalfCloseAction.WAIT
    if state.local_end_at is None or state.unsent:
        return HalfCloseAction.WAIT
    if program_closed():
        return HalfCloseAction.CLOSE
    silent_since = max(state.local_end_at, state.last_received)
    return HalfCloseAction.RESET if now - silent_since >= timeout else HalfCloseAction.WAIT


def is_fully_closed(connected: socket.socket | None) -> bool:
    """Return True if no process has the other end of a local connection open any more.

    Args:
        connected: our end, which has read EOF.

    Returns:
        True only if that is certain; False if a program may still read, or if the system does not show it.
    """
    if connected is None or not sys.platform.startswith("linux"):
        return False
    try:
        if connected.family == socket.AF_UNIX:
            return _hung_up(connected)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            return _has_no_process(connected)
    except (OSError, ValueError, struct.error):
        pass
    return False


def open_kernel_socket() -> None:
    """Open the socket that `is_fully_closed` uses, so that it works even when file descriptors have run out."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):  # is_fully_closed then returns False
            _kernel()


@functools.cache
def _kernel() -> socket.socket:
    """Open the netlink socket of this process."""
    diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    diag.settimeout(_ANSWER_TIMEOUT)
    atexit.register(diag.close)
    return diag


_numbers = itertools.count(1)  # sequence numbers of netlink requests


def _hung_up(connected: socket.socket) -> bool:
    """Poll a unix socket: POLLHUP means that the other end is closed, POLLRDHUP alone that it is half-closed."""
    poll = select.poll()
    poll.register(connected.fileno(), select.POLLHUP)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _has_no_process(connected: socket.socket) -> bool:
    """Look up the other end of a local TCP connection in the kernel: a socket without an inode has no process."""
    here, there = connected.getsockname(), connected.getpeername()
    addresses = [
        socket.inet_pton(connected.family, name[0].partition("%")[0]).ljust(16, b"\0") for name in (there, here)
    ]
    identity = struct.pack("!HH", there[1], here[1]) + b"".join(addresses) + struct.pack("=I", 0) + _NO_COOKIE
    request = struct.pack("=BBBBI", connected.family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + identity
    number = next(_numbers)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, number, 0)
    diag = _kernel()
    diag.send(header + request)
    answer = diag.recv(4096)
    while int.from_bytes(answer[8:12], sys.byteorder) != number:  # the answer to an abandoned request
        answer = diag.recv(4096)
    kind = int.from_bytes(answer[4:6], sys.byteorder)
    if kind == _NLMSG_ERROR:
        error = int.from_bytes(answer[_HEADER.size : _HEADER.size + 4], sys.byteorder, signed=True)
        # No such socket: it is closed if its address is local. Nothing is known about sockets of other machines.
        return error == -_ENOENT and bool(here[0] == there[0])
    if kind != _SOCK_DIAG_BY_FAMILY:
        return False
    return int.from_bytes(answer[_INODE_OFFSET : _INODE_OFFSET + 4], sys.byteorder) == 0
