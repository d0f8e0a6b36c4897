"""Records of sessions: which process holds one, and whether it is the same process still."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aws_runas.ssm.records import SessionRecord, SessionRecords, identify_process

OURS = SessionRecord("ann-0123", os.getpid(), identify_process(os.getpid()), "p", "us-east-1", "i-deadbeef", "")


def test_records_are_kept_by_session_and_removed(tmp_path: Path) -> None:
    records = SessionRecords(tmp_path / "sessions")
    assert records.read() == {}
    records.add(OURS)
    records.add(replace(OURS, session_id="ann-4567"))
    assert records.read() == {"ann-0123": OURS, "ann-4567": replace(OURS, session_id="ann-4567")}
    records.remove("ann-4567")
    records.remove("ann-4567")
    assert list(records.read()) == ["ann-0123"]


def test_damaged_record_is_left_out(tmp_path: Path) -> None:
    records = SessionRecords(tmp_path)
    records.add(OURS)
    (tmp_path / "other.json").write_text('{"session_id": ')
    (tmp_path / "strange.json").write_text('{"pid": 1}')
    assert list(records.read()) == ["ann-0123"]


def test_running_process_is_alive() -> None:
    assert OURS.is_alive()


def test_ended_process_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not replace(OURS, pid=child.pid).is_alive()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux shows the start time in /proc")
def test_another_process_with_the_same_pid_is_not_the_one_that_held_the_session() -> None:
    assert not replace(OURS, process="another boot 1").is_alive()


@pytest.mark.parametrize("session_id", ["../escape", "a/b", "", "x" * 201])
def test_session_id_that_is_no_file_name_is_refused(tmp_path: Path, session_id: str) -> None:
    with pytest.raises(ValueError, match="not a session id"):
        SessionRecords(tmp_path).add(replace(OURS, session_id=session_id))
