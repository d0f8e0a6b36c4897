"""Address 169.254.169.254 on the loopback interface: added by the server, and removed however the server ends.

The server drops its privileges before its first request, so it cannot remove the address itself. Therefore a process
that is forked with the privileges waits until the server's end of a pipe closes. The kernel closes it even after
SIGKILL.

Source: Linux, rtnetlink(7), linux/if_addr.h.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable

ADDRESS = "169.254.169.254"
PORT = 80

RTM_NEWADDR, RTM_DELADDR = 20, 21
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
IFA_ADDRESS, IFA_LOCAL = 1, 2
RT_SCOPE_HOST = 254
CLAIM = f"\0aws-runas {ADDRESS}"  # abstract name, unix(7): a keeper holds it until the address is removed
CLAIM_TIMEOUT = 2.0  # seconds; a keeper needs much less, but any user may take the name
CLAIM_POLL = 0.01  # seconds


def add_address(address: str = ADDRESS) -> bool:
    """Add an address to the loopback interface.

    Args:
        address: IPv4.

    Returns:
        False if the address existed already and must not be removed.

    Raises:
        OSError: this is not permitted (EPERM), or the system does not support it.
    """
    if sys.platform.startswith("linux"):
        try:
            _change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address)
        except FileExistsError:
            return False
        return True
    if sys.platform == "darwin":
        if subprocess.run(["/sbin/ifconfig", "lo0", "alias", address, "255.255.255.255"], check=False).returncode:
            raise PermissionError(errno.EPERM, "ifconfig refused")
        return True
    raise OSError(errno.ENOSYS, "no way to add an address on this system")


def remove_address(address: str = ADDRESS) -> None:
    """Remove the address from the loopback interface.

    Args:
        address: IPv4.

    Raises:
        OSError: the address does not exist, or this is not permitted.
    """
    if sys.platform.startswith("linux"):
        _change_address(RTM_DELADDR, 0, address)
    elif sys.platform == "darwin":
        subprocess.run(["/sbin/ifconfig", "lo0", "-alias", address], check=False)


def _change_address(kind: int, flags: int, address: str) -> None:
    raw = socket.inet_aton(address)
    attributes = struct.pack("=HH4sHH4s", 8, IFA_LOCAL, raw, 8, IFA_ADDRESS, raw)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, RT_SCOPE_HOST, socket.if_nametoindex("lo")) + attributes
    header = struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(5.0)
        netlink.sendto(header + body, (0, 0))
        answer = netlink.recv(4096)
    (code,) = struct.unpack_from("=i", answer, 16)
    if code:
        raise OSError(-code, os.strerror(-code), address)


def keep(claim: socket.socket | None = None, remove: Callable[[], None] = remove_address) -> None:
    """Have the address removed after this process ends. Call it while there is only one thread and few files are open.

    Args:
        claim: held until the address is removed.
        remove: removes the address; called in a separate process.
    """
    read_end, write_end = os.pipe()
    if os.fork():
        os.close(read_end)
        if claim is not None:
            claim.close()
        os.set_inheritable(write_end, False)  # open as long as this process lives; not inherited by programs
        return
    status = 0
    try:
        os.setsid()  # so that Ctrl-C only reaches the server
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        _close_all_but(read_end, *([claim.fileno()] if claim is not None else []))
        os.chdir("/")
        while os.read(read_end, 1):
            pass
        remove()
    except OSError:
        status = 1
    finally:
        os._exit(status)


def _close_all_but(*kept: int) -> None:
    limit = os.sysconf("SC_OPEN_MAX")
    start = 0
    for descriptor in sorted(kept):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, min(limit, 65536) if limit > 0 else 65536)


def bind() -> socket.socket:
    """Add the address and bind its port 80; an address that was added is removed when this process ends.

    Raises:
        OSError: this is not permitted, or the port is in use.
    """
    with contextlib.ExitStack() as stack:
        claim = _claim()
        if claim is not None:
            stack.callback(claim.close)
        added = add_address()
        try:
            listener = _bind()
        except OSError:
            if added:
                with contextlib.suppress(OSError):
                    remove_address()
            raise
        if added:
            keep(claim)
        return listener


def _bind() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, PORT))
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)  # packets do not leave this machine
    except OSError:
        listener.close()
        raise
    return listener


def _claim() -> socket.socket | None:
    """Return the claim on the address. The keeper of a server that has just ended first removes the address.

    Returns:
        None if the system has no abstract names, or if somebody else holds the claim for too long.

    Raises:
        OSError: the server of that keeper still runs, so the port is in use.
    """
    if not sys.platform.startswith("linux"):
        return None
    deadline = time.monotonic() + CLAIM_TIMEOUT
    while True:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(CLAIM)
            return claim
        except OSError:
            claim.close()
        try:
            _bind().close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
        if time.monotonic() >= deadline:
            return None
        time.sleep(CLAIM_POLL)
