"""Copies through the file server behind a pipe: any tree, resume, lost sessions, and a far side that lies."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aws_runas.errors import SessionError
from aws_runas.ssm.copy.copying import Copying, CopyRequest, CopyResult
from aws_runas.ssm.copy.files import Files
from aws_runas.ssm.copy.protocol import CopyError, Reply, copy_error
from tests.integration.copy.near import SERVER, EvilFiles, Hand, NearSessions, copy, packed, tree
from tests.support import requires
from tests.support.pythons import installed_pythons

SEGMENT = 1 << 20
ODD_NAMES = [
    b"-x",
    b"a b",
    b"it's",
    b'"q"',
    b"new\nline",
    "ünï".encode(),
    b"\xff\xfe",
    b"$HOME",
    b"*",
    b"x" * 255,
    b"~",
]

names = st.sampled_from(ODD_NAMES) | st.binary(min_size=1, max_size=20).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
contents = st.binary(max_size=200) | st.integers(0, 400_000).map(lambda size: Random(size).randbytes(size))
nodes = st.recursive(
    st.tuples(st.just("file"), contents, st.sampled_from([0o644, 0o755, 0o600])),
    lambda inner: st.tuples(st.just("dir"), st.dictionaries(names, inner, max_size=4), st.just(0o755)),
    max_leaves=12,
)


def _make(path: bytes, node: tuple[str, object, int]) -> None:
    kind, content, mode = node
    if kind == "dir":
        assert isinstance(content, dict)
        os.mkdir(path)
        for name, inner in content.items():
            _make(os.path.join(path, name), inner)
    else:
        assert isinstance(content, bytes)
        with open(path, "wb") as stream:
            stream.write(content)
        os.chmod(path, mode)
        os.utime(path, ns=(10**18, 10**18 + mode))


@pytest.mark.slow
@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.dictionaries(names, nodes, max_size=5))
def test_a_tree_arrives_as_it_is(upload: bool, content: dict[bytes, tuple[str, object, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here, there = Path(folder, "here"), Path(folder, "there")
        _make(os.fsencode(here), ("dir", content, 0o755))
        result = copy([here], there, upload=upload, recursive=True, preserve=True)
        refused = {name for name, code, _ in result.failures if code == "name-refused"}
        if upload:
            assert refused == set()
        wanted = {name: value for name, value in tree(here, modes=True).items() if upload or _is_plain(name)}
        assert tree(there, modes=True) == wanted


def _is_plain(name: bytes) -> bool:
    """A far name with control characters but line feeds is refused, and what is below it too."""
    return all((letter >= 32 and letter != 127) or letter == 10 for letter in name)


def test_links_are_copied_as_links_or_followed(tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "d").mkdir(parents=True)
    (here / "d" / "f").write_bytes(b"content")
    (here / "link").symlink_to("d/f")
    (here / "up").symlink_to("../outside")
    result = copy([here], tmp_path / "up", upload=True, recursive=True)
    assert result.failures == []
    assert os.readlink(tmp_path / "up" / "up") == "../outside"
    result = copy([here], tmp_path / "down", upload=False, recursive=True)
    assert os.readlink(tmp_path / "down" / "link") == "d/f"
    assert not (tmp_path / "down" / "up").is_symlink()  # it leads out of the destination
    assert [code for _, code, _ in result.failures] == ["name-refused"]
    (here / "up").unlink()
    copy([here], tmp_path / "followed", upload=False, recursive=True, follow=True)
    assert (tmp_path / "followed" / "link").read_bytes() == b"content"
    assert not (tmp_path / "followed" / "link").is_symlink()


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_p_keeps_all_mode_bits_but_two_and_times_before_1970(tmp_path: Path, upload: bool) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "f").write_bytes(b"content")
    for path, mode in ((source / "f", 0o7511), (source / "d", 0o3777)):
        os.utime(path, ns=(0, -5_500_000_000))
        path.chmod(mode)
    copy([source], tmp_path / "target", upload=upload, recursive=True, preserve=True)
    for name, mode in (("f", 0o1511), ("d", 0o1777)):
        found = (tmp_path / "target" / name).stat()
        assert (found.st_mode & 0o7777, found.st_mtime_ns) == (mode, -5_500_000_000)


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_destinations_follow_the_rules_of_cp(tmp_path: Path, upload: bool) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    (tmp_path / "d").mkdir()
    copy([tmp_path / "a"], tmp_path / "d", upload=upload)
    assert (tmp_path / "d" / "a").read_bytes() == b"a"
    copy([tmp_path / "a"], tmp_path / "new", upload=upload)
    assert (tmp_path / "new").read_bytes() == b"a"
    copy([tmp_path / "a", tmp_path / "b"], tmp_path / "d", upload=upload)
    assert (tmp_path / "d" / "b").read_bytes() == b"b"
    with pytest.raises(Exception, match="not a directory"):
        copy([tmp_path / "a"], tmp_path / "missing", upload=upload, into=True)
    with pytest.raises(Exception, match="not a directory"):
        copy([tmp_path / "a"], tmp_path / "missing", upload=upload, into=True, recursive=True)
    copy([f"{tmp_path}/d/"], f"{tmp_path}/made/", upload=upload, into=True, recursive=True)
    assert sorted(os.listdir(tmp_path / "made")) == ["a", "b"]
    result = copy([tmp_path / "d", tmp_path / "nothing"], tmp_path / "d", upload=upload)
    assert [text for _, _, text in result.failures] == ["it is a directory; add -r", "it does not exist"]
    result = copy([f"{tmp_path}/a/", f"{tmp_path}/nothing/"], tmp_path / "d", upload=upload)
    assert [text for _, _, text in result.failures] == [
        "it is not a directory; leave out the slash at its end",
        "it does not exist",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_tree_deeper_than_the_longest_path_is_copied_as_far_as_it_has_names(tmp_path: Path, upload: bool) -> None:
    """The interpreter's own limit is 1,000 levels."""
    requires.program("rm")
    deep = tmp_path / "here"
    deep.mkdir()
    at = os.open(deep, os.O_RDONLY)
    for _ in range(1300):
        os.mkdir("ddd", dir_fd=at)
        below = os.open("ddd", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    try:
        result = copy([deep], tmp_path / "there", upload=upload, recursive=True)
        assert {text for _, _, text in result.failures} == {"File name too long"}
        assert len(result.failures) == 1
        assert os.path.isdir(os.path.join(tmp_path / "there", *["ddd"] * 980))
    finally:
        subprocess.run(["rm", "-r", str(deep), str(tmp_path / "there")], check=True)  # shutil's is recursive


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_of_two_sources_with_one_name_the_second_is_a_failure(tmp_path: Path, upload: bool) -> None:
    for folder in ("one", "two", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "f").write_bytes(folder.encode())
    result = copy([tmp_path / "one" / "f", tmp_path / "two" / "f"], tmp_path / "there", upload=upload)
    assert result.failures == [(f"{tmp_path}/two/f", "copy-failed", f"{tmp_path}/one/f has the same name")]
    assert (tmp_path / "there" / "f").read_bytes() == b"one"


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_directory_in_the_place_of_a_file_is_one_failure(tmp_path: Path, upload: bool) -> None:
    for name in ("d", "e"):
        (tmp_path / "here" / name).mkdir(parents=True)
        (tmp_path / "here" / name / "f").write_bytes(b"f")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "d").write_bytes(b"a file")
    result = copy([f"{tmp_path}/here/."], tmp_path / "there", upload=upload, recursive=True)
    assert [name for name, _, _ in result.failures] == [f"{tmp_path}/there/d"]
    assert (tmp_path / "there" / "e" / "f").read_bytes() == b"f"
    result = copy([tmp_path / "here"], tmp_path / "there" / "d", upload=upload, recursive=True)
    assert [name for name, _, _ in result.failures] == [f"{tmp_path}/there/d"]


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_what_is_not_a_regular_file_is_not_replaced(tmp_path: Path, upload: bool) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "secret").write_bytes(b"old")
    (tmp_path / "link").symlink_to("secret")
    result = copy([tmp_path / "a"], tmp_path / "link", upload=upload)
    assert len(result.failures) == 1
    assert (tmp_path / "secret").read_bytes() == b"old"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_filters_skip_delete_and_no_clobber(tmp_path: Path, upload: bool) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for name in ("a.c", "a.o", "keep.o"):
        (here / name).write_bytes(name.encode())
    from aws_runas.ssm.copy.names import Filters

    filters = Filters(["*.o"], ["keep.o"])
    copy([here], there, upload=upload, recursive=True, preserve=True, filters=filters)
    assert sorted(os.listdir(there)) == ["a.c", "keep.o"]
    result = copy([here], there, upload=upload, into=True, recursive=True, preserve=True)
    again = copy([here], there, upload=upload, into=True, recursive=True, preserve=True)
    assert (result.progress.files_done, len(result.skipped)) == (3, 0)  # there/here is new
    assert (again.progress.files_done, len(again.skipped)) == (0, 3)
    (there / "here" / "extra").write_bytes(b"x")
    (here / "a.c").write_bytes(b"newer")
    copy([here], there, upload=upload, into=True, recursive=True, clobber=False)
    assert (there / "here" / "a.c").read_bytes() == b"a.c"
    dry = copy([here], there, upload=upload, into=True, recursive=True, delete=True, dry_run=True)
    assert any(action.startswith("delete ") for action in dry.actions)
    assert (there / "here" / "extra").exists()
    copy([here], there, upload=upload, into=True, recursive=True, delete=True)
    assert tree(there / "here") == tree(here)


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_checksum_skips_equal_content_whatever_its_time(tmp_path: Path, upload: bool) -> None:
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").write_bytes(b"same")
    result = copy([tmp_path / "a"], tmp_path / "b", upload=upload, checksum=True)
    assert len(result.skipped) == 1
    (tmp_path / "b").write_bytes(b"else")
    copy([tmp_path / "a"], tmp_path / "b", upload=upload, checksum=True)
    assert (tmp_path / "b").read_bytes() == b"same"


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_lost_session_is_replaced_and_the_file_is_whole(tmp_path: Path, upload: bool) -> None:
    data = Random(1).randbytes(8 * SEGMENT + 17)
    (tmp_path / "a").write_bytes(data)
    sessions = NearSessions(lose={1: 3})
    result = copy([tmp_path / "a"], tmp_path / "b", upload=upload, sessions=sessions)
    assert result.failures == []
    assert (tmp_path / "b").read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


