"""Which process holds a port or a socket, where the system shows it (/proc on Linux)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"  # state in /proc/net/tcp


def who_holds(port: int, path: str = "") -> str:
    """Name the process that listens on a TCP port or a unix socket.

    Args:
        port: the port; of no meaning with a path.
        path: of the unix socket.

    Returns:
        ``nginx (pid 1234)``, or "" where it cannot be seen: another user's process, another system.
    """
    inodes = _unix_inodes(path) if path else _tcp_inodes(port)
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in _numbered(Path("/proc")):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in wanted:
                        return f"{_name(process)} (pid {process.name})"
    return ""


def _tcp_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if len(fields) > 9 and fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _unix_inodes(path: str) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
            fields = line.split(None, 7)
            if len(fields) == 8 and fields[7] == path:
                found.add(fields[6])
    return found


def _numbered(proc: Path) -> list[Path]:
    try:
        return [each for each in proc.iterdir() if each.name.isdigit()]
    except OSError:
        return []


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip() or "a process"
    except OSError:
        return "a process"
