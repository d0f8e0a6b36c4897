"""The encrypted keyring file: private, one writer at a time, and a wrong passphrase is not a damaged file."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from aws_runas.errors import CredentialsError
from aws_runas.store.file import FileStore

CHEAP = (2**4, 8, 1)
SECRET = "canary-secret-value"


def no_terminal(_: str) -> str:
    raise CredentialsError("no terminal", code="keyring-locked")


def open_file(path: Path, passphrase: str = "right") -> FileStore:
    return FileStore(path, passphrase, no_terminal, CHEAP)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aws-runas" / "keyring"


def error_of(store: FileStore) -> CredentialsError:
    with pytest.raises(CredentialsError) as caught:
        store.read("keys/dev")
    return caught.value


def outcome(path: Path) -> str | None:
    """The value that is read, or the code of the error."""
    try:
        return open_file(path).read("keys/dev")
    except CredentialsError as error:
        return error.code


def test_an_item_is_read_by_another_process_of_the_same_passphrase(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    assert open_file(path).read("keys/dev") == SECRET
    assert open_file(path).read("keys/other") is None


def test_a_missing_file_has_no_items_and_is_not_made_by_reading(path: Path) -> None:
    assert open_file(path).read("keys/dev") is None
    assert not open_file(path).remove("keys/dev")
    assert not path.exists()


def test_the_file_is_private_and_holds_no_secret_and_no_name(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    content = path.read_bytes()
    assert SECRET.encode() not in content
    assert b"keys/dev" not in content


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    path.chmod(0o644)
    assert error_of(open_file(path)).code == "keyring-denied"


def test_a_wrong_passphrase_is_told_from_damage(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    assert error_of(open_file(path, "wrong")).code == "keyring-passphrase-wrong"
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        assert error_of(open_file(path)).code == "keyring-damaged", size
    values = json.loads(whole)
    values["Data"] = values["Data"][:-8] + "AAAAAAA="
    path.write_text(json.dumps(values))
    assert error_of(open_file(path)).code == "keyring-damaged"


def test_a_file_of_a_later_version_is_not_called_damaged_and_stays(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    path.write_text(json.dumps({"Version": 2, "Argon2": [1], "Data": "..."}))
    before = path.read_bytes()
    assert error_of(open_file(path)).code == "keyring-newer"
    with pytest.raises(CredentialsError, match="version 2"):
        open_file(path).write("keys/dev", SECRET)
    assert path.read_bytes() == before


def test_every_changed_byte_is_noticed(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    whole = path.read_bytes()
    for index in range(0, len(whole), 7):
        changed = whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :]
        path.write_bytes(changed)
        assert outcome(path) in ("keyring-damaged", SECRET)  # the second where the byte has no meaning, such as a blank


def test_a_file_that_asks_for_too_much_memory_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    FileStore(path, "right", no_terminal, CHEAP).write("keys/dev", SECRET)
    from aws_runas.store import file

    values = json.loads(path.read_text())
    values["Scrypt"] = [2**30, 8, 1]
    del values["Checksum"]
    path.write_text(json.dumps(values | {"Checksum": file._checksum(values)}))
    assert error_of(open_file(path)).code == "keyring-damaged"


def test_the_passphrase_is_asked_three_times_and_then_kept(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    asked: list[str] = []
    answers = iter(["bad", "worse", "right"])

    def ask(question: str) -> str:
        asked.append(question)
        return next(answers)

    store = FileStore(path, None, ask, CHEAP)
    assert store.read("keys/dev") == SECRET
    store.write("keys/other", "x")
    assert store.read("keys/other") == "x"
    assert len(asked) == 3
    assert "wrong" in asked[1].lower()


def test_a_fourth_wrong_passphrase_is_not_asked_for(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "bad"

    assert error_of(FileStore(path, None, ask, CHEAP)).code == "keyring-passphrase-wrong"
    assert len(asked) == 3


def test_a_new_passphrase_is_typed_twice(path: Path) -> None:
    answers = iter(["new", "newer"])
    with pytest.raises(CredentialsError):
        FileStore(path, None, lambda _: next(answers), CHEAP).write("keys/dev", SECRET)
    assert not path.exists()
    answers = iter(["new", "new"])
    FileStore(path, None, lambda _: next(answers), CHEAP).write("keys/dev", SECRET)
    assert open_file(path, "new").read("keys/dev") == SECRET


def test_a_wrong_passphrase_changes_nothing(path: Path) -> None:
    open_file(path).write("keys/dev", SECRET)
    before = path.read_bytes()
    with pytest.raises(CredentialsError):
        open_file(path, "wrong").write("keys/dev", "other")
    assert path.read_bytes() == before


def _write_many(path: str, number: int) -> None:
    store = open_file(Path(path))
    for index in range(10):
        store.write(f"keys/{number}-{index}", "x")


def test_two_writers_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(str(path), number)) for number in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = open_file(path)
    for number in range(2):
        for index in range(10):
            assert store.read(f"keys/{number}-{index}") == "x"


def test_no_repr_shows_a_secret(path: Path) -> None:
    store = open_file(path, "canary-passphrase")
    store.write("keys/dev", SECRET)
    assert "canary" not in repr(store) + repr(store._key) + repr(vars(store).get("_key"))


def test_a_full_disk_leaves_the_old_content(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_file(path).write("keys/dev", SECRET)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", _no_space)
        with pytest.raises(CredentialsError) as caught:
            open_file(path).write("keys/dev", "other")
    assert caught.value.code == "keyring-failed"
    assert open_file(path).read("keys/dev") == SECRET
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["keyring", "keyring.lock"]


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")