class _Vanishing(NearSessions):
    """Sessions of which one is lost after an operation is done and before its reply arrives."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self._operation = operation

    async def _open(self) -> Files:
        files = await super()._open()
        server = self.servers[-1]

        def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
            if operation == self._operation:
                self._operation = ""
                server.process.kill()
                raise SessionError("the session is gone", code="session-ended")
            return reply

        return EvilFiles(files, hand)


@pytest.mark.parametrize("operation", ["part_write", "part_finish", "write_many", "attributes"])
@pytest.mark.parametrize("verify", [True, False])
def test_a_session_lost_before_its_last_reply_fails_no_file(tmp_path: Path, operation: str, verify: bool) -> None:
    here = tmp_path / "a"
    here.mkdir(mode=0o750)
    (here / "large").write_bytes(Random(6).randbytes(2 * SEGMENT + 17))
    (here / "small").write_bytes(b"small")
    sessions = _Vanishing(operation)
    target = tmp_path / "b"
    result = copy([here], target, upload=True, sessions=sessions, recursive=True, preserve=True, verify=verify)
    assert result.failures == []
    assert tree(target, modes=True) == tree(here, modes=True)


def test_a_file_that_another_one_replaced_meanwhile_is_no_success(tmp_path: Path) -> None:
    """The reply to the rename is lost; then the name holds something else: nobody can say what happened."""
    (tmp_path / "a").write_bytes(Random(7).randbytes(2 * SEGMENT))

    class Replaced(_Vanishing):
        async def add_worker(self, *, small: bool = False) -> Files:
            if (tmp_path / "b").exists():
                (tmp_path / "b").write_bytes(b"of somebody else")
            return await super().add_worker(small=small)

    result = copy([tmp_path / "a"], tmp_path / "b", upload=True, sessions=Replaced("part_finish"))
    assert len(result.failures) == 1


@pytest.mark.parametrize("operation", ["part_finish", "none"])
def test_standard_input_survives_a_session_lost_before_its_last_reply(tmp_path: Path, operation: str) -> None:
    data = Random(8).randbytes(2 * SEGMENT + 5)
    (tmp_path / "in").write_bytes(data)
    request = CopyRequest(["-"], str(tmp_path / "b"), True, False, "test")

    async def run(stdin: int) -> CopyResult:
        return await Copying(request, _Vanishing(operation), lambda _: None, lambda _: None, stdin).run()

    with open(tmp_path / "in", "rb") as stdin:
        asyncio.run(run(stdin.fileno()))
    assert (tmp_path / "b").read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["b", "in"]


def _stream(tmp_path: Path, sessions: NearSessions, *, upload: bool, notes: list[str] | None = None) -> CopyResult:
    """Copy the file "in" to "b" by way of a standard stream."""
    sides = (["-"], str(tmp_path / "b")) if upload else ([str(tmp_path / "in")], "-")
    request, said = CopyRequest(*sides, upload, False, "test"), [] if notes is None else notes

    async def run(descriptor: int) -> CopyResult:
        return await Copying(request, sessions, lambda _: None, said.append, descriptor, descriptor).run()

    with open(tmp_path / ("in" if upload else "b"), "rb" if upload else "wb") as stream:
        return asyncio.run(run(stream.fileno()))


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_stream_goes_on_in_another_session_when_one_is_lost(tmp_path: Path, upload: bool) -> None:
    data = Random(10).randbytes(9 * SEGMENT + 5)
    (tmp_path / "in").write_bytes(data)
    notes: list[str] = []
    _stream(tmp_path, NearSessions(lose={1: 2, 2: 3}), upload=upload, notes=notes)
    assert (tmp_path / "b").read_bytes() == data
    assert len(notes) == 2
    assert sorted(os.listdir(tmp_path)) == ["b", "in"]


def _damaging(times: int) -> Hand:
    """A hand that lets so many blocks arrive damaged."""
    left = [times]

    def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
        if operation not in ("part_write", "read") or not left[0]:
            return reply
        left[0] -= 1
        if operation == "part_write":
            raise copy_error("hash-differs", "a segment arrived damaged")
        return reply[0], reply[1][:-1] + bytes([reply[1][-1] ^ 1])

    return hand


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_block_of_a_stream_that_arrives_damaged_is_sent_again(tmp_path: Path, upload: bool) -> None:
    data = Random(11).randbytes(3 * SEGMENT + 5)
    (tmp_path / "in").write_bytes(data)
    _stream(tmp_path, NearSessions(_damaging(3)), upload=upload)
    assert (tmp_path / "b").read_bytes() == data


def test_standard_input_that_arrives_damaged_each_time_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(Random(12).randbytes(SEGMENT))
    (tmp_path / "b").write_bytes(b"old")
    with pytest.raises(CopyError, match="damaged") as caught:
        _stream(tmp_path, NearSessions(_damaging(100)), upload=True)
    assert caught.value.code == "hash-differs"
    assert (tmp_path / "b").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["b", "in"]


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_stream_whose_sessions_are_lost_each_time_ends_with_an_error(tmp_path: Path, upload: bool) -> None:
    (tmp_path / "in").write_bytes(Random(13).randbytes(40 * SEGMENT))
    with pytest.raises(SessionError, match="broke") as caught:
        _stream(tmp_path, NearSessions(lose=dict.fromkeys(range(1, 20), 2)), upload=upload)
    assert caught.value.code == "copy-broken"
    assert "resume" not in str(caught.value.hint).replace("cannot be resumed", "")


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_content_that_arrives_damaged_is_sent_again(tmp_path: Path, upload: bool) -> None:
    """An agent that executes a message twice damages the stream of a port session: the hash shows it."""
    here = tmp_path / "a"
    here.mkdir()
    (here / "large").write_bytes(Random(9).randbytes(4 * SEGMENT))
    (here / "small").write_bytes(b"small")
    damaged: list[str] = []

    def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
        if operation in ("part_write", "read", "write_many", "read_many") and operation not in damaged:
            damaged.append(operation)
            if operation in ("part_write", "write_many"):
                raise copy_error("hash-differs", "a segment arrived damaged")
            return reply[0], reply[1][:-1] + bytes([reply[1][-1] ^ 1])
        return reply

    sessions = NearSessions(hand)
    result = copy([here], tmp_path / "b", upload=upload, sessions=sessions, recursive=True, compress="none")
    assert len(damaged) == 2
    assert result.failures == []
    assert tree(tmp_path / "b") == tree(here)
    assert result.progress.files_done == 2


def _broken_copy(tmp_path: Path, upload: bool) -> None:
    """Every session is lost after two segments."""
    with pytest.raises(SessionError) as caught:
        copy(
            [tmp_path / "a"], tmp_path / "b", upload=upload, sessions=NearSessions(lose=dict.fromkeys(range(1, 20), 2))
        )
    assert caught.value.code == "copy-broken"


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_the_next_attempt_sends_only_what_is_missing(tmp_path: Path, upload: bool) -> None:
    data = Random(2).randbytes(12 * SEGMENT)
    (tmp_path / "a").write_bytes(data)
    _broken_copy(tmp_path, upload)
    assert not (tmp_path / "b").exists()
    result = copy([tmp_path / "a"], tmp_path / "b", upload=upload)
    assert result.progress.resumed >= 2 * SEGMENT
    assert result.progress.sent + result.progress.resumed <= len(data) + 4096
    assert (tmp_path / "b").read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_damaged_segment_is_sent_again_and_no_resume_starts_over(tmp_path: Path, upload: bool) -> None:
    data = Random(3).randbytes(12 * SEGMENT)
    (tmp_path / "a").write_bytes(data)
    _broken_copy(tmp_path, upload)
    (part,) = tmp_path.glob(".b.*.part")
    content = bytearray(part.read_bytes())
    content[5] ^= 1
    part.write_bytes(content)
    result = copy([tmp_path / "a"], tmp_path / "b", upload=upload)
    assert (tmp_path / "b").read_bytes() == data
    assert 0 < result.progress.resumed < len(data)
    (tmp_path / "b").unlink()
    _broken_copy(tmp_path, upload)
    result = copy([tmp_path / "a"], tmp_path / "b", upload=upload, resume=False)
    assert (result.progress.resumed, (tmp_path / "b").read_bytes() == data) == (0, True)


@pytest.mark.parametrize("upload", [True, False], ids=["up", "down"])
def test_a_source_that_has_changed_starts_over_and_says_so(tmp_path: Path, upload: bool) -> None:
    (tmp_path / "a").write_bytes(Random(4).randbytes(12 * SEGMENT))
    _broken_copy(tmp_path, upload)
    data = Random(5).randbytes(12 * SEGMENT)
    (tmp_path / "a").write_bytes(data)
    notes: list[str] = []
    result = copy([tmp_path / "a"], tmp_path / "b", upload=upload, notes=notes)
    assert (result.progress.resumed, (tmp_path / "b").read_bytes() == data) == (0, True)
    assert any("has changed" in note for note in notes)


@pytest.mark.parametrize("count", [1, 4])
def test_two_copies_to_one_name_leave_one_whole_file(tmp_path: Path, count: int) -> None:
    (tmp_path / "a").write_bytes(b"a" * (3 * SEGMENT))
    (tmp_path / "b").write_bytes(b"b" * (3 * SEGMENT))
    script = (
        "import sys; from pathlib import Path; from tests.integration.copy.near import copy\n"
        f"r = copy([Path(sys.argv[1])], Path({str(tmp_path / 'c')!r}), upload=True, compress='none', count={count})\n"
        "sys.exit(len(r.failures))"
    )
    words = [sys.executable, "-c", script]
    processes = [subprocess.Popen([*words, str(tmp_path / name)]) for name in ("a", "b", "a")]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    content = (tmp_path / "c").read_bytes()
    assert content in (b"a" * (3 * SEGMENT), b"b" * (3 * SEGMENT))
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


# --- a far side that lies


def _evil_download(tmp_path: Path, hand: Hand, content: bytes = b"x" * 1000, compress: str = "auto") -> CopyResult:
    (tmp_path / "far").mkdir(exist_ok=True)
    (tmp_path / "far" / "f").write_bytes(content)
    sessions = NearSessions(hand)
    return copy(
        [tmp_path / "far"], tmp_path / "here", upload=False, sessions=sessions, recursive=True, compress=compress
    )


EVIL_NAMES = ["../escaped", "/tmp/escaped-x", "a/../../escaped", "a\tb", "..", "", "\x1b[31mred"]


@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.parametrize("kind", ["file", "dir", "link"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
        if operation == "walk":
            return {}, packed([{"name": name, "kind": kind, "size": 1000, "mode": 0o644, "target": "f"}])
        return reply

    result = _evil_download(tmp_path, hand)
    assert [code for _, code, _ in result.failures] == ["name-refused"]
    assert sorted(os.listdir(tmp_path)) == ["far", "here"]
    assert os.listdir(tmp_path / "here") == []


def test_a_link_and_a_file_behind_it_do_not_lead_out(tmp_path: Path) -> None:
    """The list has a directory; by the time of writing a link is in its place."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "d").symlink_to("../outside")

    def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
        if operation == "walk":
            return {}, packed([{"name": "d/f", "kind": "file", "size": 1000, "mode": 0o644}])
        return reply

    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "d").mkdir()
    (tmp_path / "far" / "d" / "f").write_bytes(b"x" * 1000)
    result = copy([f"{tmp_path}/far/."], tmp_path / "here", upload=False, sessions=NearSessions(hand), recursive=True)
    assert [code for _, code, _ in result.failures] == ["name-refused"]
    assert os.listdir(tmp_path / "outside") == []


