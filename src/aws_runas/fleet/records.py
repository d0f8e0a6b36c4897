"""Private records of fleet runs, so that a run can be found again after a crash. They hold no command and no output."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from aws_runas import files
from aws_runas.errors import UsageError
from aws_runas.fleet.model import Host, Pair

_ID: Final = re.compile(r"[0-9a-f]{12}")
KEPT: Final = 50  # runs


@dataclass(slots=True)
class SentCommand:
    """A command that the service accepted.

    Args:
        instances: id -> name.
    """

    profile: str
    region: str
    account: str
    command_id: str
    instances: dict[str, str]

    @property
    def pair(self) -> Pair:
        """Where it was sent."""
        return Pair(self.profile, self.region, self.account)

    def hosts(self) -> list[Host]:
        """Return the hosts that it was sent to."""
        return [Host(self.pair, instance_id, name) for instance_id, name in self.instances.items()]


@dataclass(slots=True)
class RunRecord:
    """A fleet run.

    Args:
        run_id: 12 hex digits.
        nonce: of the wrapper's last line.
        started: seconds since the epoch.
        total: hosts that were selected and reachable.
        output: where whole outputs are stored; see `run_command.send_command`.
    """

    run_id: str
    nonce: str
    started: float
    total: int
    commands: list[SentCommand] = field(default_factory=list)
    output: dict[str, str] = field(default_factory=dict)


class RunRecords:
    """The records of one user.

    Args:
        directory: private; created with the first record.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, record: RunRecord) -> None:
        """Write or replace a record; the oldest are removed.

        Raises:
            OSError: it cannot be written.
        """
        files.make_private_directory(self._directory)
        files.write_atomic(self._path(record.run_id), json.dumps(asdict(record)).encode())
        for old in self._paths()[KEPT:]:
            old.unlink(missing_ok=True)

    def read(self, run_id: str) -> RunRecord:
        """Return a record.

        Raises:
            UsageError: there is none, or it is damaged.
        """
        record = _read(self._path(run_id)) if _ID.fullmatch(run_id) else None
        if record is None:
            raise UsageError(f"no fleet run {run_id!r}", code="fleet-run-unknown", hint="see: aws-runas fleet list")
        return record

    def all(self) -> Sequence[RunRecord]:
        """Return all readable records, the newest first."""
        return [record for record in map(_read, self._paths()) if record is not None]

    def _path(self, run_id: str) -> Path:
        return self._directory / f"{run_id}.json"

    def _paths(self) -> list[Path]:
        if not self._directory.is_dir():
            return []
        return sorted(self._directory.glob("*.json"), key=lambda path: (path.stat().st_mtime, path.name), reverse=True)


def _read(path: Path) -> RunRecord | None:
    try:
        value = json.loads(path.read_bytes())
        commands = [SentCommand(**command) for command in value.pop("commands")]
        return RunRecord(**value, commands=commands)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
