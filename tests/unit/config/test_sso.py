"""sso-session sections and the profiles that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_runas.config.files import ConfigFiles, load_files
from aws_runas.config.overrides import Overrides
from aws_runas.config.resolve import resolve
from aws_runas.config.sso import SsoSession, only_session, sso_role, sso_session
from aws_runas.errors import ConfigError

CORP = "[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-west-1\n"
PROFILE = "[profile p]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n"
LEGACY = (
    "[profile p]\nsso_start_url = https://x.awsapps.com/start\nsso_region = us-east-1\n"
    "sso_account_id = 1\nsso_role_name = R\n"
)


def read(tmp_path: Path, text: str) -> ConfigFiles:
    (tmp_path / "config").write_text(text)
    variables = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    return load_files(variables, tmp_path)


def role_session(files: ConfigFiles, environ: dict[str, str] | None = None) -> SsoSession:
    return sso_role(files.profiles["p"], files.sso_sessions, environ).session


def test_a_profile_names_its_session(tmp_path: Path) -> None:
    found = role_session(read(tmp_path, PROFILE + CORP))
    assert found == SsoSession("corp", "https://corp.awsapps.com/start", "eu-west-1", ("sso:account:access",), "auto")
    assert found.token_key == "corp"
    assert not found.is_legacy


def test_a_legacy_profile_is_a_session_of_its_own_without_scopes(tmp_path: Path) -> None:
    found = role_session(read(tmp_path, LEGACY))
    assert found.is_legacy
    assert (found.token_key, found.scopes) == ("https://x.awsapps.com/start", ())


def test_a_duration_by_flag_is_said_to_have_no_effect_but_for_a_role_behind(tmp_path: Path) -> None:
    chained = "[profile c]\nsource_profile = p\nrole_arn = arn:aws:iam::123456789012:role/r\n"
    files = read(tmp_path, PROFILE + CORP + chained)
    notes = resolve(files, "p", Overrides(role_duration=7200), {}).unused
    assert [note.startswith("flag -a has no effect: the permission set") for note in notes] == [True]
    assert resolve(files, "p", Overrides(), {}).unused == ()
    assert resolve(files, "c", Overrides(role_duration=3600), {}).unused == ()


def test_scopes_are_split_at_commas(tmp_path: Path) -> None:
    files = read(tmp_path, PROFILE + CORP + "sso_registration_scopes = sso:account:access, other:scope\n")
    assert role_session(files).scopes == ("sso:account:access", "other:scope")


@pytest.mark.parametrize(
    ("text", "code", "names"),
    [
        (PROFILE, "sso-session-not-found", "corp"),
        (PROFILE + CORP.replace("sso_region = eu-west-1\n", ""), "sso-incomplete", "sso_region"),
        (
            PROFILE + CORP.replace("sso_start_url = https://corp.awsapps.com/start\n", ""),
            "sso-incomplete",
            "sso_start_url",
        ),
        (PROFILE.replace("sso_role_name = Dev\n", "") + CORP, "sso-incomplete", "sso_role_name"),
        (LEGACY.replace("sso_region = us-east-1\n", ""), "sso-incomplete", "sso_region"),
        (PROFILE + "sso_region = us-east-1\n" + CORP, "source-contradictory", "us-east-1"),
        (PROFILE + CORP + "sso_login_flow = fax\n", "login-flow-invalid", "fax"),
    ],
)
def test_what_is_missing_or_contradicts_is_named(tmp_path: Path, text: str, code: str, names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        role_session(read(tmp_path, text))
    assert (caught.value.code, caught.value.exit_status) == (code, 3)
    assert names in caught.value.message


def test_the_same_value_in_both_places_is_no_contradiction(tmp_path: Path) -> None:
    assert role_session(read(tmp_path, PROFILE + "sso_region = eu-west-1\n" + CORP)).region == "eu-west-1"


def test_the_variable_overrides_the_flow(tmp_path: Path) -> None:
    files = read(tmp_path, PROFILE + CORP + "sso_login_flow = device\n")
    assert role_session(files).flow == "device"
    assert role_session(files, {"RUNAS_LOGIN_FLOW": "Browser"}).flow == "browser"


def test_the_only_session_needs_no_name(tmp_path: Path) -> None:
    files = read(tmp_path, CORP)
    assert only_session(files, {}) == sso_session(files.sso_sessions, "corp")
    assert only_session(read(tmp_path, CORP + CORP.replace("corp", "other")), {}) is None
    assert only_session(read(tmp_path, ""), {}) is None
