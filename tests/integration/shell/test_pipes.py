"""Sessions without a terminal: piped input, commands with a status, output that nobody reads."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox, RunAs
from tests.integration.forward.support import wait_until
from tests.unit.test_notices import fill

COMMAND = ("shell", "-q", "--document", "AWS-StartNonInteractiveCommand")
INTERACTIVE = ("shell", "-q", "--document", "AWS-StartInteractiveCommand")


def test_piped_commands_run_and_the_session_ends_by_itself_with_all_output(sandbox: Sandbox, runas: RunAs) -> None:
    script = b"echo one-$((1+1))\nsleep 1; seq 2000 | tail -1\necho last-$((2+2))"  # the last line has no end
    done = runas(sandbox, "shell", "my-profile", "i-deadbeef", input=script)
    assert done.returncode == 0
    for text in (b"one-2", b"2000\r\n", b"last-4\r\n"):
        assert text in done.stdout
    assert b"aws-runas: session" in done.stderr
    assert b"aws-runas" not in done.stdout


def test_a_program_that_reads_the_pipe_meets_its_end(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, "shell", "-q", "my-profile", "i-deadbeef", input=b"cat > /dev/null; echo cat-is-over\n")
    assert done.returncode == 0
    assert b"\ncat-is-over" in done.stdout


def test_empty_input_opens_a_shell_and_leaves_it(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, "shell", "-q", "my-profile", "i-deadbeef", input=b"")
    assert done.returncode == 0
    assert done.stderr == b""


def test_input_from_a_file_and_from_dev_null(sandbox: Sandbox, tmp_path: os.PathLike[str]) -> None:
    script = os.path.join(tmp_path, "script")
    with open(script, "wb") as stream:
        stream.write(b": " + b"x" * 100 + b"\n" * 40 + b"echo from-file-$((6*7))\n")
    for name, expected in ((script, b"from-file-42"), (os.devnull, b"")):
        with open(name, "rb") as stdin:
            done = subprocess.run(
                [sys.executable, "-m", "aws_runas", "shell", "-q", "my-profile", "i-deadbeef"],
                env=sandbox.environ,
                stdin=stdin,
                capture_output=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0
        assert expected in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kms", [False, True], ids=["plain", "kms"])
def test_a_commands_streams_stay_apart_and_its_status_is_ours(
    sandbox: Sandbox, make_sandbox: MakeSandbox, runas: RunAs, kms: bool
) -> None:
    where = make_sandbox(kms=True) if kms else sandbox
    done = runas(
        where,
        *COMMAND,
        *("--parameter", "command=sh -c 'echo out; echo err >&2; exit 3'", "--parameter", "separateOutputStream=true"),
        *("my-profile", "i-deadbeef"),
    )
    assert done.returncode == 3
    assert done.stdout == b"out\n"
    assert done.stderr.endswith(b"err\n")


def test_a_command_that_is_slow_is_waited_for_although_input_is_over(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, *COMMAND, "--parameter", "command=sh -c 'sleep 1.5; echo late'", "my-profile", "i-deadbeef")
    assert (done.returncode, done.stdout) == (0, b"late\n")


def test_an_interactive_command_gets_the_input_and_its_end(sandbox: Sandbox, runas: RunAs) -> None:
    words = (*INTERACTIVE, "--parameter", "command=sort -r; echo sorted", "my-profile", "i-deadbeef")
    done = runas(sandbox, *words, input=b"a\nb\nc")
    assert done.returncode == 0
    assert done.stdout.replace(b"\r", b"").endswith(b"c\nb\na\nsorted\n")


def test_ctrl_c_ends_a_remote_command_with_the_status_that_the_agent_reports(sandbox: Sandbox) -> None:
    command = "command=sh -c 'trap \"exit 9\" INT; echo begun; while :; do sleep 0.05; done'"
    words = [*COMMAND, "--parameter", command, "--parameter", "separateOutputStream=true"]
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", *words, "my-profile", "i-deadbeef"],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    _, _ = process.communicate(timeout=30)
    assert process.returncode == 1  # two waiters of the agent race; its report is not the program's status


def test_first_interrupt_ends_a_shell_whose_piped_input_has_no_end(sandbox: Sandbox) -> None:
    producer = subprocess.Popen(["yes", ": more"], stdout=subprocess.PIPE)
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", "shell", "my-profile", "i-deadbeef"],
        env=sandbox.environ,
        stdin=producer.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        assert b": more" in process.stdout.read(4096)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
    finally:
        producer.kill()
        producer.communicate()
        process.kill()


@pytest.mark.parametrize("program", ["yes : more", "echo 'seq 30000; exit'"], ids=["running", "ended"])
def test_first_interrupt_ends_a_shell_whose_output_nobody_reads(sandbox: Sandbox, program: str) -> None:
    """Output waits for its reader, in a pager for hours, but not once the user leaves."""
    before = len(sandbox.sessions())  # one that another test has left may still be open
    producer = subprocess.Popen(["sh", "-c", f"exec {program}"], stdout=subprocess.PIPE)
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", "shell", "my-profile", "i-deadbeef"],
        env=sandbox.environ,
        stdin=producer.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        stdout = process.stdout.fileno()
        wait_until(lambda: waiting_bytes(stdout) > 4000, "output waits")
        if program.startswith("echo"):
            wait_until(lambda: all(session["ended"] for session in sandbox.sessions()[before:]), "the session is over")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        producer.kill()
        producer.communicate()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("command", ["yes", "echo begun; sleep 600"], ids=["unread", "silent"])
def test_signals_end_a_command_on_a_terminal(sandbox: Sandbox, command: str, number: int) -> None:
    """The command gets the first interrupt; the second one ends the session although nobody reads its output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", "run", "-q", "-t", "my-profile", "i-deadbeef", command],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        stdout = process.stdout.fileno()
        wait_until(lambda: waiting_bytes(stdout) > (4000 if command == "yes" else 4), "output waits")
        for _ in range(1 if number == signal.SIGTERM else 2):
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(2)
        assert process.wait(30) == 128 + number
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "words",
    [("shell", "my-profile", "i-deadbeef"), ("run", "--events", "my-profile", "i-deadbeef", "true")],
    ids=["shell", "run"],
)
def test_a_session_ends_although_nobody_reads_its_notices(sandbox: Sandbox, words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    try:
        fill(writer)
        process = subprocess.run(
            [sys.executable, "-m", "aws_runas", *words],
            env=sandbox.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writer,
            timeout=60,
            check=False,
        )
        assert process.returncode == 0
    finally:
        os.close(reader)
        os.close(writer)


def waiting_bytes(descriptor: int) -> int:
    """Return how many bytes a pipe holds."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_a_reader_that_goes_away_ends_the_session(sandbox: Sandbox) -> None:
    before = sandbox.count("TerminateSession")
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", "shell", "my-profile", "i-deadbeef"],
        env=sandbox.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b"yes\n")
    process.stdin.flush()
    process.stdout.read(1000)
    process.stdout.close()
    assert process.wait(30) == 141
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.stdin.close()
    assert sandbox.count("TerminateSession") > before


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("my-profile", "i-0000000000"), 5, b"i-0000000000 is not connected"),
        (("--document", "AWS-Nope", "my-profile", "i-deadbeef"), 6, b"AWS-Nope"),
        (("--parameter", "x=y", "my-profile", "i-deadbeef"), 2, b"--parameter needs --document"),
        (("--document", "X", "--parameter", "novalue", "my-profile", "i-deadbeef"), 2, b"'novalue'"),
        (("--rate", "-1", "my-profile", "i-deadbeef"), 2, b"--rate"),
        (("--payload-size", "1e3", "my-profile", "i-deadbeef"), 2, b"'1e3'"),
        (("--escape", "~~", "my-profile", "i-deadbeef"), 2, b"'~~'"),
        (("my-profile",), 2, b"no target"),
        ((), 2, b"no target"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_status(
    sandbox: Sandbox, runas: RunAs, words: tuple[str, ...], status: int, text: bytes
) -> None:
    done = runas(sandbox, "shell", *words)
    assert done.returncode == status
    assert text in done.stderr.splitlines()[0]
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.parametrize(
    ("faults", "status", "text"),
    [
        ({"signature": "refused"}, 6, b"ssmmessages:OpenDataChannel"),
        ({"end_after": 0.5, "end_output": "idle for too long"}, 6, b"idle for too long"),
        ({"start_fails": "AccessDeniedException"}, 6, b"ssm:StartSession"),
    ],
)
def test_the_services_refusals_say_what_to_do(
    make_sandbox: MakeSandbox, runas: RunAs, faults: dict[str, object], status: int, text: bytes
) -> None:
    done = runas(make_sandbox(**faults), "shell", "my-profile", "i-deadbeef", input=b"sleep 20\n")
    assert done.returncode == status
    assert text in done.stderr


@pytest.mark.slow
def test_a_bad_network_changes_nothing_in_the_output(make_sandbox: MakeSandbox) -> None:
    """The shell goes on for a second behind the last resume, which makes the end a certain one."""
    where = make_sandbox(loss=0.05, duplicate=0.05, reorder=0.05, new_cell=True, signature="required")
    process = subprocess.Popen(
        [sys.executable, "-m", "aws_runas", "shell", "-q", "my-profile", "i-deadbeef"],
        env=where.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"stty -echo\nseq 4000; read go; sleep 1; echo over\nexit\n")
    process.stdin.flush()
    seen = b""
    for number in (2, 1000, 2000, 3000):
        while b"\n%d\r\n" % number not in seen:
            seen += os.read(process.stdout.fileno(), 65_536)
        where.cut(abort=number % 2000 == 0)
    while b"\n4000\r\n" not in seen:
        seen += os.read(process.stdout.fileno(), 65_536)
    out, error = process.communicate(b"go\n", timeout=60)
    assert (process.returncode, error) == (0, b"")
    assert "".join(f"{n}\r\n" for n in range(1, 4001)).encode() in seen + out
