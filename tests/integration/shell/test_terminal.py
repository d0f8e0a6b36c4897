"""A shell at a real terminal, through the whole house: keys, signals, sizes, escapes, the terminal left as it was."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox
from tests.integration.shell.terminal import PROMPT, Terminal, eventually


def terminated(sandbox: Sandbox, before: int) -> None:
    """The service was told that the session is over."""
    eventually(lambda: sandbox.count("TerminateSession") > before)


def test_a_shell_at_a_terminal_prompts_echoes_and_exits(sandbox: Sandbox) -> None:
    terminal = Terminal(sandbox, "shell", "my-profile", "i-deadbeef")
    assert b"aws-runas: session " in terminal.prompt()
    assert terminal.is_raw()
    assert "Zürich-42".encode() in terminal.run("echo Zürich-$((6*7))")
    terminal.type("exit\r")
    assert terminal.end() == 0
    assert sandbox.count("StartSession") > 0


def test_every_byte_of_a_large_coloured_utf8_output_arrives_once(sandbox: Sandbox) -> None:
    terminal = Terminal(sandbox, "shell", "-q", "my-profile", "i-deadbeef")
    terminal.prompt()
    output = terminal.run("seq -f '\\033[1m%g-\u00e4\u20ac\U0001f600\\033[0m' 3000")
    expected = "".join(f"\\033[1m{n}-\u00e4\u20ac\U0001f600\\033[0m\r\n" for n in range(1, 3001)).encode()
    assert output.endswith(expected)
    terminal.type("exit\r")
    assert terminal.end() == 0


def test_the_window_size_is_told_at_the_start_and_at_each_change(sandbox: Sandbox) -> None:
    terminal = Terminal(sandbox, "shell", "-q", "my-profile", "i-deadbeef", size=(33, 101))
    terminal.prompt()
    assert b"33 101" in terminal.run("stty size")
    terminal.child.setwinsize(45, 133)
    for _ in range(50):
        if b"45 133" in terminal.run("stty size"):
            break
    else:
        pytest.fail("the new size never arrived")
    terminal.type("exit\r")
    assert terminal.end() == 0


def test_ctrl_c_ctrl_z_and_ctrl_backslash_reach_the_remote_program(sandbox: Sandbox) -> None:
    terminal = Terminal(sandbox, "shell", "-q", "my-profile", "i-deadbeef")
    terminal.prompt()
    for key in (b"\x03", b"\x1c"):
        # exec: a shell that is just about to start sleep may survive the key
        terminal.type("sh -c 'echo begun; exec sleep 60'\r")
        terminal.see("\r\nbegun\r\n")
        terminal.type(key)
        terminal.prompt()
    terminal.type("cat -v\r")
    terminal.see("cat -v\r\n")
    terminal.type(b"\x16\x1a\r")  # quoted: cat shows what arrived
    terminal.see("^Z\r\n^Z\r\n")
    terminal.type(b"\x04")
    terminal.prompt()
    terminal.type("exit\r")
    assert terminal.end() == 0


def test_tilde_dot_after_a_newline_leaves_and_ends_the_session(sandbox: Sandbox) -> None:
    before = sandbox.count("TerminateSession")
    terminal = Terminal(sandbox, "shell", "my-profile", "i-deadbeef")
    terminal.prompt()
    assert b"~." in terminal.run("echo a~.b")
    terminal.type("\r~?")
    terminal.see("this list")
    terminal.type("~~\r")
    terminal.see("~\r\n")
    terminal.type("~.")
    assert terminal.end() == 130
    terminated(sandbox, before)


def test_tilde_dot_leaves_a_session_whose_connection_is_gone(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(close_after=1.5, resume_fails="InternalServerError")
    terminal = Terminal(sandbox, "shell", "my-profile", "i-deadbeef")
    terminal.prompt()
    terminal.see("connection lost")
    terminal.type("\r~.")
    assert terminal.end() == 130


def test_the_escape_can_be_changed_and_switched_off(sandbox: Sandbox) -> None:
    terminal = Terminal(sandbox, "shell", "-q", "--escape", "none", "my-profile", "i-deadbeef")
    terminal.prompt()
    terminal.type("\r~.\r")
    terminal.see("~.")
    terminal.prompt()
    terminal.type("exit\r")
    assert terminal.end() in (0, 126, 127)
    terminal = Terminal(sandbox, "shell", "-q", "--escape", "^B", "my-profile", "i-deadbeef")
    terminal.prompt()
    terminal.type(b"\r\x02.")
    assert terminal.end() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal_and_ends_the_session(sandbox: Sandbox, number: signal.Signals) -> None:
    before = sandbox.count("TerminateSession")
    terminal = Terminal(sandbox, "shell", "my-profile", "i-deadbeef")
    terminal.prompt()
    assert terminal.is_raw()
    os.kill(terminal.pid, number)
    eventually(terminal.is_as_before)
    assert terminal.end() == 128 + number
    terminated(sandbox, before)


def test_ctrl_c_before_the_session_is_there_leaves_nothing_behind(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(start_slow=60)
    terminal = Terminal(sandbox, "shell", "my-profile", "i-deadbeef")
    eventually(lambda: sandbox.count("GetCallerIdentity") + sandbox.count("AssumeRole") > 0)
    terminal.type(b"\x03")
    terminal.see("^C")  # the terminal has sent the signal
    sandbox.set_faults(start_slow=0)
    assert terminal.end() == 130
    eventually(lambda: sandbox.count("StartSession") == sandbox.count("TerminateSession"))
    assert all(session["ended"] for session in sandbox.sessions())


def test_a_closed_terminal_ends_the_session(sandbox: Sandbox) -> None:
    before = sandbox.count("TerminateSession")
    terminal = Terminal(sandbox, "shell", "my-profile", "i-deadbeef")
    terminal.prompt()
    os.close(terminal.child.child_fd)  # the window is closed
    terminal.child.closed = True
    os.waitpid(terminal.pid, 0)
    terminated(sandbox, before)


def test_a_lost_parent_ends_the_session(sandbox: Sandbox, tmp_path: Path) -> None:
    started, ended = sandbox.count("StartSession"), sandbox.count("TerminateSession")
    pid_file, output = tmp_path / "pid", tmp_path / "output"
    # Input stays open and nobody hangs up: the parent alone is gone.
    script = (
        f"sleep 300 | {sys.executable} -m aws_runas shell my-profile i-deadbeef >{output} & echo $! >{pid_file}; wait"
    )
    parent = subprocess.Popen(["bash", "-c", script], env=sandbox.environ, start_new_session=True)
    try:
        eventually(lambda: sandbox.count("StartSession") > started and output.exists() and b"#" in output.read_bytes())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        eventually(lambda: not Path(f"/proc/{int(pid_file.read_text())}").exists())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
    terminated(sandbox, ended)


def test_suspended_by_the_escape_the_terminal_is_in_order_and_the_session_goes_on(sandbox: Sandbox) -> None:
    shell = pexpect.spawn(
        "bash",
        ["--norc", "-i"],
        env=sandbox.environ | {"PS1": "local> "},
        timeout=20,
    )
    shell.delaybeforesend = None
    shell.expect_exact("local> ")
    shell.send(f"{sys.executable} -m aws_runas shell -q my-profile i-deadbeef\r")
    shell.expect(PROMPT)
    shell.send("\r~\x1a")
    shell.expect_exact("Stopped")
    shell.expect_exact("local> ")
    shell.send("stty -a | grep -o '[-]*icanon'\r")
    shell.expect_exact("icanon\r\n")
    shell.send("fg\r")
    shell.send("\recho back-$((6*7))\r")
    shell.expect_exact("back-42")
    shell.send("exit\r")
    shell.expect_exact("local> ")
    shell.send("exit\r")
    shell.expect(pexpect.EOF)
    shell.close()


@pytest.mark.slow
def test_a_lost_and_regained_connection_is_told_and_quiet_is_quiet(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(close_after=1.0, new_cell=True)
    terminal = Terminal(sandbox, "shell", "my-profile", "i-deadbeef")
    terminal.prompt()
    terminal.see("connection lost (closed with code 1000 (Bye)); resuming the session\r\n")
    terminal.see("connection regained after")
    terminal.type("echo still-$((6*7))\r")
    terminal.see("still-42")
    terminal.type("exit\r")
    assert terminal.end() == 0
    assert sandbox.count("ResumeSession") > 0
    quiet = Terminal(sandbox, "shell", "-q", "my-profile", "i-deadbeef")
    quiet.prompt()
    quiet.type("sleep 3; echo over-$((6*7))\r")
    assert b"aws-runas" not in quiet.see("over-42")
    quiet.type("exit\r")
    assert quiet.end() == 0


@pytest.mark.slow
def test_a_code_that_resuming_needs_is_asked_for_on_the_terminal_in_order(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    terminal = Terminal(sandbox, "shell", "my-profile-mfa", "i-deadbeef")
    terminal.see("code")
    terminal.type(sandbox.mfa_code() + "\r")
    terminal.prompt()
    sandbox.set_faults(resume_fails="ExpiredTokenException")  # as when the credentials have ended
    sandbox.cut(abort=True)
    terminal.see("code")
    assert not terminal.is_raw()
    sandbox.set_faults(resume_fails="")
    terminal.type(sandbox.mfa_code() + "\r")
    terminal.see("connection regained")
    eventually(terminal.is_raw)
    terminal.type("\recho still-$((6*7))\r")
    terminal.see("still-42")
    terminal.type("exit\r")
    assert terminal.end() == 0
