"""Copies to and from instances without Python: the shell's file server with busybox, and with dash and coreutils."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from aws_runas.errors import SessionError
from aws_runas.sandbox.agent.machine import make_programs
from aws_runas.sandbox.world import Sandbox
from aws_runas.ssm.copy.plan import SEGMENT
from aws_runas.ssm.copy.posix_files import read_stat, read_tools
from aws_runas.ssm.copy.posix_server import POSIX_SERVER
from aws_runas.ssm.copy.protocol import Reply
from tests.integration.conftest import AWS_RUNAS
from tests.integration.copy.near import NearSessions, copy, packed, tree
from tests.support import requires

ODD_NAMES = [
    b"-x",
    b"a b",
    b"it's",
    b'"q"',
    b"new\nline\n",
    "\u00fcn\u00ef".encode(),
    b"\xff\xfe",
    b"$HOME",
    b"*",
    b"x" * 255,
]
DATA = Random(1).randbytes(300_000) + b"\xef\xbf\xbd" * 50 + b"\0\xff\xfe\xfd"


@pytest.fixture(scope="module", params=["busybox", "no-python"])
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an instance without Python."""
    requires.program("busybox")
    found = make_programs(tmp_path_factory.mktemp("programs"), request.param)
    assert found is not None
    assert not (found / "python3").exists()
    return found


