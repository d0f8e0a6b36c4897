"""Where config files are looked for, and what is said of those that cannot be read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from aws_runas.config.files import config_path, credentials_path, load_files, parse_file
from aws_runas.errors import ConfigError
from aws_runas.run import config_copy


def test_files_lie_at_home_unless_variables_say_otherwise(tmp_path: Path) -> None:
    assert config_path({}, tmp_path) == tmp_path / ".aws" / "config"
    assert credentials_path({"AWS_SHARED_CREDENTIALS_FILE": ""}, tmp_path) == tmp_path / ".aws" / "credentials"
    assert config_path({"AWS_CONFIG_FILE": "~/mine"}, tmp_path) == tmp_path / "mine"
    assert config_path({"AWS_CONFIG_FILE": "$D/x", "D": "/etc"}, tmp_path) == Path("/etc/x")
    assert credentials_path({"AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}, tmp_path) == Path("/dev/null")


def test_in_a_program_of_ours_the_copy_of_the_config_leads_to_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tmp_path / "my config"
    original.write_text("[default]\nrole_arn = x\n")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    copy = config_copy.make(str(original))
    assert copy is not None
    assert config_path({"AWS_CONFIG_FILE": copy, "AWSRUNAS_PROFILE": "x"}, tmp_path) == original
    assert config_path({"AWS_CONFIG_FILE": copy}, tmp_path) == Path(copy)
    assert list(parse_file(Path(copy)).sections) == ["default"]


def test_missing_files_are_empty(tmp_path: Path) -> None:
    assert load_files({"AWS_CONFIG_FILE": str(tmp_path / "a" / "b")}, tmp_path).profile_names() == []


def test_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / ".aws" / "config").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is a directory") as caught:
        load_files({}, tmp_path)
    assert str(tmp_path / ".aws" / "config") in caught.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match="cannot read") as caught:
        parse_file(loop)
    assert caught.value.code == "config-file-unreadable"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profile b]\nregion = x\n[profile a\nregion = x\n", "line 3: ']' is missing in '[profile a'"),
        ("[b]\n[profile a\nx\n", "line 2: ']' is missing in '[profile a'"),
        ("profile a]\nregion = x\n", "line 1: '[' is missing in 'profile a]'"),
        ("[b]\nsso-session a]\nregion = x\n", "line 2: '[' is missing in 'sso-session a]'"),
        ("[b]\nregion = x\nregion = y\n", "line 3: key region occurs twice in section [b]"),
    ],
)
def test_a_broken_heading_is_named_and_not_what_comes_of_it(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        parse_file(path)
    assert caught.value.message == f"{path}, {message}"


def test_chmod_is_the_fix_for_missing_permissions_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path, words in ((loop, "leads back to itself"), (tmp_path / ("x" * 300), "name another file")):
        with pytest.raises(ConfigError) as caught:
            parse_file(path)
        assert words in str(caught.value.hint)
        assert "chmod" not in str(caught.value.hint)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # root may read everything

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError) as caught:
        parse_file(tmp_path / "config")
    assert "chmod 600" in str(caught.value.hint)


def test_an_error_shows_nothing_of_the_line_it_names(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[a]\naws_secret_access_key my-secret\n")
    with pytest.raises(ConfigError) as caught:
        parse_file(path)
    assert "line 2" in caught.value.message
    assert "my-secret" not in f"{caught.value.message}{caught.value.hint}{caught.value.__context__!r}"


def test_profiles_are_listed_in_the_order_of_the_files(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile z]\n[default]\n[sso-session s]\n[profile a]\n[plugins]\n")
    (tmp_path / ".aws" / "credentials").write_text("[b]\n[a]\n")
    assert load_files({}, tmp_path).profile_names() == ["z", "default", "a", "b"]


def test_settings_know_their_line(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("# one\n\n[profile a]\nregion = x\nnested =\n  k = v\n  region = inner\nOutput : json\n")
    parsed = parse_file(path)
    assert parsed.lines[("profile a", "region")] == 4
    assert parsed.lines[("profile a", "output")] == 8
    assert parsed.sections["profile a"]["nested"] == {"k": "v", "region": "inner"}
