"""The documented exit statuses are the actual ones, and a wrong command line does nothing but say so."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from aws_runas import errors
from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox, RunAs, make_sandbox, runas, sandbox

__all__ = ["make_sandbox", "runas", "sandbox"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "exit-status.md"
COMMAND = [sys.executable, "-m", "aws_runas"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables of somebody who has nothing, and whom no network call would go unnoticed."""
    # an address where nothing listens: what asks AWS nonetheless fails with another status
    return {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "LANG": "C.UTF-8",
    }


def _run(words: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        env=environ,
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )


def test_the_document_lists_the_statuses_of_the_error_tree() -> None:
    listed = set(re.findall(r"^\| (\S+) \|", DOCUMENT.read_text(), re.MULTILINE))
    kinds: list[type[errors.AwsRunasError]] = [errors.AwsRunasError, *errors.AwsRunasError.__subclasses__()]
    assert listed == {str(kind.exit_status) for kind in kinds} | {"status", "0", "124", "126", "127", "128+n"}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--no-such-flag"], "--no-such-flag"),
        (["-Z", "prof"], "-Z"),
        (["shell", "--no-such-flag", "prof", "target"], "--no-such-flag"),
        (["-d", "90", "prof"], "90"),
        (["-d", "1x", "prof"], "1x"),
        (["-d", "5m", "prof"], "5m"),
        (["-d", "37h", "prof"], "37h"),
        (["-d", "", "prof"], "duration"),
        (["-a", "13h", "prof"], "13h"),
        (["-a", "14m", "prof"], "14m"),
        (["shell", "-a", "1", "prof", "target"], "'1'"),
        (["-d"], "-d"),
        (["-O", "xml", "prof"], "xml"),
        (["--env=1", "prof"], "--env"),
        (["shell"], "target"),
        (["shell", "prof"], "target"),
        (["shell", "prof", "a", "b"], "'b'"),
        (["ssm"], "ssm"),
        (["ssm", "start", "prof"], "start"),
        (["forward"], "target"),
        (["forward", "prof"], "target"),
        (["forward", "prof", "i-deadbeef"], "i-deadbeef"),
        (["forward", "prof", "i-deadbeef:"], "i-deadbeef:"),
        (["forward", "prof", "i-deadbeef:0"], "'0'"),
        (["forward", "prof", "i-deadbeef:65536"], "65536"),
        (["forward", "prof", "i-deadbeef:http"], "http"),
        (["forward", "-p", "65536", "prof", "i-deadbeef:9000"], "65536"),
        (["forward", "-p", "-1", "prof", "i-deadbeef:9000"], "-1"),
        (["--ec2", "-p", "70000", "prof"], "70000"),
        (["ssh", "prof"], "target"),
        (["serve"], "ec2"),
        (["serve", "lambda"], "lambda"),
        (["serve", "ecs", "-p", "65536", "prof"], "65536"),
        (["list"], "roles"),
        (["list", "users"], "users"),
        (["completion", "tcl"], "tcl"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_value_and_status_2(
    words: list[str], named: str, environ: dict[str, str], tmp_path: Path
) -> None:
    ran = _run(words, environ)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("aws-runas: ")
    assert ran.stderr.count("\n") == 1
    assert named in ran.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["-V"], 0),
        (["--help"], 0),
        (["nobody"], 3),
        (["nobody", "true"], 3),
        (["shell", "nobody", "i-deadbeef"], 3),
        ([], 4),
        (["default", "true"], 4),
        (["default", "no-such-program"], 127),
        (["default", "/etc/passwd"], 126),
    ],
)
def test_statuses_that_need_no_aws(words: list[str], status: int, environ: dict[str, str]) -> None:
    ran = _run(words, environ)
    assert ran.returncode == status, ran.stderr
    assert "Traceback" not in ran.stderr


def test_statuses_that_need_aws(sandbox: Sandbox, runas: RunAs) -> None:
    for words, status in (
        (["my-profile", "sh", "-c", "exit 42"], 42),
        (["my-profile", "sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["shell", "my-profile", "i-00000000"], 5),
        (["shell", "my-profile", "no-such-name"], 5),
        (["my-profile-mfa", "true"], 4),  # no terminal to ask on
    ):
        ran = runas(sandbox, *words)
        assert ran.returncode == status, (words, ran.stderr)


def test_a_session_that_cannot_be_opened_is_6(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    ran = runas(make_sandbox(start_fails="InternalServerError"), "shell", "my-profile", "i-deadbeef")
    assert ran.returncode == 6, ran.stderr


def test_ctrl_c_at_a_prompt_is_130_without_a_traceback(sandbox: Sandbox) -> None:
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "-r", "my-profile-mfa", "true"], env=sandbox.environ, timeout=30)
    child.expect_exact(b"MFA code")
    child.sendcontrol("c")
    child.expect(pexpect.EOF)
    child.close()
    assert b"Traceback" not in (child.before or b"")
    assert child.exitstatus == 130


@pytest.mark.parametrize("words", [["--help-long"], ["--help-man"], ["completion", "bash"]])
def test_a_reader_that_has_seen_enough_is_no_reason_to_complain(words: list[str], environ: dict[str, str]) -> None:
    with subprocess.Popen([*COMMAND, *words], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("words", ["--help", "-O json my-profile", "my-profile"])
def test_an_answer_that_cannot_be_written_is_an_error(sandbox: Sandbox, redirection: str, words: str) -> None:
    script = f'"$@" {words} {redirection}'
    for _ in range(2):
        ran = subprocess.run(
            ["sh", "-c", script, "sh", *COMMAND], env=sandbox.environ, capture_output=True, check=False
        )
        assert ran.returncode == 1
        assert ran.stderr.startswith(b"aws-runas: standard output cannot be written: ")
        assert ran.stderr.count(b"\n") == 1