@pytest.mark.parametrize("kind", ["other", "fifo", "", None])
def test_devices_and_sockets_are_refused(tmp_path: Path, kind: object) -> None:
    def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
        if operation == "walk":
            return {}, packed([{"name": "f", "kind": kind, "size": 1000, "mode": 0o644}])
        return reply

    assert [code for _, code, _ in _evil_download(tmp_path, hand).failures] == ["name-refused"]


@pytest.mark.parametrize(
    "change",
    [{"size": 2000}, {"sha": "0" * 64}, {"size": -1}, {"files": [{"size": 2000}]}, {"files": [{"size": "x"}]}],
)
def test_a_wrong_size_or_hash_of_small_files_is_noticed(tmp_path: Path, change: dict[str, object]) -> None:
    def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
        return ({**reply[0], **change}, reply[1]) if operation == "read_many" else reply

    result = _evil_download(tmp_path, hand)
    assert [code for _, code, _ in result.failures] == ["hash-differs"]
    assert os.listdir(tmp_path / "here") == []


@pytest.mark.slow
def test_a_batch_that_expands_without_end_is_refused(tmp_path: Path) -> None:
    import zlib

    def hand(operation: str, _values: dict[str, object], reply: Reply) -> Reply:
        return ({**reply[0], "packed": True}, zlib.compress(bytes(50 << 20))) if operation == "read_many" else reply

    assert [code for _, code, _ in _evil_download(tmp_path, hand).failures] == ["hash-differs"]


