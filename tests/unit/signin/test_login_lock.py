"""One sign-in for many, and the mark of one that failed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from aws_runas.errors import CredentialsError
from aws_runas.signin import login_lock
from aws_runas.signin.login_lock import LoginLock


class Session:
    """Stands for what a sign-in leaves behind, and counts the sign-ins."""

    def __init__(self) -> None:
        self.value: str | None = None
        self.fetched = 0

    def read(self) -> str | None:
        return self.value

    def fetch(self) -> str:
        self.fetched += 1
        self.value = f"token {self.fetched}"
        return self.value


def fail(code: str) -> str:
    raise CredentialsError("no", code=code)


def lock_of(path: Path, lines: list[str] | None = None, name: str = "corp") -> LoginLock:
    said = lines if lines is not None else []
    return LoginLock(path / "cache", "sso", name, said.append)


def test_many_at_once_sign_in_once(tmp_path: Path) -> None:
    session = Session()
    results: list[str] = []
    barrier = threading.Barrier(20)

    def one() -> None:
        barrier.wait()
        results.append(lock_of(tmp_path).sign_in(session.read, session.fetch, command="login"))

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.fetched == 1
    assert results == ["token 1"] * 20


def test_those_who_wait_say_so_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_lock, "PATIENCE", 0.0)
    session = Session()
    lines: list[str] = []
    with lock_of(tmp_path).hold():

        def say(line: str) -> None:
            lines.append(line)
            session.fetch()  # the holder is done meanwhile

        waiting = LoginLock(tmp_path / "cache", "sso", "corp", say)
        assert waiting.sign_in(session.read, session.fetch, command="login") == "token 1"
    assert lines == ["another aws-runas is signing in to corp; waiting for it"]


@pytest.mark.parametrize("code", ["login-denied", "login-timeout", "login-state-mismatch"])
def test_after_a_refusal_others_fail_for_a_minute(tmp_path: Path, code: str) -> None:
    session = Session()
    lock = lock_of(tmp_path)
    with pytest.raises(CredentialsError, match="no"):
        lock.sign_in(session.read, lambda: fail(code), command="login")
    with pytest.raises(CredentialsError) as caught:
        lock.sign_in(session.read, session.fetch, command="aws-runas login")
    assert caught.value.code == "login-needed"
    assert caught.value.hint == "run: aws-runas login"
    assert lock_of(tmp_path, name="other").sign_in(session.read, session.fetch, command="login") == "token 1"


def test_the_mark_ends_after_a_minute(tmp_path: Path) -> None:
    session = Session()
    lock = lock_of(tmp_path)
    with pytest.raises(CredentialsError):
        lock.sign_in(session.read, lambda: fail("login-timeout"), command="login")
    mark = next((tmp_path / "cache").glob("login-*.json"))
    status = mark.stat()
    os.utime(mark, (status.st_atime - 61, status.st_mtime - 61))
    assert lock.sign_in(session.read, session.fetch, command="login") == "token 1"


def test_a_person_who_asks_for_it_signs_in_again_at_once(tmp_path: Path) -> None:
    session = Session()
    lock = lock_of(tmp_path)
    with pytest.raises(CredentialsError):
        lock.sign_in(session.read, lambda: fail("login-denied"), command="login")
    assert lock.sign_in(session.read, session.fetch, command="login", explicit=True) == "token 1"
    session.value = None
    assert lock.sign_in(session.read, session.fetch, command="login") == "token 2"  # the mark is gone


def test_other_errors_leave_no_mark(tmp_path: Path) -> None:
    session = Session()
    lock = lock_of(tmp_path)
    with pytest.raises(CredentialsError):
        lock.sign_in(session.read, lambda: fail("endpoint-unreachable"), command="login")
    assert lock.sign_in(session.read, session.fetch, command="login") == "token 1"


def test_without_a_cache_directory_it_signs_in_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    session = Session()
    lines: list[str] = []
    assert lock_of(tmp_path, lines).sign_in(session.read, session.fetch, command="login") == "token 1"
    assert "continuing without a lock" in lines[0]
