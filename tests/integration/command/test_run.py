"""`aws-runas run` against the sandbox: streams, statuses, signals, carriers, refusals, and what is left behind."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS, MakeSandbox, RunAs

TARGET = ("my-profile", "i-deadbeef")
AWKWARD = Random(3).randbytes(400_000) + b"\x00\x1e\x03\x04" + b"\xef\xbf\xbd" * 50 + b"\xff\xfe\xfd"


def _start(sandbox: Sandbox, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*AWS_RUNAS, "run", *words],
        env=sandbox.environ,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _gone(pid: int) -> bool:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def _run(sandbox: Sandbox, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*AWS_RUNAS, "run", *words],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )


@pytest.mark.parametrize("via", ["document", "shell"])
def test_streams_stay_apart_and_the_status_is_the_commands(sandbox: Sandbox, via: str) -> None:
    done = _run(sandbox, "-q", "--via", via, *TARGET, "echo out; echo err >&2; exit 37")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 37)


@pytest.mark.parametrize("via", ["document", "shell"])
@pytest.mark.parametrize(("text", "status"), [("kill -TERM $$", 143), ("nosuchprogram-x", 127), ("/etc/passwd", 126)])
def test_a_signal_or_a_missing_program_is_the_status_of_a_shell(
    sandbox: Sandbox, via: str, text: str, status: int
) -> None:
    assert _run(sandbox, "-q", "--via", via, *TARGET, text).returncode == status


def test_any_bytes_pass_both_ways_on_both_output_streams(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, "run", "-q", *TARGET, "tee /dev/stderr", input=AWKWARD)
    assert done.stdout == AWKWARD
    assert done.stderr == AWKWARD
    assert done.returncode == 0


def test_any_bytes_come_whole_from_a_command_without_input(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(AWKWARD)
    done = _run(sandbox, "-q", "--via", "document", *TARGET, f"cat {tmp_path / 'data'}")
    assert (done.stdout, done.returncode) == (AWKWARD, 0)


def test_standard_input_is_the_script_where_no_command_is_given(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, "run", "-q", *TARGET, input=b"x=5\nif true; then\n echo script $x\nfi\nexit 9\n")
    assert (done.stdout, done.returncode) == (b"script 5\n", 9)


def test_a_command_that_does_not_read_its_input_ends_at_once(sandbox: Sandbox) -> None:
    process = _start(sandbox, "-q", *TARGET, "head -c 10; exit 4", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    os.write(process.stdin.fileno(), b"0123456789" * 1000)
    assert process.stdout.read() == b"0123456789"
    assert process.wait(30) == 4  # although our standard input has not ended
    process.communicate(timeout=30)


def test_directory_variables_and_user_text_with_braces(sandbox: Sandbox, tmp_path: Path) -> None:
    words = ("--cwd", str(tmp_path), "--env", "A=it's {{x}}", *TARGET)
    done = _run(sandbox, "-q", *words, "printf", "%s|%s|", "{{y}}", "$A")
    assert done.stdout == b"{{y}}|$A|"
    done = _run(sandbox, "-q", *words, 'pwd; printf %s "$A"')
    assert done.stdout == f"{tmp_path}\nit's {{{{x}}}}".encode()


@pytest.mark.parametrize("via", ["document", "shell"])
def test_a_directory_that_is_not_there_is_an_error_of_ours(sandbox: Sandbox, via: str) -> None:
    done = _run(sandbox, "--via", via, "--cwd", "/nonexistent-x", *TARGET, "echo started")
    assert done.returncode == 6
    assert b"/nonexistent-x" in done.stderr
    assert done.stdout == b""


def test_a_user_is_reached_through_sudo_and_its_failure_shows_sudos_words(sandbox: Sandbox) -> None:
    done = _run(sandbox, "-q", "my-profile", "no-such-user-x@i-deadbeef", "true")
    assert done.returncode == 6
    assert b"no-such-user-x" in done.stderr
    done = _run(sandbox, "-q", "my-profile", "-l", "nobody", "i-deadbeef", "id -un; echo $HOME")
    assert done.stdout.splitlines()[0] == b"nobody"


@pytest.mark.parametrize("via", ["document", "shell"])
def test_a_time_limit_is_status_124(sandbox: Sandbox, via: str) -> None:
    done = _run(
        sandbox, "-q", "--via", via, "--timeout", "1s", *TARGET, "trap 'echo term; exit 0' TERM; sleep 600 & wait"
    )
    assert (done.stdout, done.returncode) == (b"term\n", 124)


def test_files_take_the_streams(sandbox: Sandbox, tmp_path: Path) -> None:
    words = ("--stdout", str(tmp_path / "out"), "--stderr", str(tmp_path / "err"))
    done = _run(sandbox, *words, *TARGET, "echo out; echo err >&2")
    assert done.stdout == b""
    assert b"err" not in done.stderr
    assert (tmp_path / "out").read_bytes() == b"out\n"
    assert (tmp_path / "err").read_bytes() == b"err\n"
    assert _run(sandbox, "--stdout", str(tmp_path), *TARGET, "true").returncode == 2


def test_events_are_json_lines(sandbox: Sandbox) -> None:
    done = _run(sandbox, "--events", *TARGET, "exit 3")
    started, exited = [json.loads(line) for line in done.stderr.splitlines()]
    assert (started["event"], started["carrier"], started["helper"]) == ("started", "document", "python")
    assert (exited["event"], exited["status"], exited["signal"]) == ("exited", 3, None)


def test_the_helpers_digest_is_in_the_debug_log_and_the_command_is_not(sandbox: Sandbox) -> None:
    from aws_runas.ssm.command.helper import helper_digest

    done = _run(sandbox, "-v", "--env", "TOKEN=hidden-value", *TARGET, "echo secret-word >/dev/null")
    assert helper_digest().encode() in done.stderr
    assert b"secret-word" not in done.stderr
    assert b"hidden-value" not in done.stderr


def _with_ready_command(
    sandbox: Sandbox, text: str, *words: str, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    process = _start(sandbox, "-q", *words, *TARGET, text, stdin=stdin)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_command_as_themselves(sandbox: Sandbox, number: signal.Signals) -> None:
    text = f"trap 'echo caught; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    process = _with_ready_command(sandbox, text, "--via", "shell")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (b"caught\n", 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_on_the_document_two_signals_reach_the_command(sandbox: Sandbox, number: signal.Signals) -> None:
    text = f"trap 'echo caught; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    process = _with_ready_command(sandbox, text, "--via", "document")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (b"caught\n", 5)


def test_three_interrupts_leave_a_command_that_ignores_them(sandbox: Sandbox) -> None:
    """Signals that come together are one, so each is sent when the command has the one before it."""
    text = "trap 'echo ignored' INT; echo ready; while :; do sleep 0.05; done"
    process = _with_ready_command(sandbox, text, "--via", "shell")
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    sent = 1
    while process.stdout.readline() == b"ignored\n":
        process.send_signal(signal.SIGINT)  # on a slow machine, three may not come within the time for it
        sent += 1
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert sent >= 3


def test_an_interrupt_passes_input_that_nobody_reads(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(20 << 20))
    with (tmp_path / "zeros").open("rb") as zeros:
        process = _with_ready_command(sandbox, "echo ready; exec sleep 600", stdin=zeros.fileno())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130


def test_a_reader_that_goes_away_ends_the_command(sandbox: Sandbox) -> None:
    process = _with_ready_command(sandbox, "echo ready; yes", "--via", "shell")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr is not None
    process.stderr.close()


@pytest.mark.parametrize("via", ["document", "shell"])
@pytest.mark.parametrize(("stream", "redirected"), [("output", ">"), ("error", "2>")])
def test_a_full_disk_is_said_and_ends_the_command(sandbox: Sandbox, via: str, stream: str, redirected: str) -> None:
    text = "echo out; echo err >&2; sleep 600" if stream == "output" else "echo err >&2; sleep 600"
    words = shlex.join([*AWS_RUNAS, "run", "-q", "--via", via, *TARGET, text])
    done = subprocess.run(
        ["sh", "-c", f"exec {words} {redirected} /dev/full"],
        env=sandbox.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    if stream == "output":
        assert b"standard output cannot be written: no space left on device\n" in done.stderr


def test_a_command_that_looks_like_an_option_and_an_empty_one(sandbox: Sandbox) -> None:
    done = _run(sandbox, "-q", *TARGET, "--", "-x")
    assert (done.returncode, b"-x" in done.stderr) == (127, True)
    with open("/proc/self/status", "rb") as stdin:  # an empty command reads no script
        done = subprocess.run(
            [*AWS_RUNAS, "run", "-q", *TARGET, ""], env=sandbox.environ, stdin=stdin, capture_output=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


PIDS = "sleep 600 & echo $! $$; trap '' HUP; while :; do sleep 0.05; done"


@pytest.mark.parametrize("via", ["document", "shell"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_of_the_command_is_left_when_we_are_killed(sandbox: Sandbox, via: str, number: signal.Signals) -> None:
    process = _start(sandbox, "-q", "--via", via, *TARGET, PIDS)
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    ended = sandbox.count("TerminateSession")
    process.send_signal(number)
    process.wait(30)
    assert len(pids) == 2
    assert all(map(_gone, pids))
    if number == signal.SIGKILL:
        assert sandbox.count("TerminateSession") > ended
    process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ((), 2, b"no target"),
        (("my-profile",), 2, b"no target"),
        (TARGET, 2, b"aws-runas shell"),
        ((*TARGET, "--"), 2, b"aws-runas shell"),
        (("--via", "x", *TARGET, "true"), 2, b"--via"),
        (("--env", "1A=x", *TARGET, "true"), 2, b"'1A=x'"),
        (("--env", "SURELY_NOT_SET_X", *TARGET, "true"), 2, b"SURELY_NOT_SET_X"),
        (("--timeout", "5", *TARGET, "true"), 2, b"--timeout"),
        (("--error-status", "0", *TARGET, "true"), 2, b"--error-status"),
        (("-l", "a b", *TARGET, "true"), 2, b"'a b'"),
        (("--parameter", "a=b", *TARGET, "true"), 2, b"--document"),
        (("my-profile", "i-0000000000", "true"), 5, b"i-0000000000"),
        (("--error-status", "255", "my-profile", "i-0000000000", "true"), 255, b"i-0000000000"),
        (("my-profile", "ecs:sandbox/web", "true"), 5, b"ECS"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_status(
    sandbox: Sandbox, words: tuple[str, ...], status: int, text: bytes
) -> None:
    done = _run(sandbox, *words)
    assert done.returncode == status, done.stderr
    assert text in done.stderr
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert done.stdout == b""


@pytest.mark.slow
def test_a_bad_network_changes_nothing(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    where = make_sandbox(loss=0.03, duplicate=0.03, reorder=0.03, close_after=0.9, new_cell=True)
    done = runas(where, "run", "-q", *TARGET, "cat; exit 7", input=AWKWARD)
    assert (done.stdout == AWKWARD, done.returncode) == (True, 7), done.stderr


@pytest.mark.slow
def test_cuts_of_the_agent_change_nothing(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    where = make_sandbox(leave_after=1.5, away=0.5)
    done = runas(where, "run", "-q", *TARGET, "cat; exit 7", input=AWKWARD * 3)
    assert (done.stdout == AWKWARD * 3, done.returncode) == (True, 7), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("python", [True, False], ids=["python", "shell"])
def test_a_command_that_ends_while_we_are_away_is_whole(
    make_sandbox: MakeSandbox, tmp_path: Path, python: bool
) -> None:
    """An agent waits 2 s for acknowledgements when the session's program has ended; the network is away for longer."""
    sandbox = make_sandbox()
    target = "i-deadbeef" if python else "no-python"
    flag = tmp_path / "go"
    text = f"echo ready; while [ ! -e {flag} ]; do sleep 0.05; done; seq 1000; exit 7"
    process = _start(sandbox, "-q", "--via", "shell", "my-profile", target, text)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    sandbox.set_faults(resume_fails="InternalServerError")
    sandbox.cut(abort=True)
    flag.touch()
    time.sleep(4)  # the network's absence
    sandbox.set_faults(resume_fails="")
    output, errors = process.communicate(timeout=60)
    assert (output.split(), process.returncode) == ([b"%d" % n for n in range(1, 1001)], 7), errors


