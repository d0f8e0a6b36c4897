"""The copy of the config file that names no source for the default profile."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest

from aws_runas.run import config_copy

FULL = """\
# comment
[default]
region = eu-west-1
role_arn = arn:aws:iam::123456789012:role/x
source_profile=base
AWS_Access_Key_Id: AKIAEXAMPLE
credential_process = /bin/echo one
    two
# kept
s3 =
  max_concurrent_requests = 20
sso_session = s
output = json

[profile base]
role_arn = arn:aws:iam::123456789012:role/kept
aws_access_key_id = AKIAKEPT
"""


def test_sources_of_the_default_profile_go_with_what_is_nested_under_them_and_nothing_else_does() -> None:
    assert (
        config_copy.without_sources(FULL)
        == """\
# comment
[default]
region = eu-west-1
# kept
s3 =
  max_concurrent_requests = 20
output = json

[profile base]
role_arn = arn:aws:iam::123456789012:role/kept
aws_access_key_id = AKIAKEPT
"""
    )


@pytest.mark.parametrize(
    "heading",
    ["[default]", "[profile default]", "[ default ]", "[profile  default]", "  [default]", '[profile "default"]'],
)
def test_each_spelling_of_the_default_section_counts(heading: str) -> None:
    assert config_copy.without_sources(f"{heading}\nrole_arn = x\n") == f"{heading}\n"


@pytest.mark.parametrize(
    "text", ["", "[default]\nregion = x\n", "[profile default2]\nrole_arn = x\n", "[other]\nrole_arn=x\n"]
)
def test_a_file_without_such_sources_needs_no_copy(text: str, tmp_path: Path) -> None:
    assert config_copy.without_sources(text) is None
    path = tmp_path / "config"
    path.write_text(text)
    assert not config_copy.is_needed(str(path))
    assert config_copy.make(str(path)) is None


def test_a_missing_file_needs_no_copy(tmp_path: Path) -> None:
    assert not config_copy.is_needed(str(tmp_path / "config"))
    assert config_copy.make(str(tmp_path / "config")) is None


def test_a_copy_is_private_and_read_by_botocore_as_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / "config"
    path.write_bytes(b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    copy = config_copy.make(str(path))
    assert copy is not None
    assert stat.S_IMODE(Path(copy).stat().st_mode) == 0o600
    session = botocore.session.Session()
    session.set_config_variable("config_file", copy)
    profiles = session.full_config["profiles"]
    assert profiles["default"] == {"region": "eu-west-1", "output": "json", "s3": {"max_concurrent_requests": "20"}}
    assert profiles["base"]["aws_access_key_id"] == "AKIAKEPT"
    config_copy.remove(copy)
    config_copy.remove(copy)  # twice is fine
    assert list((tmp_path / "aws-runas" / "run").iterdir()) == []


def _with_source(directory: Path) -> str:
    directory.mkdir(exist_ok=True)
    (directory / "config").write_text("[default]\nrole_arn = x\n")
    return str(directory / "config")


def test_a_copy_is_in_a_private_directory_beside_the_file(tmp_path: Path) -> None:
    copy = config_copy.make(_with_source(tmp_path / "home"))
    assert copy is not None
    assert Path(copy).parent == tmp_path / "home" / "aws-runas" / "run"
    assert [stat.S_IMODE(path.stat().st_mode) for path in Path(copy).parents[:2]] == [0o700, 0o700]
    config_copy.remove(copy)


def test_a_start_at_the_same_moment_may_make_the_directories_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir

    def late(path: str, mode: int) -> None:
        mkdir(path, mode)  # the other process
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", late)
    path = _with_source(tmp_path)
    copy = config_copy.make(path)
    assert copy is not None
    assert Path(copy).parent == tmp_path / "aws-runas" / "run"
    config_copy.remove(copy)


def test_a_directory_that_others_can_change_holds_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = _with_source(tmp_path / "home")
    (tmp_path / "home" / "aws-runas").mkdir()
    (tmp_path / "home" / "aws-runas").chmod(0o755)
    copy = config_copy.make(path)
    assert copy is not None
    assert Path(copy).parent == tmp_path
    assert stat.S_IMODE((tmp_path / "home" / "aws-runas").stat().st_mode) == 0o755
    config_copy.remove(copy)


KILLED = """
import os, sys
from aws_runas.run import config_copy
print(config_copy.make(sys.argv[1]), flush=True)
sys.stdin.read()
"""


def test_the_copy_of_a_killed_process_is_removed_at_the_next_start(tmp_path: Path) -> None:
    path = _with_source(tmp_path / "home")
    command = [sys.executable, "-c", KILLED, path]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        killed, alive = (Path((process.stdout or sys.stdin).readline().strip()) for process in processes)
        processes[0].kill()
        processes[0].wait()
        assert killed.exists()
        copy = config_copy.make(path)
        assert copy is not None
        assert not killed.exists()
        assert alive.exists()
        config_copy.remove(copy)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_an_indented_section_loses_its_sources_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """[default]
  region = eu-west-1
  credential_process = /bin/echo one
     two
  # remark
  s3 =
    role_arn = nested, and no source
  aws_access_key_id = AKIA
  [profile base]
  role_arn = kept
"""
    copy = config_copy.without_sources(text)
    assert copy is not None
    (tmp_path / "config").write_text(copy)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    profiles = botocore.session.Session().full_config["profiles"]
    assert profiles == {
        "default": {"region": "eu-west-1", "s3": {"role_arn": "nested, and no source"}},
        "base": {"role_arn": "kept"},
    }
