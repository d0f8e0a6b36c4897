"""Private files and locks."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_runas import files
from aws_runas.fleet.records import RunRecords
from aws_runas.ssm.records import SessionRecords


def test_directories_are_private_with_their_missing_parents(tmp_path: Path) -> None:
    files.make_private_directory(tmp_path / "a" / "b")
    files.make_private_directory(tmp_path / "a" / "b")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]


def test_a_file_is_replaced_whole_and_a_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("before")
    real.chmod(0o640)
    link.symlink_to(real)
    files.write_atomic(link, b"after")
    assert link.is_symlink()
    assert real.read_text() == "after"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_what_is_no_plain_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a plain file"):
        files.write_atomic(tmp_path / "pipe", b"")
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, b"after")
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_threads_hold_a_lock_one_after_the_other(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with files.lock(tmp_path / "lock"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 16
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600


def test_a_wait_with_an_end_ends(tmp_path: Path) -> None:
    with files.lock(tmp_path / "lock"), pytest.raises(TimeoutError), files.lock(tmp_path / "lock", timeout=0.1):
        pytest.fail("both hold it")
    with files.lock(tmp_path / "lock", timeout=0):
        pass


def test_a_wait_ends_when_the_lock_is_not_wanted_any_more(tmp_path: Path) -> None:
    answers = iter([False, False, True])
    with files.lock(tmp_path / "lock"), files.lock(tmp_path / "lock", timeout=60, unless=lambda: next(answers)):
        with pytest.raises(TimeoutError), files.lock(tmp_path / "lock", timeout=0):
            pytest.fail("it is still held")
        assert next(answers, None) is None


def test_a_lock_that_is_free_is_taken_without_asking(tmp_path: Path) -> None:
    with (
        files.lock(tmp_path / "lock", timeout=60, unless=lambda: pytest.fail("asked")),
        pytest.raises(TimeoutError),
        files.lock(tmp_path / "lock", timeout=0),
    ):
        pytest.fail("both hold it")


def test_the_lock_of_a_process_that_dies_is_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from aws_runas import files\n"
        "with files.lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(TimeoutError), files.lock(tmp_path / "lock", timeout=0):
        pytest.fail("both hold it")
    holder.kill()
    holder.communicate()
    with files.lock(tmp_path / "lock"):
        pass


def test_a_lock_file_removed_meanwhile_is_locked_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    waiting, done = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        with files.lock(path):
            assert path.exists()
        done.set()

    with files.lock(path):
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait(10)
        path.unlink()
    assert done.wait(10)
    thread.join()


def test_a_lock_file_in_use_is_not_old(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("")
    os.utime(path, (0, 0))
    with files.lock(path):
        assert path.stat().st_mtime > 0


def test_a_lock_that_cannot_be_had_is_an_error_and_no_wait(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"), files.lock(tmp_path / "lock"):
        pytest.fail("held through a link")
    with pytest.raises(OSError, match="directory"), files.lock(tmp_path / "none" / "lock"):
        pytest.fail("held nowhere")


# --- directories that other users can change


OTHER = 12345  # a user id that nobody here has
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def _refusal(path: Path) -> str:
    with pytest.raises(OSError) as error:
        files.open_private_directory(path).close()
    return error.value.strerror or ""


def test_a_directory_is_made_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    files.open_private_directory(tmp_path / "a" / "b").close()
    os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]


def test_a_directory_open_to_others_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert _refusal(tmp_path) == "it is open to other users"
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_a_device_and_a_file_are_no_directories(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (Path("/dev/null"), Path("/dev/null/x"), tmp_path / "file", tmp_path / "file" / "x"):
        assert _refusal(path) == "Not a directory"


def test_links_of_this_user_are_followed_up_and_down(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True, mode=0o700)
    (tmp_path / "up").symlink_to("real/deep/../deep")
    (tmp_path / "far").symlink_to(tmp_path / "up")
    with files.open_private_directory(tmp_path / "far" / "new") as directory:
        directory.write("file", b"content")
    assert (tmp_path / "real" / "deep" / "new" / "file").read_bytes() == b"content"


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert _refusal(tmp_path / "a") == "Too many levels of symbolic links"


@needs_root
def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    os.chown(tmp_path / "link", OTHER, OTHER, follow_symlinks=False)
    assert _refusal(tmp_path / "link") == "a symbolic link of another user leads there"
    assert _refusal(tmp_path / "link" / "new") == "a symbolic link of another user leads there"
    assert list((tmp_path / "real").iterdir()) == []


@needs_root
def test_root_makes_and_opens_nothing_below_a_directory_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "theirs" / "roots").mkdir(parents=True, mode=0o700)
    os.chown(tmp_path / "theirs", OTHER, OTHER)
    assert _refusal(tmp_path / "theirs") == "it belongs to another user"
    assert _refusal(tmp_path / "theirs" / "roots") == "it is below a directory of another user"
    assert _refusal(tmp_path / "theirs" / "new") == "it is below a directory of another user"
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["roots"]


def test_a_directory_that_is_exchanged_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    with files.open_private_directory(tmp_path / "ours") as directory:
        (tmp_path / "ours").rename(tmp_path / "moved")
        (tmp_path / "ours").symlink_to("theirs")
        directory.write("file", b"secret")
        with files.lock(directory.path / "lock", within=directory):
            pass
    assert list((tmp_path / "theirs").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "moved").iterdir()) == ["file", "lock"]


# --- who may read a file that is replaced


@needs_root
def test_owner_and_group_of_a_replaced_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o640)
    os.chown(path, OTHER, OTHER + 1)
    files.write_atomic(path, b"after")
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (OTHER, OTHER + 1, 0o640)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory of another user, which that user can reach; the directories of pytest are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, OTHER, OTHER)
        yield Path(name)


AS_ANOTHER_USER = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import encodings.idna, tempfile
from aws_runas import files
os.setgroups([]); os.setgid(12345); os.setuid(12345)
try:
    files.write_atomic(Path(sys.argv[1]), b"after")
except OSError as error:
    print(error.strerror)
"""


