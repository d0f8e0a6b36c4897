"""Unix sockets whose path other processes take or give back at the same moment.

The other process is a thread here: its lock and its sockets are its own, and it acts at the worst moment.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from aws_runas import files, unix_socket
from aws_runas.errors import SessionError
from aws_runas.ssm.forward.destination import LocalAddress
from aws_runas.ssm.forward.listener import bind
from aws_runas.unix_socket import UnixListener


class OtherStart:
    """Another process that listens on a path, until it has done so, or has to wait for a lock."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listener: UnixListener | None = None
        self.error: OSError | None = None
        self._path = str(path)
        self._paused = threading.Event()
        self._thread: threading.Thread | None = None
        monkeypatch.setattr("aws_runas.files.time.sleep", lambda _: self._paused.set())

    def begin(self) -> None:
        """Start once, and return when it is done or waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen)
            self._thread.start()
            assert self._paused.wait(60)

    def finish(self) -> None:
        """Wait until it is done."""
        assert self._thread is not None
        self._thread.join(60)

    def _listen(self) -> None:
        try:
            self.listener = unix_socket.listen(self._path)
        except OSError as error:
            self.error = error
        self._paused.set()


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OtherStart:
    monkeypatch.setattr(unix_socket, "LOCK_TIMEOUT", 60.0)
    return OtherStart(tmp_path / "s", monkeypatch)


def before_unlink(act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = os.unlink

    def late(path: str) -> None:
        act()
        unlink(path)

    monkeypatch.setattr(os, "unlink", late)


def leave_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))


def reaches(path: Path, listener: socket.socket) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
        listener.settimeout(0)
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return False
    return True


def test_of_two_starts_that_find_a_stale_socket_one_listens_and_the_other_is_refused(
    tmp_path: Path, other: OtherStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_stale(tmp_path / "s")
    before_unlink(other.begin, monkeypatch)
    ours = unix_socket.listen(str(tmp_path / "s"))
    other.finish()
    assert other.error is not None
    assert other.error.errno == errno.EADDRINUSE
    assert reaches(tmp_path / "s", ours.socket)
    ours.socket.close()


def test_a_start_keeps_its_file_while_the_process_before_it_ends(
    tmp_path: Path, other: OtherStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process may even get the inode of ours, which was removed."""
    forward = bind(LocalAddress(path=str(tmp_path / "s")))
    before_unlink(other.begin, monkeypatch)
    forward.release()
    other.finish()
    assert other.listener is not None
    assert reaches(tmp_path / "s", other.listener.socket)
    other.listener.socket.close()


def test_a_file_that_another_process_has_put_there_stays(tmp_path: Path) -> None:
    ours = unix_socket.listen(str(tmp_path / "s"))
    (tmp_path / "s").unlink()
    other = unix_socket.listen(str(tmp_path / "s"))
    ours.remove_file()
    ours.socket.close()
    assert reaches(tmp_path / "s", other.socket)
    other.remove_file()
    other.remove_file()
    other.socket.close()
    assert not (tmp_path / "s").exists()


def test_a_forward_whose_session_is_not_open_yet_keeps_its_socket(tmp_path: Path) -> None:
    address = LocalAddress(path=str(tmp_path / "s"))
    first = bind(address)
    with pytest.raises(SessionError, match="in use already"):
        bind(address)
    first.release()
    bind(address).release()


def test_a_socket_that_nobody_reads_is_not_stale(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(tmp_path / "s"))
        busy.listen(0)
        waiting.connect(str(tmp_path / "s"))  # the queue is full now
        with pytest.raises(OSError, match="in use"):
            unix_socket.listen(str(tmp_path / "s"))
    assert (tmp_path / "s").exists()


def test_a_directory_that_somebody_keeps_locked_delays_a_start_and_stops_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_socket, "LOCK_TIMEOUT", 0.0)
    with files.directory_lock(str(tmp_path), 60):
        listener = unix_socket.listen(str(tmp_path / "s"))
        assert reaches(tmp_path / "s", listener.socket)
        listener.socket.close()


def test_a_socket_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with unix_socket.listen(str(tmp_path / "s")).socket:
            assert stat.S_IMODE((tmp_path / "s").lstat().st_mode) == 0o600
        assert os.umask(0) == 0
    finally:
        os.umask(before)


def test_another_file_stays_and_so_does_the_umask(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    before = os.umask(0o022)
    try:
        with pytest.raises(OSError, match="in use"):
            unix_socket.listen(str(tmp_path / "s"))
        assert os.umask(0) == 0o022
        assert (tmp_path / "s").is_file()
    finally:
        os.umask(before)
