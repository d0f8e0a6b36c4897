"""Signals reach the program: once, whoever sends them, and its stops and starts are ours."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.integration.conftest import AWS_RUNAS
from tests.integration.run.conftest import PROFILE, children_of, is_alive, run
from tests.support import requires

# Says each signal that it gets, and ends after USR2.
LISTENER = """
import os, signal, sys, time
names = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "ALRM", "TSTP", "CONT")
def say(number, frame):
    os.write(1, b"got " + signal.Signals(number).name.encode() + bytes([10]))  # print might interrupt itself
    if number == signal.SIGUSR2:
        os._exit(7)
for name in names:
    signal.signal(getattr(signal, "SIG" + name), say)
os.write(1, b"ready" + bytes([10]))
while True:
    time.sleep(0.05)  # not pause(): a signal just before it would be heard only with the next one
"""
SENT = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGWINCH", "SIGALRM", "SIGTSTP"]
INSIDE = [PROFILE, sys.executable, "-c", LISTENER]


@pytest.fixture
def listener(each_way: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """aws-runas with the listening program, which is ready."""
    command = [*AWS_RUNAS, *INSIDE]
    with subprocess.Popen(command, env=each_way, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    line: bytes = process.stdout.readline()
    return line.decode().strip()


def test_a_signal_sent_to_us_alone_reaches_the_program_once(listener: subprocess.Popen[bytes]) -> None:
    for name in SENT:
        listener.send_signal(getattr(signal, name))
        assert _line(listener) == f"got {name}"
    listener.send_signal(signal.SIGUSR2)
    assert _line(listener) == "got SIGUSR2"
    assert _line(listener) == ""  # nothing came twice
    assert listener.wait(30) == 7


def test_a_stop_of_the_program_is_ours_and_a_continue_of_ours_is_the_programs(
    listener: subprocess.Popen[bytes],
) -> None:
    (program,) = children_of(listener.pid)
    os.kill(program, signal.SIGSTOP)
    _, status = os.waitpid(listener.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.kill(listener.pid, signal.SIGCONT)  # ours alone
    assert _line(listener) == "got SIGCONT"
    listener.send_signal(signal.SIGUSR2)
    assert _line(listener) == "got SIGUSR2"
    assert listener.wait(30) == 7


def test_a_whole_job_that_is_continued_hears_of_it_once(listener: subprocess.Popen[bytes]) -> None:
    (program,) = children_of(listener.pid)
    os.kill(program, signal.SIGSTOP)
    os.waitpid(listener.pid, os.WUNTRACED)
    os.killpg(listener.pid, signal.SIGCONT)  # as a shell's fg does
    assert _line(listener) == "got SIGCONT"
    listener.send_signal(signal.SIGUSR2)
    assert _line(listener) == "got SIGUSR2"


def test_a_program_that_dies_of_a_signal_ends_us_with_128_and_its_number(each_way: dict[str, str]) -> None:
    command = [*AWS_RUNAS, PROFILE, "sh", "-c", "echo ready; read word"]
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        with subprocess.Popen(command, env=each_way, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            (program,) = children_of(process.pid)
            process.send_signal(number)
            assert process.wait(30) == 128 + number
            assert not is_alive(program)


def test_a_signal_that_was_ignored_before_us_stays_ignored(each_way: dict[str, str]) -> None:
    script = 'trap "" HUP; exec "$@"'
    command = ["sh", "-c", script, "sh", *AWS_RUNAS, PROFILE, "grep", "^SigIgn", "/proc/self/status"]
    ran = subprocess.run(command, env=each_way, capture_output=True, check=True, timeout=60)
    assert int(ran.stdout.split()[1], 16) & 0xFFFF == 1 << (signal.SIGHUP - 1)


def test_our_child_is_waited_for_where_children_are_ignored(each_way: dict[str, str]) -> None:
    wrapper = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", wrapper, *AWS_RUNAS, PROFILE, "sh", "-c", "exit 5"]
    ran = subprocess.run(command, env=each_way, check=False, timeout=60)
    assert ran.returncode == 5


def test_no_file_of_ours_is_left_when_a_signal_ends_the_program(each_way: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    config = tmp_path / "config"
    config.write_text(Path(each_way["AWS_CONFIG_FILE"]).read_text().replace("[default]", "[default]\nrole_arn = x"))
    environ = each_way | {"TMPDIR": str(tmp_path / "tmp"), "AWS_CONFIG_FILE": str(config)}
    copies = tmp_path / "aws-runas" / "run"
    ran = run(
        [
            PROFILE,
            "sh",
            "-c",
            'test -s "$AWS_CONFIG_FILE" && basename $AWS_CONFIG_FILE; kill -TERM $PPID; exec sleep 60',
        ],
        environ,
    )
    assert ran.stdout.startswith(b"aws-runas-config-")
    assert ran.returncode == 128 + signal.SIGTERM
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(copies.iterdir()) == []


class _Shell:
    """An interactive bash on a terminal of its own, with job control."""

    def __init__(self, environ: dict[str, str]) -> None:
        arguments = ["--norc", "--noprofile", "-i"]
        variables = environ | {"PS1": "> ", "TERM": "dumb"}
        self.process = pexpect.spawn(requires.program("bash"), arguments, env=variables, timeout=30, encoding="utf-8")
        self.process.setecho(False)
        self.last_status()

    def last_status(self) -> str:
        """Ask for the exit status of the last command, which must have ended."""
        self.process.sendline("echo the'-'end $?")
        return self.word_after("the-end ")

    def word_after(self, text: str) -> str:
        """Wait for a text and return the number that follows it."""
        self.process.expect(text + r"(\d+)\r\n")
        match = self.process.match
        assert isinstance(match, re.Match)
        return str(match.group(1))

    def wait_for_stop(self) -> None:
        """Wait until the job is stopped."""
        for _ in range(300):
            self.process.sendline("jobs")
            if self.process.expect_exact(["Stopped", "Running"]) == 0:
                return
        raise AssertionError("the job still runs")


@pytest.fixture
def shell(each_way: dict[str, str]) -> Iterator[_Shell]:
    """A shell with job control."""
    found = _Shell(each_way | {"LISTENER": LISTENER})
    yield found
    found.process.close(force=True)


def _start(shell: _Shell) -> None:
    shell.process.sendline(f'{AWS_RUNAS[0]} -m aws_runas {PROFILE} {sys.executable} -c "$LISTENER"')
    shell.process.expect_exact("ready")


@pytest.mark.parametrize(("key", "name"), [("c", "SIGINT"), ("\\", "SIGQUIT"), ("z", "SIGTSTP")])
def test_a_key_of_the_terminal_reaches_the_program_once(shell: _Shell, key: str, name: str) -> None:
    _start(shell)
    for _ in range(2):
        shell.process.sendcontrol(key)
        shell.process.expect_exact(f"got {name}")
    shell.process.setwinsize(50, 100)
    seen = shell.process.expect_exact(["got SIGWINCH", f"got {name}"])
    assert seen == 0
    assert shell.process.pid is not None
    (runas,) = children_of(shell.process.pid)
    os.kill(runas, signal.SIGUSR2)
    shell.process.expect_exact("got SIGUSR2")
    assert "got" not in (shell.process.before or "")
    assert shell.last_status() == "7"


def test_ctrl_z_and_fg_work(shell: _Shell) -> None:
    shell.process.sendline(f"{AWS_RUNAS[0]} -m aws_runas {PROFILE} sh -c 'echo begun; exec cat'")
    shell.process.expect_exact("begun\r\n")  # a key that comes while the program is being started is lost
    shell.process.sendline("one")
    shell.process.expect_exact("one\r\n")
    shell.process.sendcontrol("z")
    shell.process.expect_exact("Stopped")
    shell.process.sendline("jobs")
    shell.process.expect_exact("Stopped")
    shell.process.sendline("fg")
    shell.process.expect_exact("cat")
    shell.process.sendline("two")
    shell.process.expect_exact("two\r\n")
    shell.process.sendcontrol("d")
    assert shell.last_status() == "0"


def test_a_program_in_the_background_stops_when_it_reads_the_terminal(shell: _Shell) -> None:
    shell.process.sendline(f"{AWS_RUNAS[0]} -m aws_runas {PROFILE} cat &")
    shell.wait_for_stop()
    shell.process.sendline("fg")
    shell.process.expect_exact("cat")
    shell.process.sendline("word")
    shell.process.expect_exact("word\r\n")
    shell.process.sendcontrol("d")
    assert shell.last_status() == "0"


def test_a_closed_terminal_ends_the_program(each_way: dict[str, str]) -> None:
    shell = _Shell(each_way)
    shell.process.sendline(f"{AWS_RUNAS[0]} -m aws_runas {PROFILE} sh -c 'echo pid $$; exec sleep 60'")
    descriptor = os.pidfd_open(int(shell.word_after("pid ")))
    try:
        shell.process.close(force=True)
        assert select.select([descriptor], [], [], 30)[0], "the program still runs"
    finally:
        os.close(descriptor)


def test_ctrl_c_that_a_launcher_held_back_ends_us_silently() -> None:
    def hold_back() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        os.kill(os.getpid(), signal.SIGINT)

    ran = subprocess.run([*AWS_RUNAS, "-V"], preexec_fn=hold_back, capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, b"", b"")
