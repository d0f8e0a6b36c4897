"""--write-credentials: one section changes, nothing else does."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import pytest

from aws_runas import files
from aws_runas.aws.credentials import Credentials
from aws_runas.cli.environment import Environment
from aws_runas.credentials import sso_profiles
from aws_runas.credentials.shared_file import change_sections, with_section, write_profile
from aws_runas.errors import ConfigError

FIRST = Credentials("ASIAFIRST", "s1", "t1", expiration=datetime(2026, 1, 1, tzinfo=UTC))
SECOND = Credentials("ASIASECOND", "s2", "t2", expiration=datetime(2026, 1, 2, tzinfo=UTC))


def test_a_missing_file_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / ".aws" / "credentials"
    assert write_profile(path, "prod", FIRST, "eu-west-1") == "prod-awsrunas"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == (
        "[prod-awsrunas]\naws_access_key_id = ASIAFIRST\naws_secret_access_key = s1\naws_session_token = t1\n"
        "region = eu-west-1\nx_awsrunas_expiration = 2026-01-01T00:00:00Z\n"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_everything_else_stays_as_it_is(tmp_path: Path, end: str, start: str) -> None:
    path = tmp_path / "credentials"
    before = start + end.join(
        [
            "# mine",
            "[default]",
            "aws_access_key_id=AKIA  ",
            "\taws = continued",
            "",
            "[prod-awsrunas]",
            "; kept",
            "AWS_ACCESS_KEY_ID : OLD",
            "aws_secret_access_key=old",
            "output = json",
            "",
            "# of other",
            "[other]",
            "x=1",
        ]
    )
    path.write_bytes(before.encode())
    write_profile(path, "prod", FIRST, None)
    after = path.read_bytes().decode()
    kept = [line for line in before.split(end) if "OLD" not in line and "=old" not in line]
    ours = [
        "aws_access_key_id = ASIAFIRST",
        "aws_secret_access_key = s1",
        "aws_session_token = t1",
        "x_awsrunas_expiration = 2026-01-01T00:00:00Z",
    ]
    position = kept.index("output = json") + 1
    assert after.split(end) == [*kept[:position], *ours, *kept[position:]]


def test_writing_again_changes_only_the_values(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[user]\naws_access_key_id = AKIA\naws_secret_access_key = s")
    write_profile(path, "prod", FIRST, "eu-west-1")
    once = path.read_text()
    write_profile(path, "prod", FIRST, "eu-west-1")
    assert path.read_text() == once
    write_profile(path, "prod", SECOND, "eu-west-1")
    assert path.read_text() == once.replace("FIRST", "SECOND").replace("s1", "s2").replace("t1", "t2").replace(
        "01-01T", "01-02T"
    )


def test_mode_and_link_are_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "credentials"
    real.write_text("")
    real.chmod(0o640)
    link.symlink_to(real)
    write_profile(link, "prod", FIRST, None)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_botocore_reads_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "credentials"
    write_profile(path, "prod", FIRST, "eu-west-1")
    write_profile(path, "arn:aws:iam::123456789012:role/Admin", SECOND, None)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    session = botocore.session.Session(profile="prod-awsrunas")
    assert session.get_credentials().get_frozen_credentials().token == "t1"
    assert session.get_config_variable("region") == "eu-west-1"
    arn = botocore.session.Session(profile="arn:aws:iam::123456789012:role/Admin-awsrunas")
    assert arn.get_credentials().get_frozen_credentials().access_key == "ASIASECOND"


def test_what_is_no_plain_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "null"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="not a plain file"):
        write_profile(path, "prod", FIRST, None)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert [entry.name for entry in tmp_path.iterdir()] == ["null"]


def test_a_damaged_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[a]\nnonsense\n")
    with pytest.raises(ConfigError) as caught:
        write_profile(path, "prod", FIRST, None)
    assert caught.value.code == "config-file-damaged"
    assert path.read_text() == "[a]\nnonsense\n"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "credentials"
    path.write_text("[a]\nx = 1\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigError, match="no space left") as caught:
        write_profile(path, "prod", FIRST, None)
    assert caught.value.code == "credentials-file-unwritable"
    assert path.read_text() == "[a]\nx = 1\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["aws-runas", "credentials"]


def test_a_name_that_cannot_be_a_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a section"):
        write_profile(tmp_path / "credentials", "a]\n[b", FIRST, None)


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    threads = [threading.Thread(target=write_profile, args=(path, f"p{number}", FIRST, None)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text().count("-awsrunas]") == 8


@pytest.mark.parametrize("text", ["a\n[profile evil]", "a\rb = c", "a\0"])
def test_nothing_becomes_more_than_one_line(text: str) -> None:
    for heading, value in ((text, "b"), ("profile a", text)):
        with pytest.raises(ConfigError, match="not one line") as caught:
            with_section("", heading, {"key": value})
        assert caught.value.code == "config-value-invalid"


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from aws_runas.credentials.shared_file import change_sections
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
change_sections(Path(sys.argv[1]), {"q": {"aws_secret_access_key": "new"}})
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_what_a_killed_writer_left_is_removed_by_the_next_one_and_by_a_later_start(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[p]\naws_secret_access_key = secret\n")

    def left() -> list[Path]:
        return [found for found in tmp_path.iterdir() if found.is_file() and found != path]

    def kill_a_writer() -> None:
        done = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert [found.stat().st_mode & 0o777 for found in left()] == [path.stat().st_mode & 0o777]
        assert "secret" in left()[0].read_text()

    kill_a_writer()
    change_sections(path, {"r": {"region": "x"}})
    assert left() == []
    kill_a_writer()
    env = Environment(environ={"AWS_SHARED_CREDENTIALS_FILE": str(path)}, home=tmp_path)
    env.config_files()
    assert len(left()) == 1  # it may belong to a writer that lives
    os.utime(left()[0], (0, 0))
    (tmp_path / ".credentials.old_2024").touch()  # of the user
    Environment(environ=env.environ, home=tmp_path).config_files()
    assert [found.name for found in left()] == [".credentials.old_2024"]


def test_a_change_of_profiles_and_one_of_keys_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "my.cfg"
    path.write_text("[profile p]\n")
    inside, go_on = threading.Event(), threading.Event()

    def slow(text: str) -> str:
        inside.set()
        assert go_on.wait(20)
        return f"{text}[profile new]\nregion = x\n"

    first = threading.Thread(target=sso_profiles.edit, args=(path, slow))
    first.start()
    assert inside.wait(20)
    second = threading.Thread(target=change_sections, args=(path, {"profile p": {"region": "y"}}))
    second.start()
    with pytest.raises(TimeoutError), files.lock(tmp_path / "aws-runas" / "my.cfg.lock", timeout=0):
        pass
    go_on.set()
    first.join(20)
    second.join(20)
    assert path.read_text() == "[profile p]\nregion = y\n[profile new]\nregion = x\n"


def test_an_old_copy_that_others_can_read_does_not_pass_its_mode_on(tmp_path: Path) -> None:
    path, copy = tmp_path / "config", tmp_path / "config.bak"
    path.write_text("[profile p]\naws_secret_access_key = secret\n")
    path.chmod(0o600)
    copy.write_text("old")
    copy.chmod(0o644)
    sso_profiles.edit(path, lambda text: f"{text}[profile q]\n")
    assert "secret" in copy.read_text()
    assert copy.stat().st_mode & 0o777 == 0o600
