"""Generated profiles: their names, and a config file in which nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_runas.config.files import load_files
from aws_runas.credentials.sso_profiles import (
    AssignedRole,
    GeneratedProfile,
    Update,
    check_template,
    edit,
    generate,
    update,
)
from aws_runas.errors import ConfigError

DEV = AssignedRole("Dev", "111111111111", "Admin")
READ = AssignedRole("Dev", "111111111111", "Read Only")
PROD = AssignedRole("Prod [eu]", "222222222222", "Admin")

HAND_WRITTEN = """\
; a comment at the top

[profile mine]   # mine
region=eu-west-1
  s3 =
    max = 1


[profile Dev-Admin]
# ours by hand
role_arn = arn:aws:iam::111111111111:role/x
source_profile = mine
# the last line, without an end"""


def names(profiles: list[GeneratedProfile]) -> list[str]:
    return [profile.name for profile in profiles]


def apply(
    path: Path, text: str, profiles: list[GeneratedProfile], assigned: list[AssignedRole] | None = None
) -> Update:
    path.write_text(text, newline="")
    files = load_files({"AWS_CONFIG_FILE": str(path), "AWS_SHARED_CREDENTIALS_FILE": str(path) + "-none"}, path.parent)
    return update(text, files, profiles, "corp", assigned=assigned)


def test_names_hold_what_a_section_name_can() -> None:
    assert names(generate([DEV, READ, PROD], "corp", ())) == ["Dev-Admin", "Dev-Read-Only", "Prod--eu--Admin"]


def test_accounts_of_one_name_get_their_id() -> None:
    other = AssignedRole("Dev", "333333333333", "Admin")
    assert names(generate([DEV, other], "corp", ())) == ["Dev-111111111111-Admin", "Dev-333333333333-Admin"]


@pytest.mark.parametrize(
    ("template", "regions", "expected"),
    [
        ("{role}@{account_id}", (), ["Admin@111111111111"]),
        ("{account}/{role}", (), ["Dev/Admin"]),
        (None, ("eu-west-1", "us-east-1"), ["Dev-Admin-eu-west-1", "Dev-Admin-us-east-1"]),
        ("--{role}", (), ["Admin"]),
    ],
)
def test_a_template_makes_the_name(template: str | None, regions: tuple[str, ...], expected: list[str]) -> None:
    assert names(generate([DEV], "corp", regions, template)) == expected


@pytest.mark.parametrize("template", ["{acount}", "{", "", "x}"])
def test_an_unknown_placeholder_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="account_id"):
        check_template(template)


def test_everything_else_stays_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    profiles = generate([READ, PROD], "corp", ("eu-west-1",))
    first = apply(tmp_path / "config", HAND_WRITTEN, profiles)
    assert first.content.startswith(HAND_WRITTEN + "\n")
    assert first.added == ("Dev-Read-Only", "Prod--eu--Admin")
    second = apply(tmp_path / "config", first.content, profiles, [READ, PROD])
    assert (second.content, second.added, second.changed, second.removed) == (first.content, (), (), ())


def test_line_ends_of_windows_stay(tmp_path: Path) -> None:
    text = "[profile mine]\r\nregion = eu-west-1\r\n"
    content = apply(tmp_path / "config", text, generate([DEV], "corp", ())).content
    assert content.startswith(text)
    assert content.count("\n") == content.count("\r\n")


def test_a_name_that_belongs_to_another_section_is_skipped(tmp_path: Path) -> None:
    result = apply(tmp_path / "config", HAND_WRITTEN, generate([DEV], "corp", ()), [])
    assert (result.content, result.clashes, result.removed) == (HAND_WRITTEN, ("Dev-Admin",), ())
    theirs = "[profile Dev-Admin]\nsso_session = other\nrunas_generated = other\n"
    result = apply(tmp_path / "config", theirs, generate([DEV], "corp", ()), [])
    assert (result.content, result.clashes, result.removed) == (theirs, ("Dev-Admin",), ())


def test_a_generated_section_is_changed_and_keeps_lines_of_the_user(tmp_path: Path) -> None:
    first = apply(tmp_path / "config", "", generate([DEV], "corp", ("eu-west-1",))).content
    edited = (
        first.replace("region = eu-west-1\n", "# a note\noutput = json\nregion = eu-west-1\n")
        + "\n[profile z]\nregion = x\n"
    )
    result = apply(tmp_path / "config", edited, generate([DEV], "corp", ("eu-west-3",)))
    assert result.changed == ("Dev-Admin",)
    assert "# a note\n" in result.content
    assert "output = json\n" in result.content
    assert "region = eu-west-3\n" in result.content
    assert result.content.endswith("\n[profile z]\nregion = x\n")


def test_only_generated_sections_that_are_no_longer_assigned_are_removed(tmp_path: Path) -> None:
    before = "[profile a]\nregion = x\n"
    after = "\n# about b\n[profile b]\nregion = y\n"
    full = apply(tmp_path / "config", before, generate([DEV, PROD], "corp", ())).content + after
    result = apply(tmp_path / "config", full, generate([DEV], "corp", ()), [DEV])
    assert result.removed == ("Prod--eu--Admin",)
    only_dev = apply(tmp_path / "config", before, generate([DEV], "corp", ())).content
    assert result.content == only_dev + after
    assert apply(tmp_path / "config", full, generate([DEV], "corp", ())).removed == ()  # without --prune


def test_writing_keeps_the_old_content_and_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("old\n")
    path.chmod(0o640)
    edit(path, lambda text: text.replace("old", "new"))
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "config.bak").read_text() == "old\n"


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("old\n")

    def change(_: str) -> str:
        path.write_text("of somebody else\n")
        return "new\n"

    with pytest.raises(ConfigError) as caught:
        edit(path, change)
    assert caught.value.code == "config-file-unwritable"
    assert path.read_text() == "of somebody else\n"


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("old\n")
    edit(path, lambda text: text)
    assert not (tmp_path / "config.bak").exists()
    edit(tmp_path / "missing", lambda text: text)
    assert not (tmp_path / "missing").exists()


def test_a_role_whose_name_would_add_keys_is_not_written(tmp_path: Path) -> None:
    evil = AssignedRole("Dev", "111111111111", "R\ncredential_process = evil")
    with pytest.raises(ConfigError, match="not one line"):
        apply(tmp_path / "config", HAND_WRITTEN, generate([evil], "corp", ()))
