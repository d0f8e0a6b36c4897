"""`run` on instances and accounts that are awkward: no Python, no shell, shell profiles, refusals, throttling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.world import Sandbox, start_sandbox
from tests.integration.conftest import AWS_RUNAS, MakeSandbox
from tests.support import requires

pytestmark = pytest.mark.slow

DATA = Random(9).randbytes(30_000) + b"\xef\xbf\xbd\xff\xfe\xfd"
DOCUMENT = "AWS-StartNonInteractiveCommand"


def _run(sandbox: Sandbox, *words: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*AWS_RUNAS, "run", *(() if input is not None else ("-n",)), *words],
        env=sandbox.environ,
        input=input or b"",
        capture_output=True,
        timeout=110,
        start_new_session=True,
        check=False,
    )


@pytest.fixture(scope="module")
def sandbox_with_shells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox whose shell profile is the file ``shell`` in the instance's home."""
    base = os.environ | {"HOME": str(tmp_path_factory.mktemp("home"))}
    with start_sandbox(SandboxOptions(shell_profile=". ~/shell"), base=base) as running:
        yield running


@pytest.mark.parametrize("name", ["busybox", "no-python"])
def test_without_python_the_shell_helper_carries_any_bytes(sandbox: Sandbox, name: str) -> None:
    requires.program("busybox")
    done = _run(sandbox, "my-profile", name, "cat; echo err >&2; exit 7", input=DATA)
    assert (done.stdout, done.returncode) == (DATA, 7), done.stderr
    assert b"err\n" in done.stderr
    assert b"no Python" in done.stderr  # its restrictions, in one line