def _odd_tree(top: Path, fraction: int = 0) -> None:
    """Every kind of name, mode, link and size; times with so many nanoseconds, which busybox cannot set."""
    raw = os.fsencode(top)
    os.mkdir(raw)
    for number, name in enumerate(ODD_NAMES):
        path = os.path.join(raw, name)
        with open(path, "wb") as stream:
            stream.write(DATA[: number * 100])
        os.chmod(path, (0o644, 0o600, 0o755, 0o400)[number % 4])
        os.utime(path, ns=(10**18, 10**18 + fraction))
    for name in (b"d", b"-d", b"d/in ner", b"empty"):
        os.mkdir(os.path.join(raw, name), 0o750)
    (top / "d" / "large").write_bytes(DATA)
    (top / "d" / "in ner" / "deep").write_bytes(b"deep")
    for path_below in ("large", "in ner/deep"):
        os.utime(top / "d" / path_below, ns=(10**18, 10**18 + fraction))
    (top / "d").chmod(0o1777)
    (top / "old").write_bytes(b"of 1969")
    os.utime(top / "old", ns=(0, -5_000_000_000 - (fraction and 500_000_000)))
    (top / "link").symlink_to("d/large")
    os.symlink(b"new\nline\n", os.path.join(raw, b"to a line"))


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_tree_arrives_as_it_is(programs: Path, tmp_path: Path, upload: bool) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    _odd_tree(here, 0 if programs.name == "busybox" and upload else 5)
    sessions = NearSessions(programs=programs)
    result = copy([here], there, upload=upload, recursive=True, preserve=True, sessions=sessions)
    assert result.failures == []
    assert tree(there, modes=True) == tree(here, modes=True)
    again = copy([f"{here}/."], there, upload=upload, recursive=True, preserve=True,
                 sessions=NearSessions(programs=programs))  # fmt: skip
    assert again.progress.files_done == 1  # the empty file; what has size and time is skipped


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_large_files_text_and_several_sessions(programs: Path, tmp_path: Path, upload: bool) -> None:
    data = Random(2).randbytes(2 * SEGMENT) + b"a line, again and again\n" * 50_000
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(b"old")
    sessions = NearSessions(programs=programs)
    result = copy([tmp_path / "a"], tmp_path / "b", upload=upload, sessions=sessions, count=2)
    assert result.failures == []
    assert (tmp_path / "b").read_bytes() == data
    assert result.progress.sent < len(data) * 0.8  # the text is compressed
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_lost_session_resumes_and_a_damaged_segment_is_sent_again(programs: Path, tmp_path: Path) -> None:
    data = Random(3).randbytes(12 * SEGMENT)
    (tmp_path / "a").write_bytes(data)
    losing = NearSessions(lose=dict.fromkeys(range(1, 20), 2), programs=programs)
    with pytest.raises(SessionError) as caught:
        copy([tmp_path / "a"], tmp_path / "b", upload=True, sessions=losing)
    assert caught.value.code == "copy-broken"
    (part,) = tmp_path.glob(".b.*.part")
    content = bytearray(part.read_bytes())
    content[5] ^= 1
    part.write_bytes(content)
    result = copy([tmp_path / "a"], tmp_path / "b", upload=True, sessions=NearSessions(programs=programs))
    assert (tmp_path / "b").read_bytes() == data
    assert 0 < result.progress.resumed < len(data)
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_source_that_has_changed_starts_over(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(Random(4).randbytes(9 * SEGMENT))
    losing = NearSessions(lose=dict.fromkeys(range(1, 20), 1), programs=programs)
    with pytest.raises(SessionError):
        copy([tmp_path / "a"], tmp_path / "b", upload=True, sessions=losing)
    data = Random(5).randbytes(9 * SEGMENT)
    (tmp_path / "a").write_bytes(data)
    notes: list[str] = []
    copy([tmp_path / "a"], tmp_path / "b", upload=True, sessions=NearSessions(programs=programs), notes=notes)
    assert (tmp_path / "b").read_bytes() == data
    assert any("has changed" in note for note in notes)


def test_links_and_other_things_at_the_target_are_not_replaced(programs: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "d").mkdir(parents=True)
    (here / "d" / "f").write_bytes(b"new")
    (here / "g").write_bytes(b"new")
    (tmp_path / "outside").mkdir()
    there.mkdir()
    (there / "d").symlink_to("../outside")
    (there / "g").symlink_to("../secret")
    (tmp_path / "secret").write_bytes(b"old")

    def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
        if operation == "walk":  # the far side hides what is there, so that only its own checks are left
            return {}, packed([])
        return reply

    sessions = NearSessions(hand, programs=programs)
    result = copy([f"{here}/."], there, upload=True, recursive=True, sessions=sessions)
    assert {name for name, _, _ in result.failures} == {f"{there}/d", f"{there}/d/f", f"{there}/g"}
    assert (tmp_path / "secret").read_bytes() == b"old"
    assert os.listdir(tmp_path / "outside") == []


def test_filters_delete_checksum_and_owner(programs: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for name in ("a", "b"):
        (here / name).write_bytes(name.encode())

    copy([here], there, upload=True, recursive=True, sessions=NearSessions(programs=programs))
    extra = there
    (extra / "extra").write_bytes(b"x")
    result = copy([f"{here}/."], extra, upload=True, recursive=True, checksum=True, delete=True,
                  sessions=NearSessions(programs=programs))  # fmt: skip
    assert len(result.skipped) == 2
    assert sorted(os.listdir(extra)) == ["a", "b"]
    result = copy([f"{here}/a"], extra / "c", upload=True, owner="nobody-of-this-name",
                  sessions=NearSessions(programs=programs))  # fmt: skip
    assert len(result.failures) == 1
    assert not (extra / "c").exists()


def test_files_without_a_size_are_read_to_their_end(programs: Path, tmp_path: Path) -> None:
    copy([Path("/proc/self/limits")], tmp_path / "limits", upload=False, sessions=NearSessions(programs=programs))
    assert b"Max open files" in (tmp_path / "limits").read_bytes()


def test_two_copies_to_one_name_leave_one_whole_file(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * (2 * SEGMENT))
    (tmp_path / "b").write_bytes(b"b" * (2 * SEGMENT))

    async def both() -> None:
        await asyncio.gather(
            *(
                asyncio.to_thread(
                    copy, [tmp_path / name], tmp_path / "c", upload=True, sessions=NearSessions(programs=programs)
                )
                for name in ("a", "b", "a")
            )
        )

    asyncio.run(both())
    assert (tmp_path / "c").read_bytes() in (b"a" * (2 * SEGMENT), b"b" * (2 * SEGMENT))
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


def test_a_full_disk_is_one_failure_with_its_code(programs: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False, stderr=-3)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        (tmp_path / "a").write_bytes(Random(6).randbytes(2 * SEGMENT))
        result = copy([tmp_path / "a"], disk / "b", upload=True, sessions=NearSessions(programs=programs))
        assert [code for _, code, _ in result.failures] == ["no-space"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    "line", [b"", b"0", b"zzzz 1 2 3 x", b"81a4 x 1 1 x", b"\xff", b"81a4 1 1", b"81a4 1 -"], ids=repr
)
def test_a_status_that_is_none_is_an_error(line: bytes) -> None:
    with pytest.raises(SessionError) as caught:
        read_stat(line)
    assert caught.value.code == "helper-failed"


def test_a_time_limit_of_bash_does_not_end_the_server() -> None:
    """Where sh is bash, read ends after TMOUT seconds of silence, as between two requests of a long copy."""
    script = b"printf '+%s\\0' \"${TMOUT-none}\""
    done = subprocess.run(
        [requires.program("bash"), "--posix", "-c", POSIX_SERVER],
        env=os.environ | {"TMOUT": "1"}, input=b"%d 0\n%b" % (len(script), script), capture_output=True, check=False,
    )  # fmt: skip
    assert b"+none\0" in done.stdout


def test_what_is_missing_is_named() -> None:
    with pytest.raises(SessionError, match="find, xargs"):
        read_tools(b"posix 1 gzip find xargs", verify=True)
    with pytest.raises(SessionError, match="sha256sum") as caught:
        read_tools(b"posix 0 none ", verify=True)
    assert caught.value.hint == "--no-verify copies without comparing"
    assert not read_tools(b"posix 0 none ", verify=False).gzip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["busybox", "no-python"])
def test_cp_works_on_an_instance_without_python(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    requires.program("busybox")
    here = tmp_path / "here"
    _odd_tree(here)
    for words in (["-r", "-p", "my-profile", str(here), f"{name}:{tmp_path}/there"],
                  ["-r", "-p", "my-profile", f"{name}:{tmp_path}/there/d", f"{tmp_path}/back"]):  # fmt: skip
        done = subprocess.run(
            [*AWS_RUNAS, "cp", "-q", *words],
            env=sandbox.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=110, start_new_session=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
    assert tree(tmp_path / "there", modes=True) == tree(here, modes=True)
    assert tree(tmp_path / "back", modes=True) == tree(here / "d", modes=True)
    refused = subprocess.run(
        [*AWS_RUNAS, "cp", "--via", "port", "my-profile", f"{here}/-x", f"{name}:{tmp_path}/x"],
        env=sandbox.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=110, start_new_session=True,
        check=False,
    )  # fmt: skip
    assert refused.returncode == 6
    assert b"--via port needs Python" in refused.stderr
    shutil.rmtree(tmp_path / "there")
