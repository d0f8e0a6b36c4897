"""The address 169.254.169.254 on the loopback interface: there while the server lives, gone however it ended.

The server gives up its privileges before its first request, and with them the power to remove the address. So a keeper,
forked while they were there, waits for the server's end of a pipe to close; the kernel does that even after SIGKILL.

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
from collections.abc import Callable

ADDRESS = "169.254.169.254"
PORT = 80

RTM_NEWADDR, RTM_DELADDR = 20, 21
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
IFA_ADDRESS, IFA_LOCAL = 1, 2
RT_SCOPE_HOST = 254


def add_address(address: str = ADDRESS) -> bool:
    """Give the loopback interface an address.

    Args:
        address: IPv4.

    Returns:
        False when it was there already, and is not ours to remove.

    Raises:
        OSError: not permitted (EPERM), or no such thing on this system.
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
        OSError: it is not there, or not permitted.
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


def keep(remove: Callable[[], None] = remove_address) -> None:
    """Have the address removed when this process has ended. Call it while there is one thread and few open files.

    Args:
        remove: removes the address; called in a process of its own.
    """
    read_end, write_end = os.pipe()
    if os.fork():
        os.close(read_end)
        os.set_inheritable(write_end, False)  # stays open for as long as this process lives; programs it runs have none
        return
    status = 0
    try:
        os.setsid()  # Ctrl-C is for the server
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        _close_all_but(read_end)
        os.chdir("/")
        while os.read(read_end, 1):
            pass
        remove()
    except OSError:
        status = 1
    finally:
        os._exit(status)


def _close_all_but(kept: int) -> None:
    limit = os.sysconf("SC_OPEN_MAX")
    os.closerange(0, kept)
    os.closerange(kept + 1, min(limit, 65536) if limit > 0 else 65536)


def bind() -> socket.socket:
    """Add the address and bind port 80 of it; what was added is removed when this process ends.

    Raises:
        OSError: not permitted, or the port is taken.
    """
    added = add_address()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, PORT))
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)  # what we say does not leave this machine
    except OSError:
        listener.close()
        if added:
            with contextlib.suppress(OSError):
                remove_address()
        raise
    if added:
        keep()
    return listener
