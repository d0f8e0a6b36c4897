"""Private records of the sessions of this machine, used to find orphans.

An orphan is a session whose local process is gone. Each session has its own file, named after the session. The file
contains no secrets: no token and no stream URL.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Final

from aws_runas import files
from aws_runas.dataclass import dataclass

_NAME: Final = re.compile(r"[A-Za-z0-9_.@=,+-]{1,200}")  # characters of a session id; it becomes a file name
_START_FIELD: Final = 19  # in /proc/PID/stat, counted after the name: start time in clock ticks since boot


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session and the process that holds it.

    Args:
        session_id: as StartSession returned it.
        pid: pid of the process.
        process: identifies the process even if the system reuses its pid; "" if the system shows nothing.
        profile: name of the profile.
        region: region of the session.
        target: instance or task id.
        document: name of the session document, "" for the account's default shell.
    """

    session_id: str
    pid: int
    process: str
    profile: str
    region: str
    target: str
    document: str

    def is_alive(self) -> bool:
        """Return True if the process that holds the session still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # it runs as another user
        return not self.process or identify_process(self.pid) in ("", self.process)


class SessionRecords:
    """The records of one user.

    Args:
        directory: private; created with the first record.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, record: SessionRecord) -> None:
        """Write a record.

        Raises:
            OSError: the record cannot be written.
        """
        files.make_private_directory(self._directory)
        text = json.dumps(asdict(record))
        files.write_atomic(self._path(record.session_id), text.encode(), durable=False)

    def remove(self, session_id: str) -> None:
        """Remove the record of a session, if there is one."""
        with contextlib.suppress(OSError, ValueError):
            self._path(session_id).unlink()

    def read(self) -> dict[str, SessionRecord]:
        """Return all readable records by session id."""
        records = {}
        with contextlib.suppress(OSError):
            for path in sorted(self._directory.glob("*.json")):
                with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
                    record = SessionRecord(**json.loads(files.read_plain(path)))
                    records[record.session_id] = record
        return records

    def _path(self, session_id: str) -> Path:
        if not _NAME.fullmatch(session_id):
            raise ValueError("not a session id")
        return self._directory / f"{session_id}.json"


def identify_process(pid: int) -> str:
    """Return boot and start time of a process, or "" if the system does not show them (Linux shows them in /proc)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return f"{boot} {int(fields[_START_FIELD])}"
    except (OSError, ValueError, IndexError):
        return ""
