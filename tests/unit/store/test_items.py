"""Values of items, and which keyring is chosen."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError
from aws_runas.store import library
from aws_runas.store.choose import keyring_directory, open_store
from aws_runas.store.file import FileStore
from aws_runas.store.items import (
    KeyPair,
    StoredKeys,
    password_name,
    read_keys,
    read_password,
    remove_password,
    write_keys,
    write_password,
)
from aws_runas.store.password_store import item_path

OLD, NEW = KeyPair("AKIAOLD", "canary-old"), KeyPair("AKIANEW", "canary-new")


class Memory:
    """A keyring in memory; ``forgetful`` gives back something else than it was given."""

    label = "the test keyring"

    def __init__(self, *, forgetful: bool = False) -> None:
        self.items: dict[str, str] = {}
        self._forgetful = forgetful

    def read(self, user: str) -> str | None:
        return self.items.get(user)

    def write(self, user: str, value: str) -> None:
        if not self._forgetful:
            self.items[user] = value

    def remove(self, user: str) -> bool:
        return self.items.pop(user, None) is not None


def test_an_item_of_a_later_version_is_not_called_damaged() -> None:
    store = Memory()
    store.items["keys/dev"] = '{"Version": 2, "Keys": []}'
    with pytest.raises(CredentialsError, match="version 2") as caught:
        read_keys(store, "dev")
    assert caught.value.code == "keyring-newer"


def test_keys_come_back_with_the_pair_that_a_rotation_replaces() -> None:
    store = Memory()
    write_keys(store, "dev", StoredKeys(NEW, OLD))
    found = read_keys(store, "dev")
    assert found == StoredKeys(NEW, OLD)
    assert found is not None
    assert found.pair("AKIAOLD") == OLD
    assert found.pair("AKIANEW") == found.pair("AKIAELSE") == found.pair(None) == NEW
    assert json.loads(store.items["keys/dev"])["Version"] == 1


def test_what_is_stored_is_read_back_and_compared() -> None:
    with pytest.raises(CredentialsError) as caught:
        write_keys(Memory(forgetful=True), "dev", StoredKeys(NEW))
    assert caught.value.code == "keyring-failed"


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"Version": 0}', '{"Version": 1, "AccessKeyId": 3}', "[" * 9999]
)
def test_a_damaged_item_is_an_error(text: str) -> None:
    store = Memory()
    store.items["keys/dev"] = text
    with pytest.raises(CredentialsError) as caught:
        read_keys(store, "dev")
    assert caught.value.code == "keyring-damaged"


def test_no_repr_shows_a_secret() -> None:
    assert "canary" not in repr(StoredKeys(NEW, OLD))


def test_passwords_are_items_of_address_and_user() -> None:
    store = Memory()
    write_password(store, "https://idp.example/saml", "jo", "pw")
    assert (
        list(store.items)
        == [password_name("https://idp.example/saml", "jo")]
        == ["password/https://idp.example/saml#jo"]
    )
    assert read_password(store, "https://idp.example/saml", "jo") == "pw"
    assert read_password(store, "https://idp.example/saml", "ann") is None
    assert remove_password(store, "https://idp.example/saml", "jo")
    assert not remove_password(store, "https://idp.example/saml", "jo")


def test_paths_of_pass_hold_one_level_for_each_item() -> None:
    assert item_path("keys/my profile") == "aws-runas/keys/my profile"
    assert item_path("password/https://a/../b#jo").count("/") == 2


def never(_: str) -> str:
    raise AssertionError("nobody is asked")


def test_an_unknown_keyring_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store({"RUNAS_KEYRING": "vault"}, tmp_path, never)
    assert caught.value.code == "keyring-unknown"
    assert "secret-service" in (caught.value.hint or "")


def test_the_file_is_beside_the_config_file(tmp_path: Path) -> None:
    assert keyring_directory(tmp_path / "config", tmp_path / "home") == tmp_path / "aws-runas"
    assert keyring_directory(Path("/dev/null"), tmp_path) == tmp_path / ".aws" / "aws-runas"
    store = open_store({"RUNAS_KEYRING": "file"}, tmp_path, never)
    assert isinstance(store, FileStore)
    assert store.path == tmp_path / "keyring"


def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> str:
    """A module with a backend class of a user, on the path."""
    name = f"backend_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(f"from keyring.backend import KeyringBackend\n{body}")
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}.Backend"


MEMORY_BACKEND = """
class Backend(KeyringBackend):
    priority = 1
    items = {}
    def get_password(self, service, username):
        return self.items.get((service, username))
    def set_password(self, service, username, password):
        self.items[service, username] = password
    def delete_password(self, service, username):
        del self.items[service, username]
