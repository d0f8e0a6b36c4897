"""Private files and locks."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aws_runas import files


def test_directories_are_private_with_their_missing_parents(tmp_path: Path) -> None:
    files.make_private_directory(tmp_path / "a" / "b")
    files.make_private_directory(tmp_path / "a" / "b")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]


def test_a_file_is_replaced_whole_and_a_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("before")
    link.symlink_to(real)
    files.write_atomic(link, b"after")
    assert link.is_symlink()
    assert real.read_text() == "after"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
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