@pytest.mark.slow
def test_encrypted_sessions_carry_commands(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    done = runas(make_sandbox(kms=True), "run", "-q", *TARGET, "cat; exit 7", input=AWKWARD[:50_000])
    assert (done.stdout, done.returncode) == (AWKWARD[:50_000], 7)


def _on_terminal(sandbox: Sandbox, *words: str, act: Callable[[int], None] = lambda _: None) -> tuple[bytes, int]:
    pid, master = pty.fork()
    if pid == 0:
        try:
            os.execve(AWS_RUNAS[0], [*AWS_RUNAS, "run", *words], dict(sandbox.environ))
        finally:
            os._exit(127)
    act(master)
    output = b""
    try:
        while data := os.read(master, 65536):
            output += data
    except OSError:
        pass
    _, status = os.waitpid(pid, 0)
    os.close(master)
    return output, os.waitstatus_to_exitcode(status)


def test_with_t_the_command_has_a_terminal_and_its_status_comes_back(sandbox: Sandbox) -> None:
    output, status = _on_terminal(sandbox, "-q", "-t", *TARGET, "test -t 0 && test -t 1 && echo on-a-terminal; exit 5")
    assert output.strip() == b"on-a-terminal"
    assert status == 5


def test_with_t_what_is_typed_reaches_the_command(sandbox: Sandbox) -> None:
    def type_when_ready(master: int) -> None:
        output = b""
        while b"ready" not in output:
            output += os.read(master, 1000)
        os.write(master, b"typed\r")

    output, status = _on_terminal(
        sandbox, "-q", "-t", *TARGET, "echo ready; read x; echo got $x; exit 6", act=type_when_ready
    )
    assert b"got typed" in output
    assert status == 6


def test_on_a_terminal_without_t_there_is_no_input_and_no_far_terminal(sandbox: Sandbox) -> None:
    output, status = _on_terminal(sandbox, "-q", *TARGET, "test -t 1 || echo no-terminal; cat; exit 3")
    assert output.strip() == b"no-terminal"
    assert status == 3