@pytest.mark.parametrize(
    ("operation", "change"),
    [("read", {"sha": "0" * 64}), ("read", {"size": 5}), ("hash", {"sha": "0" * 64})],
)
def test_a_wrong_size_or_hash_of_a_large_file_is_noticed(
    tmp_path: Path, operation: str, change: dict[str, object]
) -> None:
    def hand(called: str, _values: dict[str, object], reply: Reply) -> Reply:
        return ({**reply[0], **change}, reply[1]) if called == operation else reply

    result = _evil_download(tmp_path, hand, Random(1).randbytes(2 * SEGMENT))
    assert {code for _, code, _ in result.failures} <= {"hash-differs", "file-changed"}
    assert result.failures
    assert not (tmp_path / "here" / "f").exists()


def test_a_file_that_changes_while_it_is_copied_is_not_taken(tmp_path: Path) -> None:
    def hand(operation: str, values: dict[str, object], reply: Reply) -> Reply:
        if operation == "read" and values.get("offset") == 0:
            (tmp_path / "far" / "f").write_bytes(b"y" * SEGMENT * 2)
        return reply

    result = _evil_download(tmp_path, hand, Random(1).randbytes(2 * SEGMENT), compress="none")
    assert {code for _, code, _ in result.failures} <= {"file-changed", "hash-differs"}
    assert result.failures
    assert not (tmp_path / "here" / "f").exists()