@needs_root
@pytest.mark.parametrize(
    ("owner", "group", "mode", "outcome"),
    [
        (OTHER, OTHER + 1, 0o640, "its group cannot be kept\n"),
        (OTHER, OTHER + 1, 0o600, ""),  # a group that may do nothing can be lost
        (OTHER + 1, OTHER, 0o600, "its owner cannot be kept\n"),
        (OTHER, OTHER, 0o644, ""),
    ],
)
def test_a_file_whose_readers_would_change_is_not_replaced(
    reachable: Path, owner: int, group: int, mode: int, outcome: str
) -> None:
    path = reachable / "file"
    path.write_text("before")
    path.chmod(mode)
    os.chown(path, owner, group)
    source = str(Path(files.__file__).parent.parent)
    ran = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER, str(path), source], capture_output=True, text=True, check=True
    )
    assert ran.stdout == outcome
    assert path.read_text() == ("before" if outcome else "after")
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (owner, mode)
    assert [entry.name for entry in reachable.iterdir()] == ["file"]


def _access_list(path: Path) -> bytes | None:
    try:
        return os.getxattr(path, files.ACCESS_LIST)
    except OSError:
        return None


# version 2; u::rw-, u:12345:r--, g::---, mask::r--, o::---, as setfacl(1) writes it
ACCESS_LIST = bytes.fromhex(
    "02000000 0100 0600 ffffffff 0200 0400 39300000 0400 0000 ffffffff 1000 0400 ffffffff 2000 0000 ffffffff"
)


def _with_access_list(path: Path, name: str) -> None:
    try:
        os.setxattr(path, name, ACCESS_LIST)
    except OSError as error:
        pytest.skip(f"this file system has no access lists: {error.strerror}")


def test_the_access_list_of_a_replaced_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    _with_access_list(path, files.ACCESS_LIST)
    before = (_access_list(path), path.stat().st_mode)
    files.write_atomic(path, b"after")
    assert (_access_list(path), path.stat().st_mode) == before
    assert path.read_text() == "after"


def test_the_directory_gives_a_replaced_file_no_new_readers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o640)
    _with_access_list(tmp_path, "system.posix_acl_default")
    files.write_atomic(path, b"after")
    assert _access_list(path) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFOs are POSIX")
def test_a_pipe_in_place_of_a_file_of_ours_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(OSError, match="not a plain file"):
        files.read_plain(tmp_path / "pipe.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert SessionRecords(tmp_path).read() == {}
    assert list(RunRecords(tmp_path).all()) == []


def test_no_file_of_ours_is_read_in_a_way_that_waits() -> None:
    """Files that the user names may be pipes, such as those of ``<(...)``; the ones below are ours or the kernel's."""
    allowed = {
        "cli/commands/fleet/run.py",  # --on @FILE, --script
        "cli/session/ssh_keys.py",
        "cli/commands/tunnels/client.py",  # the log, after the process has ended
        "config/chain.py",
        "config/files.py",
        "config/roles.py",
        "config/tunnels.py",
        "serve/app.py",
        "signin/oidc_sign_in.py",
        "socket_owner.py",
        "ssm/copy/files.py",  # the source of our own helper
        "ssm/records.py",  # /proc
    }
    source = Path(files.__file__).parent
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if ".read_bytes()" in path.read_text("utf-8") or re.search(r"\w\.read_text\(", path.read_text("utf-8"))
    }
    assert {name for name in found if not name.startswith("sandbox/")} <= allowed


def test_a_named_file_may_be_a_pipe_and_is_not_read_for_ever(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"12345678")
    assert files.read_named(tmp_path / "plain", 8) == b"12345678"
    with pytest.raises(OSError, match="larger than"):
        files.read_named(tmp_path / "plain", 7)
    with pytest.raises(OSError, match="larger than 16 MiB"):
        files.read_named(Path("/dev/zero"))
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe")
    os.close(writing)
    assert files.read_named(Path(f"/dev/fd/{reading}")) == b"from a pipe"
    os.close(reading)


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "free some space"), (errno.EACCES, "chmod")]
)
def test_a_full_disk_is_not_fixed_by_permissions(number: int, hint: str) -> None:
    assert files.write_hint(OSError(number, "no"), "chmod") == hint


def test_a_file_that_another_process_removes_meanwhile_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`logout` beside a refresh, for example: each look may be the last that sees the file."""
    stat_ = Path.stat

    def late(path: Path, **values: bool) -> os.stat_result:
        try:
            return stat_(path, **values)
        finally:
            if path == tmp_path / "file":
                path.unlink(missing_ok=True)

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(Path, "stat", late)
    files.write_atomic(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"new"
