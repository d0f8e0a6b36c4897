"""``fleet`` against the sandbox's Run Command: instances that really run the script, with the limits of the service."""

from __future__ import annotations

import base64
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aws_runas.sandbox.fixtures import FLEET_ROLE, OTHER_REGION
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services.principals import ACCOUNT, OTHER_ACCOUNT
from aws_runas.sandbox.services.run_command import (
    AGENT_SUFFIX,
    DETAIL_LIMIT,
    SERVICE_SUFFIX,
    STDERR_LIMIT,
    STDOUT_LIMIT,
)
from aws_runas.sandbox.world import Sandbox, start_sandbox
from tests.integration.conftest import AWS_RUNAS, MakeSandbox, RunAs

COUNT = 12
FLEET = ("fleet", "--on", "tag:Fleet=yes", "--yes")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    home = tmp_path_factory.mktemp("home")
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    options = SandboxOptions(instances=COUNT, eventual=0.3)
    with start_sandbox(options, base=base | {"HOME": str(home)}) as running:
        yield running


def objects(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def on_the_instance(number: int) -> str:
    """Shell text that is true on one instance only: each runs in a directory below its id."""
    return f'case "$PWD" in *i-0f1ee7{number:011d}*) true;; *) false;; esac'


@pytest.mark.slow
def test_every_instance_runs_the_command_and_short_outputs_cost_no_further_call(fleet: Sandbox, runas: RunAs) -> None:
    before = fleet.count("GetCommandInvocation")
    done = runas(fleet, *FLEET, "-O", "jsonl", "my-profile", "--", 'echo {{ssm:x}} "it\'s"; echo err >&2')
    assert done.returncode == 0, done.stderr
    rows = objects(done.stdout)
    assert sorted(row["name"] for row in rows) == [f"fleet-{number:03d}" for number in range(COUNT)]
    assert {row["stdout"] for row in rows} == {"{{ssm:x}} it's\n"}
    assert {row["exit"] for row in rows} == {0}
    assert list(rows[0]) == [
        "name", "id", "account", "profile", "region", "status", "exit", "stdout", "stderr", "truncated", "seconds",
        "command_id",
    ]  # fmt: skip
    assert fleet.count("GetCommandInvocation") == before


def test_three_failures_are_named_and_decide_the_status(fleet: Sandbox, runas: RunAs) -> None:
    wrong = " || ".join(on_the_instance(number) for number in (2, 5, 7))
    done = runas(fleet, *FLEET, "--max-errors", "3", "my-profile", "--", f"if {wrong}; then exit 9; fi")
    assert done.returncode == 1
    failed = [line for line in done.stderr.decode().splitlines() if "failed with status 9" in line]
    assert [line.split()[1] for line in sorted(failed)] == ["fleet-002", "fleet-005", "fleet-007"]
    table = done.stdout.decode()
    assert table.count("failed 9") == 3
    assert table.count("success") == COUNT - 3


@pytest.mark.slow
def test_the_first_error_stops_what_was_not_sent(fleet: Sandbox, runas: RunAs) -> None:
    done = runas(fleet, *FLEET, "--max-concurrency", "1", "-O", "jsonl", "my-profile", "--", "exit 3")
    assert done.returncode == 1
    states = sorted(row["status"] for row in objects(done.stdout))
    assert states == ["failed"] + ["not-run"] * (COUNT - 1)


@pytest.mark.parametrize("output", ["table", "text", "json", "jsonl"])
def test_control_sequences_of_a_machine_reach_the_terminal_escaped(fleet: Sandbox, runas: RunAs, output: str) -> None:
    evil = r"printf '\033[2J\033]0;title\007\302\2332J\177\342\200\256\rover'; printf '\033[31m' >&2; exit 1"
    words = ("fleet", "--on", "Name:fleet-000", "-O", output, "my-profile", "--", evil)
    done = runas(fleet, *words)
    shown = done.stdout + done.stderr.replace(b"\r\033[K", b"")
    assert (b"title" if output == "table" else b"over") in shown  # the table has the beginning of the first line
    for bad in (b"\033", b"\007", b"\302\233", b"\177", b"\342\200\256", b"\r"):
        assert bad not in shown
    if output == "jsonl":
        assert json.loads(done.stdout)["stdout"] == "\033[2J\033]0;title\007\x9b2J\x7f\u202e\rover"


LIVE = ("fleet", "--via", "sessions", "--on", "tag:Env=prod", "--on", "tag:Role=web")


def test_through_sessions_lines_come_while_the_command_runs(fleet: Sandbox) -> None:
    command = 'echo first; echo err >&2; until [ -e "$RUNAS_GO" ]; do sleep 0.1; done; echo last'
    go = Path(fleet.environ["HOME"]) / "go"
    process = subprocess.Popen(
        [*AWS_RUNAS, *LIVE, "-O", "text", "my-profile", "--", command.replace("$RUNAS_GO", str(go))],
        env=fleet.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    early = [process.stdout.readline() for _ in range(6)]
    assert sorted(early) == sorted([b"web: first\n", b"web: err\n", *[b"worker: first\n", b"worker: err\n"] * 2])
    go.touch()
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert sorted(rest.splitlines()) == [b"web: last", b"worker: last", b"worker: last"]


@pytest.mark.slow
def test_through_sessions_whole_outputs_status_and_failures(fleet: Sandbox, runas: RunAs) -> None:
    before = [fleet.count(name) for name in ("StartSession", "SendCommand")]
    command = "seq 20000; printf '\\357\\277\\275\\377'; case $PWD in *deadbeef*) exit 9;; esac"
    done = runas(fleet, *LIVE, "--max-errors", "5", "-O", "jsonl", "my-profile", "--", command)
    assert done.returncode == 1, done.stderr
    rows = objects(done.stdout)
    assert sorted((row["name"], row["exit"], row["status"]) for row in rows) == [
        ("web", 9, "failed"), ("worker", 0, "success"), ("worker", 0, "success"),
    ]  # fmt: skip
    numbers = "".join(f"{number}\n" for number in range(1, 20001))
    assert {row["stdout"] for row in rows} == {numbers + "\ufffd\udcff"}
    assert {row["truncated"] for row in rows} == {False}
    assert b"web (i-deadbeef): failed with status 9" in done.stderr
    after = [fleet.count(name) for name in ("StartSession", "SendCommand")]
    assert [late - early for late, early in zip(after, before, strict=True)] == [3, 0]


@pytest.mark.slow
def test_through_sessions_the_first_error_stops_what_was_not_started(fleet: Sandbox, runas: RunAs) -> None:
    done = runas(fleet, *LIVE, "--max-concurrency", "1", "-O", "jsonl", "my-profile", "--", "exit 3")
    assert done.returncode == 1
    assert sorted(row["status"] for row in objects(done.stdout)) == ["failed", "not-run", "not-run"]


@pytest.mark.slow
def test_through_sessions_ctrl_c_ends_the_commands(fleet: Sandbox) -> None:
    mark = f"sleep 61.{os.getpid()}"
    process = subprocess.Popen(
        [*AWS_RUNAS, *LIVE, "-O", "text", "my-profile", "--", f"echo up; exec {mark}"],
        env=fleet.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert sorted(process.stdout.readline() for _ in range(3)) == [b"web: up\n", b"worker: up\n", b"worker: up\n"]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    until = time.monotonic() + 30
    while time.monotonic() < until and _running(mark):
        time.sleep(0.1)
    assert _running(mark) == 0


@pytest.mark.slow
def test_through_sessions_a_lost_parent_ends_the_run(fleet: Sandbox) -> None:
    mark = f"sleep 62.{os.getpid()}"
    words = [*AWS_RUNAS, *LIVE, "-O", "text", "my-profile", "--", f"echo up; exec {mark}"]
    parent = subprocess.Popen(
        ["sh", "-c", '"$@" & wait', "sh", *words], env=fleet.environ, stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    assert sorted(parent.stdout.readline() for _ in range(3)) == [b"web: up\n", b"worker: up\n", b"worker: up\n"]
    parent.kill()
    parent.wait()
    parent.stdout.read()  # ends when the orphan has
    parent.stdout.close()
    assert _running(mark) == 0


@pytest.mark.slow
def test_a_run_through_sessions_is_known_afterwards(fleet: Sandbox, runas: RunAs) -> None:
    command = "echo out; printf '\\377' >&2; case $PWD in *deadbeef*) exit 9;; esac"
    done = runas(fleet, *LIVE, "--max-errors", "5", "-O", "jsonl", "my-profile", "--", command)
    assert done.returncode == 1, done.stderr
    run_id = json.loads(runas(fleet, "fleet", "list", "-O", "json").stdout)[0]["id"]
    status = runas(fleet, "fleet", "status", "-O", "jsonl", run_id)
    assert status.returncode == 1
    assert sorted(objects(status.stdout), key=str) == sorted(objects(done.stdout), key=str)
    output = runas(fleet, "fleet", "output", run_id).stdout.splitlines()
    assert sorted(output) == sorted([b"web: out", b"web: \\udcff", *[b"worker: out", b"worker: \\udcff"] * 2])


@pytest.mark.slow
def test_a_killed_run_through_sessions_leaves_its_outputs_and_can_be_cancelled(fleet: Sandbox, runas: RunAs) -> None:
    process = subprocess.Popen(
        [*AWS_RUNAS, *LIVE, "-O", "text", "my-profile", "--", "echo up; exec sleep 63"],
        env=fleet.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        assert sorted(process.stdout.readline() for _ in range(3)) == [b"web: up\n", b"worker: up\n", b"worker: up\n"]
        run_id = json.loads(runas(fleet, "fleet", "list", "-O", "json").stdout)[0]["id"]
        during = objects(runas(fleet, "fleet", "status", "-O", "jsonl", run_id).stdout)
        assert [(row["status"], row["stdout"]) for row in during] == [("running", "up\n")] * 3
        process.kill()
        process.wait()
    status = runas(fleet, "fleet", "status", "-O", "jsonl", run_id)
    assert status.returncode == 1
    assert [(row["status"], row["stdout"]) for row in objects(status.stdout)] == [("unknown", "up\n")] * 3
    cancelled = runas(fleet, "fleet", "cancel", run_id)
    assert (cancelled.returncode, cancelled.stderr) == (0, f"aws-runas: 3 sessions of run {run_id} ended\n".encode())


@pytest.mark.slow
def test_a_run_through_sessions_is_cancelled_from_elsewhere(fleet: Sandbox, runas: RunAs) -> None:
    process = subprocess.Popen(
        [*AWS_RUNAS, "fleet", "--via", "sessions", "--on", "i-deadbeef", "-O", "text", "my-profile", "--",
         "echo up; exec sleep 64"],
        env=fleet.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"web: up\n"
    run_id = json.loads(runas(fleet, "fleet", "list", "-O", "json").stdout)[0]["id"]
    assert b"was interrupted in process" in runas(fleet, "fleet", "cancel", run_id).stderr
    process.communicate(timeout=60)
    assert process.returncode == 130
    (row,) = objects(runas(fleet, "fleet", "status", "-O", "jsonl", run_id).stdout)
    assert (row["status"], row["stdout"]) == ("cancelled", "up\n")


def _running(words: str) -> int:
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes().rstrip(b"\0") == words.replace(" ", "\0").encode()
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_long_output_comes_whole(fleet: Sandbox, runas: RunAs, tmp_path: Path) -> None:
    command = "i=0; while [ $i -lt 5000 ]; do echo line $i of a long log; i=$((i+1)); done"
    done = runas(
        fleet, "fleet", "--on", "Name:fleet-00[01]", "-O", "jsonl", "--dir", str(tmp_path / "d"), "my-profile", "--",
        command,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = "".join(f"line {number} of a long log\n" for number in range(5000))
    assert [(row["stdout"] == expected, row["truncated"]) for row in objects(done.stdout)] == [(True, False)] * 2
    written = sorted(path.name for path in (tmp_path / "d").iterdir())
    assert written[:3] == [f"fleet-000.i-0f1ee700000000000.{suffix}" for suffix in ("err", "out", "status")]
    assert (tmp_path / "d" / written[1]).read_text() == expected


@pytest.fixture(scope="module")
def storage(fleet: Sandbox) -> None:
    """A bucket and a log group in the sandbox."""
    code = (
        "import botocore.session; s = botocore.session.Session(profile='my-profile');"
        "s.create_client('s3').create_bucket(Bucket='outputs');"
        "s.create_client('logs').create_log_group(logGroupName='/fleet')"
    )
    subprocess.run([sys.executable, "-c", code], env=fleet.environ, check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["s3:outputs/some/where", "s3:outputs", "logs:/fleet"])
@pytest.mark.usefixtures("storage")
def test_whole_outputs_are_read_back_from_where_they_are_stored(
    fleet: Sandbox, runas: RunAs, tmp_path: Path, where: str
) -> None:
    command = "head -c 90000 /dev/urandom | base64; seq 30000 >&2"  # neither fits into what Run Command returns
    words = ("fleet", "--on", "Name:fleet-000", "--on", "Name:fleet-001", "--full", where, "-O", "jsonl", "my-profile")
    done = runas(fleet, *words, "--", command)
    assert done.returncode == 0, done.stderr
    rows = objects(done.stdout)
    assert len(rows) == 2
    for row in rows:
        assert (row["truncated"], row["exit"]) == (False, 0)
        assert len(base64.b64decode(row["stdout"])) == 90_000
        assert row["stderr"] == "".join(f"{number}\n" for number in range(1, 30_001))
    run_id = json.loads(runas(fleet, "fleet", "list", "-O", "json").stdout)[0]["id"]
    again = runas(fleet, "fleet", "output", "my-profile", run_id)
    assert len(again.stdout.splitlines()) > 60_000


@pytest.mark.slow
@pytest.mark.usefixtures("storage")
def test_outputs_that_were_never_stored_are_called_truncated(fleet: Sandbox, runas: RunAs) -> None:
    words = ("fleet", "--on", "Name:fleet-000", "--full", "logs:/missing", "--no-pack", "-O", "jsonl", "my-profile")
    done = runas(fleet, *words, "--", "seq 30000")
    assert [row["truncated"] for row in objects(done.stdout)] == [True]


@pytest.mark.slow
def test_output_that_does_not_fit_is_called_truncated(fleet: Sandbox, runas: RunAs) -> None:
    command = "head -c 300000 /dev/urandom | base64"  # nothing that gzip makes smaller
    done = runas(fleet, "fleet", "--on", "Name:fleet-000", "-O", "text", "my-profile", "--", command)
    assert done.returncode == 0
    assert b"of the output is missing]" in done.stdout


@pytest.mark.slow
def test_unreached_instances_are_reported_before_and_count_as_failure(fleet: Sandbox, runas: RunAs) -> None:
    selection = ("fleet", "--on", "Name:odd-offline", "--on", "Name:fleet-001", "--on", "i-0123abcd")
    done = runas(fleet, *selection, "my-profile", "--", "true")
    assert done.returncode == 1
    assert b"odd-offline (i-0f1ee7ff000000001) is skipped: its agent is not connected" in done.stderr
    assert b"i-0123abcd (i-0123abcd) is skipped: Systems Manager does not know it in us-east-1" in done.stderr
    table = done.stdout.decode()
    assert (table.count("success"), table.count("  offline  ")) == (1, 2)
    assert runas(fleet, *selection, "--skip-offline", "my-profile", "--", "true").returncode == 0
    nothing = runas(fleet, "fleet", "--on", "Name:odd-offline", "my-profile", "--", "true")
    assert nothing.returncode == 5


@pytest.mark.slow
@pytest.mark.parametrize("via", ["command", "sessions"])
def test_another_platform_is_refused_beforehand(fleet: Sandbox, runas: RunAs, via: str) -> None:
    before = [fleet.count(name) for name in ("SendCommand", "StartSession")]
    words = ("fleet", "--via", via, "-O", "jsonl", "my-profile", "--", "true")
    done = runas(fleet, *words[:3], "--on", "Name:odd-windows", *words[3:])
    assert done.returncode == 5
    assert b"odd-windows (i-0f1ee7ff000000003) is skipped: it runs Windows, so it needs --" in done.stderr
    assert [fleet.count(name) for name in ("SendCommand", "StartSession")] == before
    mixed = runas(fleet, *words[:3], "--on", "Name:odd-windows", "--on", "i-deadbeef", "--skip-offline", *words[3:])
    assert mixed.returncode == 1  # a command for the wrong platform is no matter of being offline
    assert sorted((row["name"], row["status"]) for row in objects(mixed.stdout)) == [
        ("odd-windows", "refused"), ("web", "success"),
    ]  # fmt: skip


def test_progress_on_a_terminal_is_one_line_that_fits(fleet: Sandbox) -> None:
    pid, master = pty.fork()
    if pid == 0:
        words = ("fleet", "--on", "Name:fleet-00[0-2]", "-O", "jsonl", "my-profile", "--", "true")
        size = "import fcntl, struct, termios; fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 30, 0, 0));"
        run = f"import os, sys; {size} os.execv(sys.argv[1], sys.argv[1:])"
        environ = {**fleet.environ, "TERM": "xterm"}
        os.execve(sys.executable, [sys.executable, "-c", run, *AWS_RUNAS, *words], environ)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    lines, results = [], []
    for part in shown.replace(b"\r\n", b"\n").split(b"\r\033[K"):
        line, _, rest = part.partition(b"{")
        lines.append(line)
        results += (b"{" + rest).splitlines() if rest else []
    assert b"0 of 3 done, 3 running, 0 fai" in lines
    assert max(map(len, lines)) < 30
    assert not any(b"\n" in line for line in lines)
    assert len([json.loads(line) for line in results]) == 3  # each on a line of its own


@pytest.mark.slow
def test_an_instance_that_vanishes_does_not_spoil_the_others(fleet: Sandbox, runas: RunAs) -> None:
    selection = ("fleet", "--on", "Name:odd-vanished", "--on", "Name:fleet-00*")
    done = runas(fleet, *selection, "-O", "jsonl", "--yes", "my-profile", "--", "true")
    assert done.returncode == 1, done.stderr
    states = sorted(row["status"] for row in objects(done.stdout))
    assert states == ["not-delivered"] + ["success"] * 10
    assert (
        b"odd-vanished (i-0f1ee7ff000000004): did not accept the command: Run Command no longer knows it" in done.stderr
    )
    assert runas(fleet, *selection, "--yes", "--skip-offline", "my-profile", "--", "true").returncode == 0
    alone = runas(fleet, "fleet", "--on", "Name:odd-vanished", "my-profile", "--", "true")
    assert alone.returncode == 5


def test_two_profiles_of_one_account_run_the_command_once(fleet: Sandbox, runas: RunAs) -> None:
    before = fleet.count("SendCommand")
    words = ("--profiles", "my-profile,my-profile-user", "--on", "Name:fleet-000", "--on", "i-0123abcd", "-O", "jsonl")
    done = runas(fleet, "fleet", *words, "--", "true")
    assert done.returncode == 1
    assert [(row["profile"], row["status"]) for row in objects(done.stdout)] == [
        ("my-profile", "offline"), ("my-profile", "success"),
    ]  # fmt: skip
    assert fleet.count("SendCommand") == before + 1


PWSH = """\
#!/usr/bin/env python3
import base64, re, sys
text = open(sys.argv[-1]).read()
print(sys.argv[1:-1], base64.b64decode(re.search("FromBase64String..(.*?).[)]", text)[1]).decode())
sys.exit(4 if text.rstrip().endswith("exit $LASTEXITCODE") else 99)
"""


@pytest.mark.slow
def test_powershell_reaches_windows_instances_alone(
    make_sandbox: MakeSandbox, runas: RunAs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pwsh"
    program.write_text(PWSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    windows = make_sandbox(instances=4)
    selection = ("fleet", "--powershell", "--on", "Name:odd-windows", "--on", "Name:fleet-000", "-O", "jsonl")
    done = runas(windows, *selection, "--cwd", "C:\\it's", "my-profile", "--", "Get-Date | Out-String")
    assert done.returncode == 1
    skipped, ran = objects(done.stdout)
    assert (skipped["name"], skipped["status"], skipped["exit"]) == ("fleet-000", "refused", None)
    assert b"it runs Linux, so it needs a command without --powershell" in done.stderr
    assert (ran["name"], ran["status"], ran["exit"], ran["truncated"]) == ("odd-windows", "failed", 4, False)
    assert "Set-Location -LiteralPath 'C:\\it''s'; Get-Date | Out-String" in ran["stdout"]
    run_id = json.loads(runas(windows, "fleet", "list", "-O", "json").stdout)[0]["id"]
    (again,) = objects(runas(windows, "fleet", "status", "-O", "jsonl", run_id).stdout)
    assert (again["stdout"], again["exit"], again["truncated"]) == (ran["stdout"], 4, False)


@pytest.mark.slow
def test_a_hanging_command_times_out(fleet: Sandbox, runas: RunAs) -> None:
    done = runas(fleet, "fleet", "--on", "Name:odd-hangs", "--timeout", "1s", "-O", "jsonl", "my-profile", "--", "true")
    assert done.returncode == 1
    assert objects(done.stdout)[0]["status"] == "timed-out"


@pytest.mark.slow
def test_two_regions_each_have_their_own_instances(fleet: Sandbox, runas: RunAs) -> None:
    done = runas(
        fleet, "fleet", "--on", "Name:fleet-000", "--on", "Name:abroad-*", "--regions", "us-east-1,eu-west-1",
        "-O", "jsonl", "my-profile", "--", "true",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    places = sorted((row["name"], row["region"]) for row in objects(done.stdout))
    assert places == [(f"abroad-{number}", "eu-west-1") for number in range(4)] + [("fleet-000", "us-east-1")]


@pytest.mark.slow
def test_two_accounts_and_two_regions_are_asked_with_their_own_credentials(fleet: Sandbox, runas: RunAs) -> None:
    elsewhere = f"arn:aws:iam::{OTHER_ACCOUNT}:role/{FLEET_ROLE}"
    environ = {"AWS_PROFILE": "my-profile-user"}  # the source of a role that is named by its ARN
    pairs = ("--profiles", f"my-profile,{elsewhere}", "--regions", f"us-east-1,{OTHER_REGION}")
    selectors = ("--on", "Name:fleet-000", "--on", "Name:abroad-*", "--on", "Name:elsewhere-*")
    done = runas(fleet, "fleet", *selectors, *pairs, "-O", "jsonl", "--", "echo here", **environ)
    assert done.returncode == 0, done.stderr
    rows = sorted((row["name"], row["account"], row["region"], row["stdout"]) for row in objects(done.stdout))
    assert rows == [
        *((f"abroad-{number}", ACCOUNT, OTHER_REGION, "here\n") for number in range(4)),
        *((f"elsewhere-{number}", OTHER_ACCOUNT, "us-east-1", "here\n") for number in range(3)),
        ("fleet-000", ACCOUNT, "us-east-1", "here\n"),
    ]
    run_id = json.loads(runas(fleet, "fleet", "list", "-O", "json").stdout)[0]["id"]
    again = runas(fleet, "fleet", "output", run_id, **environ)
    assert again.stdout.count(b": here\n") == 8, again.stderr


@pytest.mark.slow
def test_ctrl_c_cancels_and_the_run_can_be_seen_later(fleet: Sandbox, runas: RunAs) -> None:
    process = subprocess.Popen(
        [*AWS_RUNAS, "fleet", "--on", "Name:fleet-00[0-3]", "my-profile", "--", "sleep 600"],
        env=fleet.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    sent = fleet.count("SendCommand")
    deadline = time.monotonic() + 60
    while fleet.count("ListCommandInvocations") == 0 or fleet.count("SendCommand") == sent - 1:
        assert time.monotonic() < deadline
    started = fleet.count("ListCommandInvocations")
    while fleet.count("ListCommandInvocations") < started + 2:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout.decode().count("cancelled") == 4
    run_id = runas(fleet, "fleet", "list", "my-profile").stdout.split()[0].decode()
    status = runas(fleet, "fleet", "status", run_id)
    assert status.stdout.decode().count("cancelled") == 4
    assert status.returncode == 1


@pytest.mark.slow
def test_a_killed_run_is_found_again_with_its_outputs(fleet: Sandbox, runas: RunAs) -> None:
    before = fleet.count("SendCommand")
    process = subprocess.Popen(
        [*AWS_RUNAS, "fleet", "--on", "Name:fleet-00[0-1]", "my-profile", "--", "seq 1 3000"],
        env=fleet.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    polled = fleet.count("ListCommandInvocations")
    while fleet.count("SendCommand") == before or fleet.count("ListCommandInvocations") == polled:
        assert time.monotonic() < deadline
    process.kill()
    process.wait()
    run_id = runas(fleet, "fleet", "list").stdout.split()[0].decode()
    output = b""
    while output.count(b"fleet-001: 3000\n") == 0:
        assert time.monotonic() < deadline
        output = runas(fleet, "fleet", "output", run_id).stdout
    assert output.count(b"fleet-000: ") == 3000


def test_many_instances_are_not_asked_without_a_yes(fleet: Sandbox, runas: RunAs) -> None:
    done = runas(fleet, "fleet", "--on", "tag:Fleet=yes", "my-profile", "--", "true")
    assert done.returncode == 2
    assert b"12 instances are selected; add --yes" in done.stderr
    listed = runas(fleet, "fleet", "--on", "tag:Fleet=yes", "--dry-run", "my-profile")
    assert listed.stdout.count(b"\n") == COUNT


@pytest.mark.slow
def test_json_lines_stay_whole_when_the_reader_leaves(fleet: Sandbox) -> None:
    command = " ".join([*AWS_RUNAS, *FLEET, "-O", "jsonl", "my-profile", "--", "hostname", "| head -n 2"])
    done = subprocess.run(["sh", "-c", command], env=fleet.environ, capture_output=True, check=False, timeout=100)
    assert len(objects(done.stdout)) == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--on", "all", "my-profile"), "no command given"),
        (("my-profile", "--", "true"), "no instances selected"),
        (("--on", "web", "my-profile", "--", "true"), "is not a selector"),
        (("--on", "all", "--max-errors", "many", "my-profile", "--", "true"), "--max-errors 'many'"),
        (("--on", "all", "--timeout", "90", "my-profile", "--", "true"), "--timeout"),
        (("--on", "all", "-O", "xml", "my-profile", "--", "true"), "'xml' is not a format"),
        (("--on", "all", "--full", "ftp:x", "my-profile", "--", "true"), "--full 'ftp:x'"),
        (("--on", "all", "--script", "/nonexistent", "my-profile"), "cannot be read"),
        (("status", "nonsense"), "no fleet run 'nonsense'"),
        (("status",), "needs the id of a run"),
    ],
)
def test_a_wrong_command_line_names_the_value(
    fleet: Sandbox, runas: RunAs, arguments: tuple[str, ...], words: str
) -> None:
    done = runas(fleet, "fleet", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("size", [STDOUT_LIMIT - 1, STDOUT_LIMIT, STDOUT_LIMIT + 1])
def test_the_sandbox_cuts_streams_where_the_agent_does(fleet: Sandbox, size: int) -> None:
    import boto3

    environ = fleet.environ
    keys = subprocess.run([*AWS_RUNAS, "-O", "json", "my-profile"], env=environ, capture_output=True, check=True).stdout
    found = json.loads(keys)
    ssm = boto3.client(
        "ssm",
        region_name="us-east-1",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
    )
    command = f"head -c {size} /dev/zero | tr '\\0' x; head -c {STDERR_LIMIT + 1} /dev/zero | tr '\\0' e >&2"
    instance = "i-0f1ee700000000000"
    parameters = {"commands": [command]}
    sent = ssm.send_command(InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters=parameters)
    command_id = sent["Command"]["CommandId"]
    deadline, reply = time.monotonic() + 60, {"Status": "Pending"}
    while reply["Status"] in ("Pending", "InProgress"):
        assert time.monotonic() < deadline
        try:
            reply = ssm.get_command_invocation(CommandId=command_id, InstanceId=instance)
        except ssm.exceptions.InvocationDoesNotExist:
            continue  # eventual consistency
    assert len(reply["StandardOutputContent"]) == min(size, STDOUT_LIMIT)
    assert reply["StandardOutputContent"].endswith(AGENT_SUFFIX) == (size > STDOUT_LIMIT)
    assert reply["StandardErrorContent"].endswith(AGENT_SUFFIX)
    rows = ssm.list_command_invocations(CommandId=command_id, Details=True)["CommandInvocations"]
    output = rows[0]["CommandPlugins"][0]["Output"]
    assert len(output) == DETAIL_LIMIT
    assert output.endswith(SERVICE_SUFFIX)


MEMBERS = """
import boto3, json
client = boto3.Session(profile_name="my-profile").client("resource-groups")
query = lambda tags, types: {"Type": "TAG_FILTERS_1_0", "Query": json.dumps({"ResourceTypeFilters": types,
    "TagFilters": [{"Key": key, "Values": values} for key, values in tags.items()]})}
types = ["AWS::EC2::Instance"]
client.create_group(Name="two", ResourceQuery=query({"Fleet": ["yes"], "Name": ["fleet-001", "fleet-002"]}, types))
client.create_group(Name="empty", ResourceQuery=query({"Fleet": ["no"]}, types))
client.create_group(Name="buckets", ResourceQuery=query({"Fleet": []}, ["AWS::S3::Bucket"]))
client.create_group(Name="stack", ResourceQuery={"Type": "CLOUDFORMATION_STACK_1_0", "Query": json.dumps({
    "ResourceTypeFilters": ["AWS::AllSupported"],
    "StackIdentifier": "arn:aws:cloudformation:us-east-1:123456789012:stack/web/0a"})})
pages = list(client.get_paginator("list_group_resources").paginate(Group="two", PaginationConfig={"PageSize": 1}))
found = client.search_resources(ResourceQuery=query({"Fleet": []}, ["AWS::AllSupported"]))
refused = []
for request in ({"Group": "nobody"}, {"Group": "two", "NextToken": "x"}, {"Group": "two", "MaxResults": 50, "Filters":
        [{"Name": "resource-type", "Values": ["AWS::S3::Bucket"]}]}):
    try:
        client.list_group_resources(**request)
    except client.exceptions.ClientError as error:
        refused.append(error.response["Error"]["Code"])
print(json.dumps([[len(page["Resources"]) for page in pages], len(found["ResourceIdentifiers"]), refused]))
"""


def test_a_resource_group_is_asked_for_its_members(fleet: Sandbox, runas: RunAs) -> None:
    done = subprocess.run([sys.executable, "-c", MEMBERS], env=fleet.environ, capture_output=True, check=True)
    assert json.loads(done.stdout) == [
        [1, 1],
        COUNT,
        ["NotFoundException", "BadRequestException", "BadRequestException"],
    ]
    for group, status, expected in (
        ("two", 0, b"fleet-002"),
        ("arn:aws:resource-groups:us-east-1:123456789012:group/two+Name:*-001", 0, b"fleet-001"),
        ("empty", 5, b"no instance matches group:empty"),
        ("buckets", 5, b"no instance matches group:buckets"),
        ("stack", 5, b"the members of resource group stack are not known"),
        ("nobody", 5, b"there is no resource group nobody in us-east-1"),
    ):
        listed = runas(fleet, "fleet", "--dry-run", "--on", f"group:{group}", "my-profile", "--", "true")
        assert listed.returncode == status, listed.stderr
        assert expected in listed.stdout + listed.stderr
