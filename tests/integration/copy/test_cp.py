"""`aws-runas cp` against the sandbox: both carriers, streams, several sessions, a kill, bad networks, messages."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS, MakeSandbox
from tests.integration.copy.near import tree
from tests.support import requires

SEGMENT = 1 << 20
DATA = Random(1).randbytes(700_000) + b"\xef\xbf\xbd" * 50 + b"\xff\xfe\xfd"


def _cp(
    sandbox: Sandbox, *words: str, input: bytes | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*AWS_RUNAS, "cp", *words],
        env=sandbox.environ,
        input=input or b"",
        capture_output=True,
        timeout=timeout,
        start_new_session=True,
        check=False,
    )


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """A tree with a large file, awkward names and a link."""
    top = tmp_path / "tree"
    (top / "a dir" / "empty").mkdir(parents=True)
    (top / "a dir" / "it's -x").write_bytes(DATA)
    (top / "ünï").write_bytes(b"\xef\xbf\xbd")
    (top / "run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "link").symlink_to("ünï")
    return top


@pytest.mark.slow
@pytest.mark.parametrize("via", ["port", "shell"])
def test_a_tree_goes_there_and_back(sandbox: Sandbox, small_tree: Path, tmp_path: Path, via: str) -> None:
    up = _cp(sandbox, "-r", "-p", "--via", via, "-O", "json", "my-profile", str(small_tree), f"web:{tmp_path}/there")
    assert up.returncode == 0, up.stderr
    assert tree(tmp_path / "there", modes=True) == tree(small_tree, modes=True)
    values = json.loads(up.stdout)
    assert (values["carrier"], values["failures"], values["files"]) == (via, [], 3)
    down = _cp(sandbox, "-r", "-p", "--via", via, "my-profile", f"web:{tmp_path}/there", f"{tmp_path}/back")
    assert down.returncode == 0, down.stderr
    assert tree(tmp_path / "back", modes=True) == tree(small_tree, modes=True)


@pytest.mark.slow
@pytest.mark.parametrize("via", ["port", "shell"])
def test_standard_streams(sandbox: Sandbox, tmp_path: Path, via: str) -> None:
    data = DATA * 4
    up = _cp(sandbox, "--via", via, "my-profile", "-", f"web:{tmp_path}/there", input=data)
    assert (up.returncode, up.stdout) == (0, b""), up.stderr
    assert (tmp_path / "there").read_bytes() == data
    assert os.listdir(tmp_path) == ["there"]
    down = _cp(sandbox, "--via", via, "my-profile", f"web:{tmp_path}/there", "-")
    assert (down.returncode, down.stdout == data) == (0, True), down.stderr


@pytest.mark.slow
def test_the_path_is_relative_to_the_home_and_wants_no_root(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    done = _cp(sandbox, "--mode", "640", "my-profile", str(tmp_path / "f"), "web:cp-relative")
    assert done.returncode == 0, done.stderr
    shown = _cp(sandbox, "my-profile", "web:~/cp-relative", "-")
    assert shown.stdout == b"x"
    listed = subprocess.run(
        [*AWS_RUNAS, "run", "-q", "my-profile", "web", "stat -c %a ~/cp-relative; rm ~/cp-relative"],
        env=sandbox.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert listed.stdout == b"640\n"


def test_another_user_through_sudo(sandbox: Sandbox) -> None:
    requires.program("sudo")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        os.chmod(folder, 0o777)
        (Path(folder) / "f").write_bytes(b"x")
        done = _cp(sandbox, "my-profile", f"{folder}/f", f"nobody@web:{folder}/there")
        assert done.returncode == 0, done.stderr
        assert (Path(folder) / "there").stat().st_uid != os.getuid()


@pytest.mark.slow
def test_four_sessions_share_one_file(sandbox: Sandbox, tmp_path: Path) -> None:
    data = Random(2).randbytes(10 * SEGMENT)
    (tmp_path / "f").write_bytes(data)
    before = sandbox.count("StartSession")
    words = ("--sessions", "4", "-O", "json", "my-profile", str(tmp_path / "f"), f"web:{tmp_path}/there")
    done = _cp(sandbox, *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there").read_bytes() == data
    assert json.loads(done.stdout)["sessions"] == 4
    assert sandbox.count("StartSession") == before + 5  # and the one that runs the file server


@pytest.mark.slow
def test_a_small_upload_needs_one_session_and_a_download_is_kept_out_of_the_shells_log(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    carriers, counts = [], [sandbox.count("StartSession")]
    for sides in ((f"{tmp_path}/f", f"web:{tmp_path}/there"), (f"web:{tmp_path}/there", f"{tmp_path}/back")):
        carriers.append(json.loads(_cp(sandbox, "-O", "json", "my-profile", *sides).stdout)["carrier"])
        counts.append(sandbox.count("StartSession"))
    assert carriers == ["shell", "port"]
    assert [after - before for before, after in pairwise(counts)] == [1, 2]
    assert (tmp_path / "back").read_bytes() == b"x" * 100_000


@pytest.mark.slow
def test_text_is_compressed_and_random_data_is_not(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a line of a log, again and again\n" * 100_000)
    (tmp_path / "data").write_bytes(Random(3).randbytes(500_000))
    sent = {}
    for name in ("text", "data"):
        done = _cp(sandbox, "-O", "json", "my-profile", str(tmp_path / name), f"web:{tmp_path}/{name}2")
        assert (tmp_path / f"{name}2").read_bytes() == (tmp_path / name).read_bytes()
        sent[name] = json.loads(done.stdout)["sent"]
    assert sent["text"] < 330_000
    assert sent["data"] == 500_000


# A busy machine may do much of an upload between the sight of its first segment and the signal that ends it: at this
# rate, the other segments take seconds. A download is as slow as the agent.
SLOWLY = ("--rate", "40", "--payload-size", "32768")


def _segments(folder: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) - 1 for path in folder.glob(".*.part.json"))


@pytest.mark.slow
@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_after_a_kill_the_next_copy_resumes_and_nothing_is_left(sandbox: Sandbox, tmp_path: Path, upload: bool) -> None:
    data = Random(4).randbytes(6 * SEGMENT)
    (tmp_path / "f").write_bytes(data)
    there = tmp_path / "there"
    there.mkdir()
    sides = (str(tmp_path / "f"), f"web:{there}/f") if upload else (f"web:{tmp_path}/f", f"{there}/f")
    words = ("--sessions", "1", "-O", "json", "my-profile", *sides)
    process = subprocess.Popen(
        [*AWS_RUNAS, "cp", *(SLOWLY if upload else ()), *words], env=sandbox.environ, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while _segments(there) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    done_before = _segments(there)
    assert done_before >= 3
    assert not (there / "f").exists()
    while _servers() and time.monotonic() < until:
        time.sleep(0.1)
    assert _servers() == []  # the guardian ended the session, so the file server is gone
    done = _cp(sandbox, *words)
    assert done.returncode == 0, done.stderr
    assert (there / "f").read_bytes() == data
    values = json.loads(done.stdout)
    assert values["resumed"] >= 3 * SEGMENT
    assert values["sent"] + values["resumed"] == len(data)
    assert os.listdir(there) == ["f"]


def _servers() -> list[str]:
    """File servers of the sandbox's instances that run on this machine, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(b"import hashlib,os,sys,zlib") and b"file_server" in word for word in words[:6]):
            found.append(path.parent.name)
    return found


