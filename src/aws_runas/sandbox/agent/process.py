"""Processes that an agent starts: how they are killed together with everything that they have started."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def kill_session(leader: int) -> None:
    """Kill every process of a leader's session: background jobs have process groups of their own."""
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGHUP)
    for pid in _processes():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def kill_survivors(directory: Path) -> None:
    """Kill processes whose HOME is below a directory: official agents let a command's children live (Linux only).

    Args:
        directory: the homes of all instances of one sandbox.
    """
    mark = b"\0HOME=" + os.fsencode(directory) + b"/"
    for pid in _processes():
        with contextlib.suppress(OSError):
            if mark in b"\0" + Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _processes() -> Iterator[int]:
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # Linux; elsewhere the process group has to be enough
            if name.isdigit():
                yield int(name)
