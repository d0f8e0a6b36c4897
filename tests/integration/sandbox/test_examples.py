"""What a person types in the sandbox's shell: the two examples of the page that our user gave us, to the letter."""

from __future__ import annotations

import os
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

PROMPT = "in-the-sandbox> "
REMOTE = re.escape("# " if os.geteuid() == 0 else "$ ")
TIMEOUT = 40  # seconds


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[pexpect.spawn[str]]:
    """`aws-runas sandbox` in a terminal, with bash as the user's shell."""
    (tmp_path / ".bashrc").write_text(f"PS1='{PROMPT}'; mine=yes; bind 'set enable-bracketed-paste off'\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    environ = kept | {"HOME": str(tmp_path), "SHELL": "/bin/bash", "TERM": "xterm", "PYTHONUNBUFFERED": "1"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "aws_runas", "sandbox"],
        env=environ,
        timeout=TIMEOUT,
        dimensions=(30, 120),
        encoding="utf-8",
    )
    child.expect_exact(PROMPT)
    yield child
    child.close(force=True)


def found(shell: pexpect.spawn[str]) -> str:
    """The first group of what was expected last."""
    assert isinstance(shell.match, re.Match)
    return str(shell.match[1])


def test_banner_says_what_to_try_and_the_users_own_shell_is_running(shell: pexpect.spawn[str]) -> None:
    assert "aws-runas shell my-profile i-deadbeef" in str(shell.before)
    shell.sendline("echo $mine; echo $HOME")
    shell.expect_exact("yes\r\n")
    shell.expect(r"aws-runas-sandbox-\w+/home\r\n")


def test_shell_example_prompts_takes_typing_ctrl_c_and_the_window_size(shell: pexpect.spawn[str]) -> None:
    shell.sendline("aws-runas shell my-profile i-deadbeef")
    shell.expect(REMOTE)
    shell.sendline("echo $((6*7)); stty size")
    shell.expect_exact("42\r\n30 120\r\n")
    shell.setwinsize(45, 133)
    shell.sendline("sleep 0.7; stty size")  # the size is told when it changes
    shell.expect_exact("45 133\r\n")
    shell.sendline("sh -c 'echo begin; exec sleep 600'")  # in the foreground by the time it says so
    shell.expect_exact("begin\r\n")
    shell.sendintr()
    shell.sendline("echo still $((1+1))")
    shell.expect_exact("still 2\r\n")
    shell.sendline("exit")
    shell.expect_exact(PROMPT)
    shell.sendline("exit 4")
    shell.expect(pexpect.EOF)
    shell.wait()
    assert shell.exitstatus == 4


def test_forward_example_lets_something_answer(shell: pexpect.spawn[str]) -> None:
    """Port 8888 itself may be somebody else's on this machine, so the system picks one here."""
    shell.sendline("aws-runas forward my-profile i-deadbeef:9000")
    shell.expect(r"listening on 127\.0\.0\.1:(\d+) -> i-deadbeef:9000\r\n")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{found(shell)}/", timeout=TIMEOUT) as answer:
        assert b"hello from the sandbox" in answer.read()
    shell.sendintr()
    shell.expect_exact(PROMPT)


def test_mfa_code_can_be_typed_at_the_prompt_or_asked_of_the_sandbox(shell: pexpect.spawn[str]) -> None:
    shell.sendline("aws-runas sandbox otp")
    shell.expect(r"\r\n(\d{6})\r\n")
    code = found(shell)
    shell.expect_exact(PROMPT)
    shell.sendline("aws-runas my-profile-mfa env | grep -c AWS_CONTAINER")
    shell.expect_exact(": ")
    shell.sendline(code)
    shell.expect_exact("2\r\n")
    shell.expect_exact(PROMPT)
    shell.sendline("aws-runas -r -o $(sandbox-mfa-code) my-profile-mfa sh -c 'echo ok $?'")
    shell.expect_exact("ok 0\r\n")