CHANGES = {
    "vanishes": "rm f",
    "grows": "echo x >>f",
    "shrinks": "truncate -s 100 f",
    "becomes a directory": "rm f; mkdir f",
    "becomes a link": "rm f; ln -s /etc/passwd f",
    "becomes a pipe": "rm f; mkfifo f",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_large_source_that_changes_is_one_failure_that_names_the_unfinished_file(tmp_path: Path, change: str) -> None:
    def hand(operation: str, values: dict[str, object], reply: Reply) -> Reply:
        if operation == "read" and values.get("offset") == 0:
            subprocess.run(["sh", "-c", change], cwd=tmp_path / "far", check=True)
        return reply

    result = _evil_download(tmp_path, hand, Random(1).randbytes(5 * SEGMENT), compress="none")
    ((name, _, text),) = result.failures
    assert name == str(tmp_path / "far" / "f")
    assert Path(text.partition("the unfinished file is ")[2]).is_file()
    assert not (tmp_path / "here" / "f").exists()


def test_a_target_directory_that_goes_away_is_one_failure(tmp_path: Path) -> None:
    def hand(operation: str, values: dict[str, object], reply: Reply) -> Reply:
        if operation == "read" and values.get("offset") == 0:
            (tmp_path / "here").rename(tmp_path / "elsewhere")
        return reply

    result = _evil_download(tmp_path, hand, Random(1).randbytes(5 * SEGMENT), compress="none")
    ((name, _, text),) = result.failures
    assert name == str(tmp_path / "here" / "f")
    assert text == "no such file or directory"


@pytest.mark.parametrize("reply", [({}, b"x"), ({"files": 3}, b""), ({"files": []}, b"")])
def test_a_damaged_reply_ends_the_transfer(tmp_path: Path, reply: Reply) -> None:
    def hand(operation: str, _values: dict[str, object], honest: Reply) -> Reply:
        return reply if operation == "read_many" else honest

    with pytest.raises(SessionError):
        _evil_download(tmp_path, hand)


# --- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    mount = requires.program("mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no permission to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run([requires.program("umount"), str(folder)], check=True)


def test_a_full_disk_is_said_before_a_large_file_is_sent(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(5 * SEGMENT))
    result = copy([tmp_path / "a"], small_disk / "a", upload=True)
    assert [code for _, code, _ in result.failures] == ["no-space"]
    assert result.progress.sent == 0
    assert os.listdir(small_disk) == []


def test_small_files_on_a_full_disk_leave_whole_files_only(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(12):
        (tmp_path / "many" / str(number)).write_bytes(Random(number).randbytes(200_000))
    result = copy([tmp_path / "many"], small_disk, upload=True, recursive=True)
    assert {code for _, code, _ in result.failures} == {"no-space"}
    left = list((small_disk / "many").iterdir())
    assert len(left) + len(result.failures) == 12
    assert all(path.read_bytes() == (tmp_path / "many" / path.name).read_bytes() for path in left)


def test_standard_input_on_a_full_disk_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(Random(14).randbytes(9 * SEGMENT))
    request = CopyRequest(["-"], str(small_disk / "b"), True, False, "test")

    async def run(stdin: int) -> CopyResult:
        return await Copying(request, NearSessions(), lambda _: None, lambda _: None, stdin).run()

    with open(tmp_path / "in", "rb") as stdin, pytest.raises(CopyError) as caught:
        asyncio.run(run(stdin.fileno()))
    assert caught.value.code == "no-space"
    assert os.listdir(small_disk) == []


def test_a_directory_that_is_not_there_is_one_failure(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    result = copy([tmp_path / "a"], tmp_path / "missing" / "b", upload=True)
    assert len(result.failures) == 1
    assert "no such file" in result.failures[0][2]


def test_files_of_proc_are_read_to_their_end(tmp_path: Path) -> None:
    copy(["/proc/self/mounts"], tmp_path / "m", upload=False)
    assert (tmp_path / "m").read_bytes()


# --- the listener on the instance


def test_the_listener_wants_its_token_and_closes_after_three_wrong_ones() -> None:
    async def run() -> tuple[bytes, list[bytes]]:
        sessions = NearSessions()
        try:
            files = await sessions.start()
            token = bytes(range(32))
            values, _ = await files.call("listen", {"token": token.hex()})
            port = values["port"]
            assert isinstance(port, int)

            async def ask(given: bytes) -> bytes:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(given + b'13 0\n{"op":"info"}')
                await writer.drain()
                try:
                    return await reader.readline()
                except ConnectionError:
                    return b""
                finally:
                    writer.close()
                    with suppress(ConnectionError):
                        await writer.wait_closed()

            good = await ask(token)
            bad = [await ask(bytes(32)) for _ in range(3)]
            with pytest.raises(OSError, match="Connect call failed"):
                await asyncio.open_connection("127.0.0.1", port)
            return good, bad
        finally:
            await sessions.close()

    good, bad = asyncio.run(run())
    assert good
    assert bad == [b"", b"", b""]


@pytest.mark.parametrize(("version", "python"), installed_pythons().items())
def test_the_file_server_runs_with_every_python_of_this_machine(version: str, python: str) -> None:
    done = subprocess.run(
        [python, "-I", "-S", str(SERVER)], input=b'13 0\n{"op":"info"}', capture_output=True, check=True, timeout=30
    )
    assert f'"python": "{version}.'.encode() in done.stdout