def test_an_interrupt_keeps_the_unfinished_file(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(Random(5).randbytes(6 * SEGMENT))
    there = tmp_path / "there"
    there.mkdir()
    process = subprocess.Popen(
        [*AWS_RUNAS, "cp", *SLOWLY, "my-profile", str(tmp_path / "f"), f"web:{there}/f"],
        env=sandbox.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while _segments(there) < 1 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in err
    part, journal = sorted(there.iterdir())
    assert (part.suffix, journal.suffix) == (".part", ".json")
    assert f"unfinished: {part}; the same command continues it".encode() in err


@pytest.mark.slow
@pytest.mark.parametrize("via", ["port", "shell"])
def test_a_bad_network_changes_nothing(make_sandbox: MakeSandbox, tmp_path: Path, via: str) -> None:
    where = make_sandbox(loss=0.02, duplicate=0.02, reorder=0.02, close_after=1.0, new_cell=True)
    data = Random(6).randbytes(2 * SEGMENT)
    (tmp_path / "f").write_bytes(data)
    done = _cp(where, "--via", via, "-q", "my-profile", str(tmp_path / "f"), f"web:{tmp_path}/there", timeout=180)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there").read_bytes() == data


def test_progress_as_json_and_the_summary(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(Random(7).randbytes(2 * SEGMENT))
    done = _cp(sandbox, "--progress", "json", "my-profile", str(tmp_path / "f"), f"web:{tmp_path}/there")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert events[-1]["event"] == "finished"
    assert events[-1]["done"] == 2 * SEGMENT
    assert all(event["event"] == "progress" for event in events[:-1])


def test_a_dry_run_prints_and_does_nothing(sandbox: Sandbox, small_tree: Path, tmp_path: Path) -> None:
    done = _cp(sandbox, "-r", "--dry-run", "my-profile", str(small_tree), f"web:{tmp_path}/there")
    assert done.returncode == 0, done.stderr
    assert f"copy {tmp_path}/there/run.sh 10\n".encode() in done.stdout
    assert not (tmp_path / "there").exists()


def test_some_files_that_fail_are_listed_and_the_status_is_1(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "there").mkdir()
    words = (str(tmp_path / "good"), str(tmp_path / "missing\x1b[2J"), f"web:{tmp_path}/there")
    done = _cp(sandbox, "my-profile", *words)
    assert done.returncode == 1
    assert (tmp_path / "there" / "good").read_bytes() == b"good"
    assert b"missing" in done.stderr
    assert b"\x1b" not in done.stderr


def test_refused_names_of_the_instance_are_status_6_and_the_rest_is_copied(sandbox: Sandbox, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "good\nname").write_bytes(b"good")
    os.mkfifo(tree / "pipe\x1b[2J")
    down = _cp(sandbox, "-r", "my-profile", f"web:{tree}", f"{tmp_path}/down/")
    assert (down.returncode, os.listdir(tmp_path / "down")) == (6, ["good\nname"]), down.stderr
    assert b"\x1b" not in down.stderr
    up = _cp(sandbox, "-r", "my-profile", str(tree), f"web:{tmp_path}/up")
    assert (up.returncode, os.listdir(tmp_path / "up")) == (1, ["good\nname"]), up.stderr


def _in_shell(sandbox: Sandbox, redirected: str, tmp_path: Path) -> subprocess.CompletedProcess[bytes]:
    words = f"exec {shlex.join(AWS_RUNAS)} cp -q my-profile {redirected}"
    return subprocess.run(["sh", "-c", words], env=sandbox.environ, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("redirected", "status", "text"),
    [
        ("web:/etc/passwd - > /dev/full", 1, b"standard output cannot be written: no space left on device"),
        ("web:/etc/passwd - >&-", 2, b"stdout is closed"),
        ("- web:{folder}/new <&-", 2, b"stdin is closed"),
        ("- web:{folder}/new 0> /dev/null", 1, b"standard input cannot be read"),
        ("- web:{folder} < /dev/null", 1, b"is a directory"),
    ],
)
def test_a_standard_stream_that_cannot_be_used_is_one_line_and_its_fix(
    sandbox: Sandbox, tmp_path: Path, redirected: str, status: int, text: bytes
) -> None:
    done = _in_shell(sandbox, redirected.format(folder=tmp_path), tmp_path)
    first, *fix = done.stderr.splitlines()
    assert (done.returncode, len(fix) <= 1) == (status, True), done.stderr
    assert text in first
    assert os.listdir(tmp_path) == []


def test_a_reader_of_standard_output_that_goes_away_is_no_error_message(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(5 << 20))
    process = subprocess.Popen(
        [*AWS_RUNAS, "cp", "-q", "my-profile", f"web:{tmp_path}/f", "-"],
        env=sandbox.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(30) == 141
    process.stderr.close()


def test_an_interrupt_does_not_wait_for_standard_input_and_leaves_no_file(sandbox: Sandbox, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*AWS_RUNAS, "cp", "-q", "my-profile", "-", f"web:{tmp_path}/f"],
        env=sandbox.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not os.listdir(tmp_path) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130  # although our standard input is open
    process.communicate()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ((), 2, b"source and a destination"),
        (("my-profile", "a"), 2, b"no side is on an instance"),
        (("a", "b"), 2, b"no side is on an instance"),
        (("my-profile", "web:a", "web:b"), 2, b"both sides"),
        (("my-profile", "web:a", "db:b", "c"), 2, b"different instances"),
        (("my-profile", "-", "a", "web:b"), 2, b"one file"),
        (("--sessions", "9", "my-profile", "a", "web:b"), 2, b"--sessions"),
        (("--mode", "999", "my-profile", "a", "web:b"), 2, b"--mode"),
        (("my-profile", "a", "ecs:prod/web/app:/tmp"), 5, b"ECS"),
        (("my-profile", "a", "i-0000000000:/tmp"), 5, b"i-0000000000"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_status(
    sandbox: Sandbox, words: tuple[str, ...], status: int, text: bytes
) -> None:
    done = _cp(sandbox, *words)
    assert done.returncode == status, done.stderr
    assert text in done.stderr
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_the_digest_is_in_the_log_and_the_content_is_not(sandbox: Sandbox, tmp_path: Path) -> None:
    from aws_runas.ssm.copy.files import file_server_digest

    (tmp_path / "f").write_bytes(b"secret-content")
    done = _cp(sandbox, "-v", "my-profile", str(tmp_path / "f"), f"web:{tmp_path}/there")
    assert file_server_digest().encode() in done.stderr
    assert b"secret-content" not in done.stderr