"""


FAILING_BACKEND = """
import keyring.errors
class Backend(KeyringBackend):
    priority = 1
    def get_password(self, *_):
        raise {raised}
    set_password = delete_password = get_password
"""


def _open(tmp_path: Path, path: str) -> AwsRunasError | None:
    try:
        open_store({"RUNAS_KEYRING": path}, tmp_path, never).read("keys/dev")
    except AwsRunasError as error:
        return error
    return None


def test_a_backend_class_of_the_user_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store({"RUNAS_KEYRING": _module(tmp_path, monkeypatch, MEMORY_BACKEND)}, tmp_path, never)
    write_keys(store, "dev", StoredKeys(NEW))
    assert read_keys(store, "dev") == StoredKeys(NEW)
    assert store.remove("keys/dev")
    assert not store.remove("keys/dev")


@pytest.mark.parametrize(
    "body",
    [
        "class PlaintextKeyring(KeyringBackend):\n    priority = 1\nclass Backend(PlaintextKeyring):\n    pass\n",
        "from keyring.backends.null import Keyring as Backend\n",
        "from keyring.backends.fail import Keyring as Backend\n",
        "class Backend:\n    pass\n",
        "raise ValueError('no')\n",
        "",
    ],
)
def test_a_backend_without_encryption_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    error = _open(tmp_path, _module(tmp_path, monkeypatch, body))
    assert error is not None
    assert error.code == "keyring-unknown"
    assert error.hint == "name the MODULE.CLASS of a keyring backend that encrypts, or file or pass"


@pytest.mark.parametrize(
    ("raised", "environ", "code"),
    [
        ("keyring.errors.KeyringLocked('x')", {}, "keyring-locked"),
        ("keyring.errors.KeyringLocked('x')", {"DISPLAY": ":0"}, "keyring-denied"),
        ("keyring.errors.NoKeyringError('x')", {}, "keyring-missing"),
        ("keyring.errors.PasswordSetError('x')", {}, "keyring-failed"),
        ("OSError('broken pipe')", {}, "keyring-failed"),
    ],
)
def test_what_a_backend_raises_becomes_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: str, environ: dict[str, str], code: str
) -> None:
    path = _module(tmp_path, monkeypatch, FAILING_BACKEND.format(raised=raised))
    with pytest.raises(CredentialsError) as caught:
        open_store({"RUNAS_KEYRING": path, **environ}, tmp_path, never).read("keys/dev")
    assert caught.value.code == code
    assert caught.value.hint


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(CredentialsError) as caught:
        open_store({}, tmp_path, never).read("keys/dev")
    assert caught.value.code == "keyring-missing"
    assert "the keyring library is not installed" in caught.value.message
    assert "aws-runas-py[keyring]" in (caught.value.hint or "")
    store = open_store({"RUNAS_KEYRING_PASSPHRASE": "p"}, tmp_path, never)
    store.write("keys/dev", "value")  # there is the file for those who have no keyring
    assert (tmp_path / "keyring").exists()
    assert store.read("keys/dev") == "value"


def test_a_backend_that_does_not_answer_is_an_error() -> None:
    release = threading.Event()
    try:
        with pytest.raises(TimeoutError):
            library.within(0.01, release.wait)
    finally:
        release.set()
    assert library.within(60, lambda: 3) == 3
