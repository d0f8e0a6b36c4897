"""Private records of fleet runs, so that a run can be found again after a crash. They do not contain the command.

The results of Run Command are requested from the service again. The results of runs through sessions are not stored
anywhere else, so the ends of those hosts and their outputs are kept as well: the outputs as files in a directory next
to the record.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import IO, Final

from aws_runas import files
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError
from aws_runas.fleet.model import Host, Outcome, Pair, State

_ID: Final = re.compile(r"[0-9a-f]{12}")
KEPT: Final = 50  # runs
OUTPUTS_KEPT: Final = 10  # runs through sessions, whose outputs may be large
STREAMS: Final = {1: "out", 2: "err"}  # of a session -> ending of its file


@dataclass(slots=True)
class SentCommand:
    """A command that the service accepted, or, without an id, hosts to which it was not sent yet.

    Args:
        command_id: id in Run Command; "" before the command was sent, and for sessions.
        instances: id -> name.
    """

    profile: str
    region: str
    account: str
    command_id: str
    instances: dict[str, str]

    @property
    def pair(self) -> Pair:
        """Profile and region with which the command was sent."""
        return Pair(self.profile, self.region, self.account)

    def hosts(self) -> list[Host]:
        """Return the hosts of the command."""
        return [Host(self.pair, instance_id, name) for instance_id, name in self.instances.items()]


@dataclass(slots=True)
class EndedHost:
    """Outcome on a host that was reached through a session.

    Args:
        state: value of a State.
        exit: exit status of the command, None if it is not known.
    """

    state: str
    details: str = ""
    exit: int | None = None
    seconds: float = 0.0
    truncated: bool = False


@dataclass(slots=True)
class RunRecord:
    """A fleet run.

    Args:
        run_id: 12 hex digits.
        nonce: nonce in the last line of the wrapper.
        started: seconds since the epoch.
        total: number of hosts that were selected and reachable.
        commands: the commands that the service accepted.
        output: where complete outputs are stored; see `run_command.send_command`.
        planned: all hosts, one entry for each pair; empty in records of version 4.0.0 and earlier.
        powershell: the command was PowerShell, whose output has no counts.
        via: ``command`` or ``sessions``.
        pid, process: the process of the run; see `ssm.records.SessionRecord`.
        sessions: instance id -> session id.
        ended: instance id -> outcome of the host; only for sessions.
    """

    run_id: str
    nonce: str
    started: float
    total: int
    commands: list[SentCommand] = field(default_factory=list)
    output: dict[str, str] = field(default_factory=dict)
    planned: list[SentCommand] = field(default_factory=list)
    powershell: bool = False
    via: str = "command"
    pid: int = 0
    process: str = ""
    sessions: dict[str, str] = field(default_factory=dict)
    ended: dict[str, EndedHost] = field(default_factory=dict)

    def plan(self, hosts: Sequence[Host]) -> None:
        """Record all hosts of the run, before anything is sent."""
        by_pair: dict[Pair, dict[str, str]] = {}
        for host in hosts:
            by_pair.setdefault(host.pair, {})[host.instance_id] = host.name
        self.planned = [SentCommand(*_names(pair), "", instances) for pair, instances in by_pair.items()]

    def sent(self, pair: Pair, command_id: str, instances: Mapping[str, str]) -> None:
        """Record a command that the service accepted.

        Args:
            pair: profile and region that sent it.
            command_id: from the reply.
            instances: id -> name, for each instance of the command.
        """
        self.commands.append(SentCommand(*_names(pair), command_id, dict(instances)))

    def not_sent(self) -> list[SentCommand]:
        """Return the hosts of each pair to which no recorded command was sent, without pairs that have none."""
        rest = []
        for plan in self.planned:
            sent = {one for command in self.commands if command.pair == plan.pair for one in command.instances}
            instances = {one: name for one, name in plan.instances.items() if one not in sent}
            if instances:
                rest.append(SentCommand(plan.profile, plan.region, plan.account, "", instances))
        return rest


class RunRecords:
    """The records of one user.

    Args:
        directory: private directory, created with the first record.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, record: RunRecord) -> None:
        """Write or replace a record, and remove the oldest records.

        Raises:
            OSError: the record cannot be written.
        """
        files.make_private_directory(self._directory)
        files.write_atomic(self._path(record.run_id), json.dumps(asdict(record)).encode())
        for old in self._paths()[KEPT:]:
            old.unlink(missing_ok=True)

    def read(self, run_id: str) -> RunRecord:
        """Return a record.

        Raises:
            UsageError: there is no such record, or it is damaged.
        """
        record = _read(self._path(run_id)) if _ID.fullmatch(run_id) else None
        if record is None:
            raise UsageError(f"no fleet run {run_id!r}", code="fleet-run-unknown", hint="see: aws-runas fleet list")
        return record

    def all(self) -> Sequence[RunRecord]:
        """Return all readable records, the newest first."""
        return [record for record in map(_read, self._paths()) if record is not None]

    def outputs(self, run_id: str) -> Path:
        """Return the directory of the outputs of a run through sessions."""
        return self._directory / run_id

    def make_outputs(self, run_id: str) -> OutputFiles:
        """Create the directory for the outputs of a run, and remove those of old runs.

        Raises:
            OSError: the directory cannot be created.
        """
        directory = self.outputs(run_id)
        files.make_private_directory(directory)
        found = sorted((path for path in self._directory.iterdir() if path.is_dir()), key=_changed, reverse=True)
        for old in found[OUTPUTS_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        return OutputFiles(directory)

    def read_outputs(self, run_id: str, host: Host) -> tuple[str, str]:
        """Return the recorded stdout and stderr of a host, "" for a missing one."""
        directory = self.outputs(run_id)
        texts = []
        for ending in STREAMS.values():
            try:
                data = files.read_plain(directory / f"{host.instance_id}.{ending}")
            except OSError:
                data = b""
            texts.append(data.decode("utf-8", "surrogateescape"))
        return texts[0], texts[1]

    def _path(self, run_id: str) -> Path:
        return self._directory / f"{run_id}.json"

    def _paths(self) -> list[Path]:
        if not self._directory.is_dir():
            return []
        return sorted(self._directory.glob("*.json"), key=lambda path: (_changed(path), path.name), reverse=True)


class OutputFiles:
    """The outputs of a run through sessions. They are written as they arrive, so that they are kept after a crash.

    Args:
        directory: an existing private directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[tuple[str, int], IO[bytes]] = {}

    def write(self, instance_id: str, stream: int, data: bytes) -> None:
        """Append output of a host.

        Args:
            instance_id: instance id of the host.
            stream: a key of STREAMS.
            data: the output to append.

        Raises:
            OSError: the file cannot be written, for example because the disk is full.
        """
        file = self._open.get((instance_id, stream))
        if file is None:
            path = self._directory / f"{instance_id}.{STREAMS[stream]}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, files.FILE_MODE)
            file = self._open[instance_id, stream] = open(descriptor, "wb", buffering=0)  # noqa: SIM115 - see close
        file.write(data)

    def close(self, instance_id: str) -> None:
        """Close the files of a host that has ended."""
        for stream in STREAMS:
            file = self._open.pop((instance_id, stream), None)
            if file is not None:
                file.close()


def ended_host(outcome: Outcome) -> EndedHost:
    """Return the recorded form of an outcome, without its output."""
    return EndedHost(
        outcome.state.value, outcome.details, outcome.exit_status, round(outcome.seconds, 3), outcome.truncated
    )


def outcome_of(host: Host, ended: EndedHost, streams: tuple[str, str]) -> Outcome:
    """Return the outcome of a host that has ended.

    Args:
        host: the instance.
        ended: the recorded outcome.
        streams: standard output and standard error.
    """
    return Outcome(
        host,
        State(ended.state),
        ended.details,
        ended.exit,
        *streams,
        truncated=ended.truncated,
        seconds=ended.seconds,
    )


def _names(pair: Pair) -> tuple[str, str, str]:
    return pair.profile, pair.region, pair.account


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0


def _read(path: Path) -> RunRecord | None:
    """Read a record of any version, including later ones; return None if it is damaged."""
    try:
        value = json.loads(files.read_plain(path))
        known = {name: value[name] for name in _FIELDS & value.keys()}
        known["commands"] = [_command(command) for command in known.get("commands", [])]
        known["planned"] = [_command(command) for command in known.get("planned", [])]
        known["ended"] = {str(one): _ended(ended) for one, ended in known.get("ended", {}).items()}
        record = RunRecord(**known)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return record if _is_sound(record) else None


def _command(value: Mapping[str, object]) -> SentCommand:
    """Read a command. Raises: TypeError: the value is not a command."""
    profile, region, account, command_id = (value[name] for name in ("profile", "region", "account", "command_id"))
    instances = value["instances"]
    texts = (profile, region, account, command_id)
    if not isinstance(instances, dict) or not _are_texts([*texts, *instances, *instances.values()]):
        raise TypeError("not a command")
    return SentCommand(str(profile), str(region), str(account), str(command_id), instances)


def _ended(value: Mapping[str, object]) -> EndedHost:
    """Read the outcome of a host. Raises: ValueError, TypeError: the value is not an outcome."""
    state, exit_status, seconds = State(value["state"]), value.get("exit"), value.get("seconds", 0.0)
    if not (exit_status is None or isinstance(exit_status, int)) or not isinstance(seconds, int | float):
        raise TypeError("not an end")
    details, truncated = str(value.get("details", "")), bool(value.get("truncated"))
    return EndedHost(state.value, details, exit_status, float(seconds), truncated)


def _is_sound(record: RunRecord) -> bool:
    numbers = (record.started, record.total, record.pid)
    texts: list[object] = [record.run_id, record.nonce, record.via, record.process]
    for mapping in (record.output, record.sessions):
        if not isinstance(mapping, dict):
            return False
        texts += [*mapping, *mapping.values()]
    return all(isinstance(number, int | float) for number in numbers) and _are_texts(texts)


def _are_texts(values: Collection[object]) -> bool:
    return all(isinstance(value, str) for value in values)


_FIELDS: Final = frozenset(field.name for field in fields(RunRecord))
