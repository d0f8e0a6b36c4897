"""``sessions``: what the service knows, which process of ours holds it, and how orphans end."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox
from tests.integration.forward.support import DEADLINE, PROFILE, TARGET, Forwarded, forwarding, wait_until


@pytest.fixture
def own_sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    """A sandbox without sessions of other tests."""
    return make_sandbox()


def sessions(sandbox: Sandbox, *words: str, status: int = 0) -> tuple[str, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "aws_runas", "sessions", *words],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert b"Traceback" not in ran.stderr
    assert ran.returncode == status, ran.stderr
    return ran.stdout.decode(), ran.stderr.decode()


def listed(sandbox: Sandbox, *words: str) -> list[dict[str, Any]]:
    stdout, _ = sessions(sandbox, "list", "-O", "json", *words)
    found: list[dict[str, Any]] = json.loads(stdout)["sessions"]
    return found


def killed_forward(sandbox: Sandbox) -> int:
    """Leave an orphan; return the pid of its process."""
    forward = Forwarded(sandbox, "--reason", "left", PROFILE, f"{TARGET}:9000")
    os.kill(forward.process.pid, signal.SIGKILL)
    forward.wait()
    return forward.process.pid


@pytest.mark.slow
def test_list_shows_session_target_and_the_process_that_holds_it(own_sandbox: Sandbox) -> None:
    with forwarding(own_sandbox, "--reason", "ticket 7", PROFILE, f"{TARGET}:9000") as forward:
        text, _ = sessions(own_sandbox, PROFILE)
        assert TARGET in text
        assert f"ticket 7, held by process {forward.process.pid}" in text
        row = listed(own_sandbox, PROFILE)[0]
        assert (row["status"], row["pid"], row["orphan"]) == ("Connected", forward.process.pid, False)


@pytest.mark.slow
def test_mine_are_those_of_the_same_identity(own_sandbox: Sandbox) -> None:
    with forwarding(own_sandbox, "my-profile-external", f"{TARGET}:9000"):
        assert listed(own_sandbox, PROFILE) == []
        assert len(listed(own_sandbox, "--all", PROFILE)) == 1


@pytest.mark.slow
def test_ended_sessions_are_in_the_history(own_sandbox: Sandbox) -> None:
    with forwarding(own_sandbox, PROFILE, f"{TARGET}:9000"):
        session_id = listed(own_sandbox, PROFILE)[0]["session_id"]
    assert listed(own_sandbox, PROFILE) == []
    assert [row["session_id"] for row in listed(own_sandbox, "--history", PROFILE)] == [session_id]
    text, _ = sessions(own_sandbox, "show", PROFILE, session_id)
    assert "Terminated" in text


@pytest.mark.slow
def test_orphans_are_ended_and_sessions_of_living_processes_are_not(own_sandbox: Sandbox) -> None:
    pid = killed_forward(own_sandbox)
    with forwarding(own_sandbox, PROFILE, f"{TARGET}:9000") as alive:
        assert len(listed(own_sandbox, PROFILE)) == 2
        orphan = listed(own_sandbox, "--orphans", PROFILE)
        assert [(row["pid"], row["orphan"]) for row in orphan] == [(pid, True)]
        text, _ = sessions(own_sandbox, "end", "--orphans", PROFILE)
        assert text == f"ended {orphan[0]['session_id']} to {TARGET}, orphan of process {pid}\n"
        wait_until(lambda: len(listed(own_sandbox, PROFILE)) == 1, "only the living session is left")
        assert listed(own_sandbox, PROFILE)[0]["pid"] == alive.process.pid
    _, stderr = sessions(own_sandbox, "end", "--orphans", PROFILE)
    assert "no such sessions" in stderr


@pytest.mark.slow
def test_sessions_of_others_are_not_ended_without_a_word(own_sandbox: Sandbox) -> None:
    with forwarding(own_sandbox, "my-profile-external", f"{TARGET}:9000") as forward:
        session_id = listed(own_sandbox, "--all", PROFILE)[0]["session_id"]
        _, stderr = sessions(own_sandbox, "end", PROFILE, session_id, status=2)
        assert session_id in stderr
        assert "--yes" in stderr
        sessions(own_sandbox, "end", "--yes", PROFILE, session_id)
        forward.wait_for_error("is over")


def test_pages_of_the_service_are_all_read(own_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from aws_runas.aws import ssm as service
    from tests.integration.forward.test_staying_up import _client

    monkeypatch.setattr(service, "PAGE_SIZE", 2)
    client = _client(own_sandbox)
    for _ in range(5):
        client.start_session(Target=TARGET)

    class Access:
        def client(self, _name: str) -> Any:
            return client

    access: Any = Access()
    assert len(list(service.list_sessions(access))) == 5
    assert len(list(service.list_sessions(access, filters={"Status": "Terminated"}))) == 0


def test_records_are_private_and_removed_with_the_session(own_sandbox: Sandbox) -> None:
    directory = Path(own_sandbox.environ["RUNAS_CACHE_DIR"]) / "sessions"
    with forwarding(own_sandbox, PROFILE, f"{TARGET}:9000"):
        [record] = directory.iterdir()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(record.stat().st_mode) == 0o600
        assert set(json.loads(record.read_text())) == {
            "session_id", "pid", "process", "profile", "region", "target", "document",
        }  # fmt: skip
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["show", PROFILE, "nobody-0123"], 6, "there is no session 'nobody-0123' in us-east-1"),
        (["end", PROFILE], 2, "name either session ids, or --mine"),
        (["end", "--mine", PROFILE, "ann-0123"], 2, "name either session ids, or --mine"),
        (["show", PROFILE], 2, "show needs one session id"),
        (["list", "--mine", "--all", PROFILE], 2, "cannot be combined"),
        (["list", "--since", "soon", PROFILE], 2, "'soon' is not a time"),
    ],
)
def test_mistakes_are_named(sandbox: Sandbox, words: list[str], status: int, text: str) -> None:
    _, stderr = sessions(sandbox, *words, status=status)
    assert text in stderr


def test_refused_list_names_the_permission(own_sandbox: Sandbox) -> None:
    _, stderr = sessions(own_sandbox, "list", "my-profile-reader", status=6)
    assert "ssm:DescribeSessions" in stderr
