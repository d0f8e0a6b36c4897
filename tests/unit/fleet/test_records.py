"""Records of fleet runs: of this version, an earlier and a later one, damaged, full disks, several processes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from aws_runas.errors import UsageError
from aws_runas.fleet.model import Host, Outcome, Pair, State
from aws_runas.fleet.records import KEPT, OUTPUTS_KEPT, RunRecord, RunRecords, ended_host, outcome_of

RUN = "0123456789ab"
PAIR = Pair("p", "us-east-1", "123456789012")
HOSTS = [Host(PAIR, f"i-0000000{number}", f"web-{number}") for number in range(3)]
OLD = {  # what version 4.0.0 wrote
    "run_id": RUN,
    "nonce": "feed",
    "started": 1.5,
    "total": 1,
    "commands": [
        {"profile": "p", "region": "r", "account": "1", "command_id": "c", "instances": {"i-00000000": "web"}}
    ],
    "output": {},
}


def record(run_id: str = RUN) -> RunRecord:
    made = RunRecord(run_id, "feed", 1.5, 3)
    made.plan(HOSTS)
    return made


def test_what_was_written_is_read(tmp_path: Path) -> None:
    records, made = RunRecords(tmp_path / "fleet"), record()
    made.sent(PAIR, "command-0", {HOSTS[0].instance_id: "web-0"})
    made.ended[HOSTS[1].instance_id] = ended_host(Outcome(HOSTS[1], State.FAILED, "why", 3, seconds=1.5))
    records.write(made)
    assert records.read(RUN) == made
    assert (tmp_path / "fleet" / f"{RUN}.json").stat().st_mode & 0o777 == 0o600
    (rest,) = made.not_sent()
    assert rest.hosts() == HOSTS[1:]
    again = outcome_of(HOSTS[1], made.ended[HOSTS[1].instance_id], ("out", "err"))
    assert again == Outcome(HOSTS[1], State.FAILED, "why", 3, "out", "err", seconds=1.5)


@pytest.mark.parametrize("more", [{}, {"from_a_later_version": [1]}], ids=["earlier", "later"])
def test_records_of_other_versions_are_read(tmp_path: Path, more: dict[str, Any]) -> None:
    (tmp_path / f"{RUN}.json").write_text(json.dumps(OLD | more))
    found = RunRecords(tmp_path).read(RUN)
    assert [command.hosts() for command in found.commands] == [[Host(Pair("p", "r", "1"), "i-00000000", "web")]]
    assert (found.via, found.not_sent()) == ("command", [])


@pytest.mark.parametrize(
    "damage",
    [
        {"commands": [{"profile": "p"}]},
        {"commands": [OLD["commands"][0] | {"instances": []}]},  # type: ignore[index]
        {"commands": [OLD["commands"][0] | {"instances": {"i-1": 3}}]},  # type: ignore[index]
        {"commands": [OLD["commands"][0] | {"region": None}]},  # type: ignore[index]
        {"commands": 3},
        {"planned": ["x"]},
        {"ended": {"i-1": {"state": "no such state"}}},
        {"ended": {"i-1": {"state": "failed", "exit": "x"}}},
        {"ended": []},
        {"sessions": []},
        {"output": {"bucket": 1}},
        {"started": "soon"},
        {"nonce": None},
        {"pid": "x"},
    ],
)
def test_a_damaged_record_is_none(tmp_path: Path, damage: dict[str, Any]) -> None:
    (tmp_path / f"{RUN}.json").write_text(json.dumps(OLD | damage))
    records = RunRecords(tmp_path)
    assert records.all() == []
    with pytest.raises(UsageError):
        records.read(RUN)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_record_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{RUN}.json").write_bytes(content)
    assert RunRecords(tmp_path).all() == []


@pytest.mark.parametrize("run_id", ["../../etc/passwd", "", RUN.upper(), RUN + "0", "status"])
def test_an_id_that_is_none_is_no_path(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(UsageError, match="no fleet run"):
        RunRecords(tmp_path).read(run_id)


def test_the_oldest_runs_and_outputs_are_removed(tmp_path: Path) -> None:
    records = RunRecords(tmp_path)
    for number in range(KEPT + 3):
        records.write(record(f"{number:012x}"))
        os.utime(tmp_path / f"{number:012x}.json", (number, number))
    records.write(record())
    assert len(records.all()) == KEPT
    for number in range(OUTPUTS_KEPT + 3):
        outputs = records.make_outputs(f"{number:012x}")
        outputs.write("i-00000000", 1, b"x")
        outputs.close("i-00000000")
        os.utime(tmp_path / f"{number:012x}", (number, number))
    records.make_outputs(RUN)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == OUTPUTS_KEPT
    assert len(records.all()) == KEPT


def test_a_record_that_vanishes_meanwhile_is_left_out(tmp_path: Path) -> None:
    records = RunRecords(tmp_path)
    records.write(record())
    (tmp_path / "ffffffffffff.json").symlink_to(tmp_path / "gone")  # as one that another process has just removed
    assert [found.run_id for found in records.all()] == [RUN]
    records.write(record())


def test_outputs_are_private_and_read_back_as_bytes(tmp_path: Path) -> None:
    records = RunRecords(tmp_path / "fleet")
    outputs = records.make_outputs(RUN)
    for stream, data in ((1, b"one\n"), (2, b"\xff"), (1, b"two")):
        outputs.write("i-00000000", stream, data)
    outputs.close("i-00000000")
    assert records.read_outputs(RUN, HOSTS[0]) == ("one\ntwo", "\udcff")
    assert records.read_outputs(RUN, HOSTS[1]) == ("", "")
    file = records.outputs(RUN) / "i-00000000.out"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert asdict(record())["commands"] == []
