"""The lines of keys in both files: found, moved and removed, and every other byte left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_runas.config.files import ConfigFiles, load_files
from aws_runas.credentials.key_lines import (
    adopt_key_id,
    plain_keys,
    remove_key_lines,
    remove_keyring_lines,
    set_keyring_lines,
    with_key_id,
    with_keys,
)
from aws_runas.credentials.shared_file import without_section
from aws_runas.errors import AwsRunasError, ConfigError
from aws_runas.store.items import KeyPair

LINES = {"keyring": "ring", "keyring_key_id": "AKIANEW"}


class Files:
    def __init__(self, home: Path) -> None:
        self.config, self.credentials = home / "config", home / "credentials"
        self._environ = {"AWS_CONFIG_FILE": str(self.config), "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials)}
        self._home = home

    def load(self) -> ConfigFiles:
        return load_files(self._environ, self._home)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_keys_of_the_config_file_are_moved_within_it(files: Files) -> None:
    files.config.write_bytes(
        b"\xef\xbb\xbf# top\r\n[profile 'a b']\r\naws_access_key_id=AKIA\r\nregion = x-1\r\n"
        b"aws_secret_access_key = s\r\n\r\n# end\r\n[profile c]\r\n"
    )
    found = plain_keys(files.load(), "a b")
    assert found is not None
    assert (found.heading, found.pair) == ("profile 'a b'", KeyPair("AKIA", "s"))
    set_keyring_lines(files.load(), "a b", LINES)
    remove_key_lines(found)
    assert files.config.read_bytes() == (
        b"\xef\xbb\xbf# top\r\n[profile 'a b']\r\nregion = x-1\r\nkeyring = ring\r\nkeyring_key_id = AKIANEW\r\n"
        b"\r\n# end\r\n[profile c]\r\n"
    )
    remove_keyring_lines(files.load(), "a b")
    assert b"keyring" not in files.config.read_bytes()
    assert b"# end\r\n[profile c]" in files.config.read_bytes()


@pytest.mark.parametrize(
    ("name", "heading"), [("default", "[default]"), ("dev", "[profile dev]"), ("a b", "[profile 'a b']")]
)
def test_a_profile_that_has_no_section_gets_one(files: Files, name: str, heading: str) -> None:
    set_keyring_lines(files.load(), name, LINES)
    assert files.config.read_text() == f"{heading}\nkeyring = ring\nkeyring_key_id = AKIANEW\n"
    assert files.load().profiles[name].text("keyring") == "ring"
    assert files.config.stat().st_mode & 0o777 == 0o600


def test_a_name_that_no_section_can_have_is_refused(files: Files) -> None:
    with pytest.raises(ConfigError):
        set_keyring_lines(files.load(), "a]b", LINES)
    assert not files.config.exists()


def test_lines_in_the_credentials_file_do_not_outlive_those_of_the_config_file(files: Files) -> None:
    files.credentials.write_text("[dev]\nkeyring = old\nkeyring_key_id = AKIAOLD\nregion = x-1\n")
    set_keyring_lines(files.load(), "dev", LINES)
    assert files.credentials.read_text() == "[dev]\nregion = x-1\n"
    assert files.load().profiles["dev"].text("keyring_key_id") == "AKIANEW"


def test_our_own_credential_process_goes_with_the_keys_and_another_one_stays(files: Files) -> None:
    files.config.write_text("[profile dev]\n")
    set_keyring_lines(files.load(), "dev", {**LINES, "credential_process": "aws-runas -s -O json dev"})
    remove_keyring_lines(files.load(), "dev")
    assert files.config.read_text() == "[profile dev]\n"
    set_keyring_lines(files.load(), "dev", {**LINES, "credential_process": "other"})
    remove_keyring_lines(files.load(), "dev")
    assert files.config.read_text() == "[profile dev]\ncredential_process = other\n"


def test_every_profile_of_a_name_gets_the_new_key_id(files: Files) -> None:
    files.config.write_text("[profile a]\nkeyring = ring\nkeyring_key_id = AKIAOLD\n[profile b]\nkeyring = other\n")
    files.credentials.write_text("[c]\nkeyring = ring\nkeyring_key_id = AKIAOLD\n")
    adopt_key_id(files.load(), "ring", "AKIANEW")
    profiles = files.load().profiles
    assert [profiles[name].text("keyring_key_id") for name in "abc"] == ["AKIANEW", None, "AKIANEW"]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("aws_access_key_id = AKIA\n", "keys-incomplete"),
        ("aws_secret_access_key = s\n", "keys-incomplete"),
        ("aws_access_key_id = ASIA\naws_secret_access_key = s\naws_session_token = t\n", "keys-temporary"),
    ],
)
def test_half_a_pair_and_temporary_keys_are_refused(files: Files, lines: str, code: str) -> None:
    files.credentials.write_text(f"[dev]\n{lines}")
    with pytest.raises(AwsRunasError) as caught:
        plain_keys(files.load(), "dev")
    assert caught.value.code == code


def test_keys_are_tried_without_a_change_of_a_file(files: Files) -> None:
    files.config.write_text("[profile dev]\nregion = x-1\nrole_arn = a\nsource_profile = b\nkeyring = r\n")
    before = files.config.read_text()
    for name in ("dev", "new"):
        section = with_keys(files.load(), name, KeyPair("AKIA", "canary")).profiles[name]
        assert section.text("aws_access_key_id") == "AKIA"
        assert section.text("role_arn") is None
        assert section.text("keyring") is None
        assert "canary" not in repr(section)
    assert with_keys(files.load(), "dev", KeyPair("A", "s")).profiles["dev"].text("region") == "x-1"
    assert files.config.read_text() == before


def test_cache_entries_of_another_key_are_named_by_its_id(files: Files) -> None:
    files.config.write_text("[profile a]\nkeyring = ring\nkeyring_key_id = AKIANEW\n[profile b]\nregion = x-1\n")
    profiles = with_key_id(files.load(), "AKIANEW", "AKIAOLD").profiles
    assert profiles["a"].text("keyring_key_id") == "AKIAOLD"
    assert profiles["b"].text("region") == "x-1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a]\nx = 1\n\n[b]\ny = 2\n", "[a]\nx = 1\n"),
        ("[b]\ny = 2\n\n[a]\nx = 1\n", "[a]\nx = 1\n"),
        ("# c\n[b]\ny =\n  z = 3\n# d\n[a]\n", "# c\n[a]\n"),
        ("[a]\n", "[a]\n"),
    ],
)
def test_a_section_is_removed_with_its_lines(text: str, expected: str) -> None:
    assert without_section(text, "b") == expected


@pytest.mark.parametrize("name", [" u", "u ", "u\n", "[u]"])
def test_a_name_that_a_file_does_not_give_back_is_refused(files: Files, name: str) -> None:
    files.config.write_text("")
    with pytest.raises(ConfigError) as caught:
        set_keyring_lines(files.load(), name, LINES)
    assert (caught.value.code, caught.value.hint) == ("section-name-invalid", "give the profile a plainer name")
    assert files.config.read_text() == ""
