"""Many real processes over one cache, and one person at one terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.support import requires
from tests.support.sts_server import Sts, running_sts, write_home

COMMAND = [sys.executable, "-m", "aws_runas"]
MANY = 50


@pytest.fixture
def sts() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


@pytest.fixture
def environ(sts: Sts, tmp_path: Path) -> dict[str, str]:
    return write_home(tmp_path, sts.url)


def _start(environ: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _run(environ: dict[str, str], *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *COMMAND, *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )


@pytest.mark.slow
def test_fifty_processes_on_a_cold_cache_ask_aws_and_the_person_once(
    sts: Sts, environ: dict[str, str], tmp_path: Path
) -> None:
    python = " ".join(COMMAND)
    script = f"for i in $(seq {MANY}); do {python} -O json role > {tmp_path}/out.$i 2> {tmp_path}/err.$i & done; wait"
    child = pexpect.spawn("/bin/sh", ["-c", script], env=environ, timeout=90, encoding="utf-8")
    child.expect("MFA code for arn:aws:iam::123456789012:mfa/me: ")
    child.sendline("123456")
    child.expect(pexpect.EOF)
    child.close()
    assert sts.actions() == ["GetSessionToken", "AssumeRole"]
    assert "MFA code" not in (child.before or "")
    answers = {(tmp_path / f"out.{number}").read_text() for number in range(1, MANY + 1)}
    assert len(answers) == 1
    assert json.loads(answers.pop())["AccessKeyId"].startswith("ASIAROLE")


def test_processes_for_several_roles_of_one_user_share_the_code(
    sts: Sts, environ: dict[str, str], tmp_path: Path
) -> None:
    names = ("role", "other", "chained", "user", "role", "other")
    runs = [f"{' '.join(COMMAND)} -O json {name} > {tmp_path}/out.{i} &" for i, name in enumerate(names)]
    child = pexpect.spawn("/bin/sh", ["-c", " ".join([*runs, "wait"])], env=environ, timeout=90, encoding="utf-8")
    child.expect("MFA code for [^ ]*: ")
    child.sendline("123456")
    child.expect(pexpect.EOF)
    child.close()
    assert sorted(sts.actions()) == ["AssumeRole"] * 3 + ["GetSessionToken"]
    assert all(json.loads((tmp_path / f"out.{i}").read_text()) for i in range(len(names)))


def test_a_killed_holder_of_the_lock_does_not_block_the_others(sts: Sts, environ: dict[str, str]) -> None:
    sts.gate.clear()  # the first process hangs in its call, holding the locks
    first = _start(environ, "-O", "json", "plainrole")
    _until(lambda: len(sts.calls) == 1)
    second = _start(environ, "-O", "json", "plainrole")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    sts.gate.set()
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert json.loads(out)["AccessKeyId"].startswith("ASIAROLE")


def test_without_a_terminal_the_error_comes_at_once(sts: Sts, environ: dict[str, str]) -> None:
    done = _run(environ, "role", "true")
    assert done.returncode == 4
    assert "no terminal" in done.stderr
    assert "-o" in done.stderr
    assert sts.calls == []


def test_the_code_is_asked_on_the_terminal_though_everything_is_piped(environ: dict[str, str]) -> None:
    script = f"echo input | {' '.join(COMMAND)} -E role sh -c 'cat; echo $AWS_ACCESS_KEY_ID' 2>/dev/null | tr a-z A-Z"
    child = pexpect.spawn("/bin/sh", ["-c", script], env=environ, timeout=60, encoding="utf-8")
    child.expect("MFA code for [^ ]*: ")
    child.sendline("123456")
    child.expect("INPUT\r\nASIAROLE")
    child.expect(pexpect.EOF)
    child.close()


def test_a_wrong_code_is_asked_again_three_times_in_all(sts: Sts, environ: dict[str, str]) -> None:
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "role"], env=environ, timeout=60, encoding="utf-8")
    for _ in range(3):
        child.expect("MFA code for [^ ]*: ")
        child.sendline("000000")
    child.expect("the MFA code was refused")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4
    assert len(sts.calls) == 3


def test_ctrl_d_at_the_prompt_says_so(environ: dict[str, str]) -> None:
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "role"], env=environ, timeout=60, encoding="utf-8")
    child.expect("MFA code for [^ ]*: ")
    child.sendeof()
    child.expect("no MFA code was typed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4


def test_interrupt_at_the_prompt_is_status_130_and_leaves_the_terminal_as_it_was(environ: dict[str, str]) -> None:
    shell = pexpect.spawn("/bin/sh", env=environ | {"PS1": "ready> "}, timeout=60, encoding="utf-8")
    shell.expect("ready> ")
    shell.sendline("stty -g")
    shell.expect("stty -g\r\n([0-9a-f:]+)\r\n")
    assert isinstance(shell.match, re.Match)
    settings = str(shell.match[1])
    shell.sendline(" ".join([*COMMAND, "role"]))
    shell.expect("MFA code for [^ ]*: ")
    shell.sendintr()
    shell.expect("ready> ")
    shell.sendline("echo status $?; stty -g")
    shell.expect("status 130\r\n")
    shell.expect_exact(settings)
    assert "Traceback" not in (shell.before or "")
    shell.sendeof()
    shell.expect(pexpect.EOF)
    shell.close()


def test_as_a_credential_process_of_botocore_the_code_is_asked_once(
    sts: Sts, environ: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / ".aws" / "config"
    config.write_text(
        config.read_text() + f"[profile wrapped]\ncredential_process = {' '.join(COMMAND)} -O json role\n"
    )
    script = (
        "import botocore.session as s; c = s.Session(profile='wrapped').get_credentials();"
        " print(c.get_frozen_credentials().access_key)"
    )
    child = pexpect.spawn(sys.executable, ["-c", script], env=environ, timeout=60, encoding="utf-8")
    child.expect("MFA code for [^ ]*: ")
    child.sendline("123456")
    child.expect("ASIAROLE")
    child.expect(pexpect.EOF)
    child.close()
    assert sts.actions() == ["GetSessionToken", "AssumeRole"]


@pytest.mark.slow
def test_the_aws_cli_takes_the_json_document(sts: Sts, environ: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / ".aws" / "config"
    config.write_text(
        config.read_text() + f"[profile wrapped]\ncredential_process = {' '.join(COMMAND)} -O json plainrole\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "awscli", "sts", "get-caller-identity", "--profile", "wrapped", "--region", "us-east-1"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sts.calls[-1].key_id.startswith("ASIAROLE")


def test_a_cache_that_cannot_be_written_is_warned_about_and_borne(environ: dict[str, str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    cache.chmod(0o500)
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root without capabilities may write no more than anybody
        before = (requires.program("setpriv", package="util-linux"), "--inh-caps=-all", "--bounding-set=-all")
    done = _run(environ | {"RUNAS_CACHE_DIR": str(cache)}, "-O", "json", "plainrole", before=before)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["AccessKeyId"].startswith("ASIAROLE")
    assert done.stderr.count("warning") == 1
    assert str(cache) in done.stderr
    cache.chmod(0o700)


def test_a_full_disk_is_warned_about_and_borne(environ: dict[str, str], tmp_path: Path) -> None:
    prlimit = requires.program("prlimit", package="util-linux")
    cache = tmp_path / "cache"
    # files may have no byte: every write fails, as on a full disk
    done = _run(environ | {"RUNAS_CACHE_DIR": str(cache)}, "-O", "json", "plainrole", before=(prlimit, "--fsize=0"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning") == 1
    assert json.loads(done.stdout)["AccessKeyId"].startswith("ASIAROLE")


def _until(condition: object) -> None:
    assert callable(condition)
    done = threading.Event()
    for _ in range(3000):
        if condition():
            return
        done.wait(0.02)
    pytest.fail("it did not happen in a minute")