@pytest.mark.parametrize("name", ["busybox", "no-python"])
def test_without_python_a_command_without_input_has_its_streams_and_status(sandbox: Sandbox, name: str) -> None:
    done = _run(sandbox, "-q", "--via", "document", "my-profile", name, "printf 'a\\377\\376'; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"a\xff\xfe", b"err\n", 7)


@pytest.mark.parametrize("via", ["shell", "document"])
def test_an_instance_without_a_shell_is_an_error_of_ours(sandbox: Sandbox, via: str) -> None:
    done = _run(sandbox, "--via", via, "my-profile", "distroless", "true")
    assert done.returncode == 6
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("profile", ["exec bash", "sudo su -", "echo a banner; sleep 0.5"])
def test_a_shell_profile_does_not_disturb(make_sandbox: MakeSandbox, profile: str) -> None:
    if "sudo" in profile:
        requires.program("sudo")
    where = make_sandbox(shell_profile=profile)
    done = _run(where, "-q", "my-profile", "i-deadbeef", "cat; exit 7", input=DATA)
    assert (done.stdout, done.returncode) == (DATA, 7), done.stderr


def test_a_session_that_ends_while_the_helper_is_sent_is_replaced_once(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    """Python fails at its first start, as when the agent has damaged what was sent."""
    stub, mark = tmp_path / "bin" / "python3", tmp_path / "mark"
    stub.parent.mkdir()
    stub.write_text(
        f'#!/bin/sh\n[ "$1" = -V ] && exec {sys.executable} -V\nmkdir {mark} 2>/dev/null && exit 1\n'
        f'exec {sys.executable} "$@"\n'
    )
    stub.chmod(0o755)
    sandbox = make_sandbox(shell_profile=f"PATH={stub.parent}:$PATH")
    before = sandbox.count("StartSession")
    done = _run(sandbox, "my-profile", "i-deadbeef", "cat; exit 7", input=DATA)
    assert (done.stdout, done.returncode) == (DATA, 7), done.stderr
    assert b"second session" in done.stderr
    assert sandbox.count("StartSession") == before + 2
    mark.rmdir()
    (tmp_path / "a").write_bytes(DATA)
    copied = subprocess.run(
        [*AWS_RUNAS, "cp", "--via", "shell", "my-profile", str(tmp_path / "a"), f"i-deadbeef:{tmp_path}/b"],
        env=sandbox.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=110, check=False,
    )  # fmt: skip
    assert (copied.returncode, (tmp_path / "b").read_bytes()) == (0, DATA), copied.stderr
    assert b"second session" in copied.stderr


# What a name in PATH may be instead of Python. Each passes the test for the version or fails it; none starts.
STUBS = {
    "a version manager without a version": "echo 'pyenv: version `3.9.1` is not installed' >&2; exit 1",
    "a broken installation": '[ "$1" = -V ] && echo Python 3.11.2 && exit; echo "Fatal Python error" >&2; exit 1',
    "something else": "echo Python 3.11.0",
    "a wrapper that warns": f'echo "an old python" >&2; exec {sys.executable} "$@"',
}


def test_a_python_that_does_not_start_is_passed_over_or_done_without(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    sandbox = make_sandbox(shell_profile=f"PATH={tmp_path}/bin:$PATH")
    stub = tmp_path / "bin" / "python3"
    stub.parent.mkdir()
    (tmp_path / "a").write_bytes(DATA)
    for name, text in STUBS.items():
        stub.write_text(f"#!/bin/sh\n{text}\n")
        stub.chmod(0o755)
        done = _run(sandbox, "my-profile", "i-deadbeef", "cat; exit 7", input=DATA)
        assert (done.stdout, done.returncode) == (DATA, 7), (name, done.stderr)
        copied = subprocess.run(
            [*AWS_RUNAS, "cp", "my-profile", f"i-deadbeef:{tmp_path}/a", f"{tmp_path}/b"],
            env=sandbox.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=110, check=False,
        )  # fmt: skip
        assert (copied.returncode, (tmp_path / "b").read_bytes()) == (0, DATA), (name, copied.stderr)
        (tmp_path / "b").unlink()


def test_a_shell_profile_that_ends_the_session_is_named(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(shell_profile="echo no entry for you; exit")
    done = _run(sandbox, "-q", "my-profile", "i-deadbeef", "cat", input=DATA)
    assert done.returncode == 6
    assert b"no entry for you" in done.stderr
    assert b"shell profile" in done.stderr


@pytest.mark.parametrize("shell", ["dash", "bash -l", "zsh", "fish", "tcsh", "mksh", "busybox ash", "bash --posix"])
def test_every_login_shell_of_an_instance_carries_any_bytes(sandbox_with_shells: Sandbox, shell: str) -> None:
    """The account's shell profile replaces the session's shell by another one."""
    requires.program(shell.split()[0])
    home = Path(sandbox_with_shells.environ["RUNAS_SANDBOX"], "instances", "i-deadbeef")
    home.mkdir(parents=True, exist_ok=True)
    (home / "shell").write_text(f"exec {shell}\n")
    done = _run(sandbox_with_shells, "-q", "my-profile", "i-deadbeef", "cat; echo err >&2; exit 7", input=DATA)
    assert (done.stdout, done.stderr, done.returncode) == (DATA, b"err\n", 7)


def test_a_refused_document_is_replaced_once_and_remembered(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "ssm:StartSession", "Resource": f"arn:aws:ssm:*::document/{DOCUMENT}"},
    ]
    policy = ("--session-policy", json.dumps({"Version": "2012-10-17", "Statement": statements}))
    counts = [sandbox.count("StartSession")]
    for _ in range(2):
        done = _run(sandbox, "--events", *policy, "my-profile", "i-deadbeef", "echo hi")
        assert done.stdout == b"hi\n", done.stderr
        assert json.loads(done.stderr.splitlines()[0])["carrier"] == "shell"
        counts.append(sandbox.count("StartSession"))
    assert [after - before for before, after in pairwise(counts)] == [2, 1]
    refused = _run(sandbox, "--via", "document", *policy, "my-profile", "i-deadbeef", "echo hi")
    assert (refused.returncode, refused.stdout) == (6, b"")
    assert DOCUMENT.encode() in refused.stderr
    assert b"--via shell" in refused.stderr


# The service ends a session after 20 minutes without input, and its clock runs 200 times as fast here. Our own clock
# does not, so the interval of 5 minutes between two Size messages is made as much shorter.
SPEED = 200
FASTER = f"""import functools, sys
from aws_runas.ssm.command import link
from aws_runas.__main__ import main
link.LinkOptions = functools.partial(link.LinkOptions, size_interval=link.SIZE_INTERVAL / {SPEED})
sys.exit(main())
"""


def test_thirty_silent_minutes_end_a_session_that_sends_nothing_and_no_command_of_ours(
    make_sandbox: MakeSandbox,
) -> None:
    sandbox = make_sandbox(clock_speed=float(SPEED))
    silent = f"sleep {30 * 60 / SPEED}; echo done; exit 7"
    words = ("run", "-n", "-q", "my-profile", "i-deadbeef", silent)
    processes = [
        subprocess.Popen(
            [*start, *words[:2], "--via", via, *words[2:]],
            env=sandbox.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for start, via in (
            ((sys.executable, "-c", FASTER), "shell"),
            ((sys.executable, "-c", FASTER), "document"),
            (AWS_RUNAS, "shell"),
        )
    ]  # fmt: skip
    ended = [(*process.communicate(timeout=110), process.returncode) for process in processes]
    for out, err, status in ended[:2]:
        assert (out, status) == (b"done\n", 7), err
    out, err, status = ended[2]  # the same without the messages: the service is no kinder than the real one
    assert (out, status) == (b"", 6), err


def test_a_throttled_call_is_repeated(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(start_rate=0.4)
    assert _run(sandbox, "-q", "my-profile", "i-deadbeef", "true").returncode == 0
    before = sandbox.count("StartSession")
    done = [
        subprocess.Popen(
            [*AWS_RUNAS, "run", "-q", "-n", "my-profile", "i-deadbeef", "echo hi"],
            env=sandbox.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=110)[0] for process in done] == [b"hi\n", b"hi\n"]
    assert sandbox.count("StartSession") > before + 2


def test_the_official_pace_costs_the_shell_a_second_and_the_document_none(make_sandbox: MakeSandbox) -> None:
    """The agent sleeps a second before it reads from a terminal; a document has no terminal."""
    sandbox = make_sandbox(agent_pace="official")
    for via in ("document", "shell"):
        done = _run(sandbox, "-q", "--via", via, "my-profile", "i-deadbeef", "echo hi; exit 3")
        assert (done.stdout, done.returncode) == (b"hi\n", 3)
