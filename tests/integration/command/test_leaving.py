"""`run` and `cp` that are told to leave while StartSession is under way leave no session behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS, MakeSandbox
from tests.integration.forward.support import wait_until

SLOW = 60.0  # seconds that StartSession takes, unless the fault is taken back before


def _left(sandbox: Sandbox) -> list[str]:
    return [session["session_id"] for session in sandbox.sessions() if not session["ended"]]


def _leave(sandbox: Sandbox, words: list[str], number: int, when: Callable[[], bool]) -> bytes:
    process = subprocess.Popen(
        [*AWS_RUNAS, *words], env=sandbox.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    wait_until(when, "StartSession comes next, and takes its time")
    process.send_signal(number)
    sandbox.set_faults(start_slow=0)  # answered after the signal however slow the machine is
    output, errors = process.communicate(timeout=30)
    # Interrupted before the event loop runs, it ends by the signal itself: 130 for a shell too.
    assert process.returncode in (128 + number, -number), errors
    assert (output, errors.count(b"Traceback")) == (b"", 0), errors
    return errors


@pytest.mark.parametrize(
    ("command", "number"),
    [("run --via shell", signal.SIGINT), ("run", signal.SIGTERM), ("run -t", signal.SIGTERM), ("cp", signal.SIGINT)],
)
def test_a_signal_while_the_first_session_is_being_opened_leaves_none(
    make_sandbox: MakeSandbox, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    sandbox = make_sandbox(start_slow=SLOW)
    (tmp_path / "f").write_bytes(b"x")
    words = [str(tmp_path / "f"), f"i-deadbeef:{tmp_path}/g"] if command == "cp" else ["i-deadbeef", "sleep 600"]
    before = [*command.split(), "my-profile", *words]
    _leave(sandbox, before, number, lambda: sandbox.count("DescribeInstanceInformation") == 1)
    wait_until(lambda: not _left(sandbox), "a session is left")
    assert sandbox.count("StartSession") == sandbox.count("TerminateSession")


def test_a_signal_while_cp_opens_another_session_leaves_none(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    sandbox = make_sandbox()
    (tmp_path / "f").write_bytes(Random(1).randbytes(12 << 20))

    def first_is_open() -> bool:
        if not any(session["client_connected"] for session in sandbox.sessions()):
            return False
        sandbox.set_faults(start_slow=SLOW)
        return True

    slowly = ("--rate", "40", "--payload-size", "32768")  # on one session, the copy takes nine seconds
    words = ["cp", *slowly, "my-profile", str(tmp_path / "f"), f"i-deadbeef:{tmp_path}/g"]
    _leave(sandbox, words, signal.SIGINT, first_is_open)
    wait_until(lambda: not _left(sandbox), "a session is left")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "run --via shell", "run -t", "cp", "fleet", "shell", "ssh", "forward"])
def test_end_that_aws_does_not_answer_is_explained_and_cut_short_by_the_next_signal(
    make_sandbox: MakeSandbox, tmp_path: Path, command: str
) -> None:
    sandbox = make_sandbox(end_slow=SLOW)
    (tmp_path / "f").write_bytes(Random(1).randbytes(3 << 20))
    words = {
        "cp": ["my-profile", str(tmp_path / "f"), f"i-deadbeef:{tmp_path}/g"],
        "fleet": ["--via", "sessions", "--on", "i-deadbeef", "-O", "text", "my-profile", "--", "sleep 600"],
        "shell": ["my-profile", "i-deadbeef"],
        "ssh": ["my-profile", "i-deadbeef:22"],
        "forward": ["my-profile", "i-deadbeef:22"],
    }
    process = subprocess.Popen(
        [*AWS_RUNAS, *command.split(), *words.get(command, ["my-profile", "i-deadbeef", "sleep 600"])],
        env=sandbox.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    errors = b""
    assert process.stderr is not None
    try:
        wait_until(lambda: any(session["client_connected"] for session in sandbox.sessions()), "no session is open")
        process.send_signal(signal.SIGINT if command == "fleet" else signal.SIGTERM)
        if command == "shell":
            process.send_signal(signal.SIGQUIT)  # perhaps during the end
        while b"Ctrl-C again" not in errors:
            data = os.read(process.stderr.fileno(), 65536)
            assert data, errors
            errors += data
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    finally:
        process.kill()
        errors += process.communicate()[1]
    assert b"Traceback" not in errors
