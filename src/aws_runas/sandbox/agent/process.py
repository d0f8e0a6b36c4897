"""Processes that an agent starts: their environment, and their end with everything that they have started."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    """Variables of a shell on an instance: nothing of the sandbox's user is in them."""
    return {
        "HOME": str(home),
        "LANG": os.environ.get("LANG") or "C.UTF-8",
        "PATH": os.environ.get("PATH", os.defpath),
        "TERM": "xterm-256color",
        "USER": "ssm-user",
    }


def kill_session(leader: int) -> None:
    """Kill every process of a leader's session: background jobs have process groups of their own."""
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGHUP)
    for pid in _members(leader):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def _members(leader: int) -> list[int]:
    members = []
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # Linux; elsewhere the group has to do
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if os.getsid(int(name)) == leader:
                        members.append(int(name))
    return members
