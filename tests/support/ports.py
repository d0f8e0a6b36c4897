"""Ports for programs that cannot let the system pick one."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import ExitStack

# Below the ports that Linux (32768 and up), macOS and Windows (49152) give to connections and to whoever asks for any:
# one of those could be taken between this call and the program's.
FIRST, COUNT = 12_400, 20_000
STEP = 89  # ports of one process before those of the process with the next id
_offsets = itertools.count(os.getpid() * STEP)


def free_port() -> int:
    """Return a port of both loopbacks that nobody uses, and that no other process of the tests gets for now."""
    for offset in itertools.islice(_offsets, COUNT):
        port = FIRST + offset % COUNT
        if _is_free(port):
            return port
    raise AssertionError("no port is free")


def _is_free(port: int) -> bool:
    hosts = [(socket.AF_INET, "127.0.0.1")] + ([(socket.AF_INET6, "::1")] if socket.has_dualstack_ipv6() else [])
    with ExitStack() as stack:
        try:
            for (family, host), kind in itertools.product(hosts, (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
                stack.enter_context(socket.socket(family, kind)).bind((host, port))
        except OSError:
            return False
    return True
