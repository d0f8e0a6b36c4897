"""Each check that asks nobody, one test for each verdict."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import Profile
from aws_runas.config.resolve import load_files, resolve
from aws_runas.diagnosis.local import check_credentials, check_plugin, check_profile, check_region, check_variables
from aws_runas.errors import ConfigError

CONFIG = """
[default]
[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = secret
region = eu-west-1
[profile role]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = keys
[profile hollow]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = empty
[profile empty]
"""


def profile(tmp_path: Path, name: str | None, **environ: str) -> Profile:
    (tmp_path / ".aws").mkdir(exist_ok=True)
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    return resolve(load_files(environ, tmp_path), name, Overrides(), environ)


def test_a_complete_profile_is_ok_and_its_chain_is_told(tmp_path: Path) -> None:
    found = check_profile(profile(tmp_path, "role"), load_files({}, tmp_path))
    assert found.verdict == "ok"
    assert found.message.startswith("role, source profile keys, role arn:aws:iam::123456789012:role/x in ")


def test_an_unknown_profile_fails_with_the_status_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        profile(tmp_path, "rol")
    found = check_profile(raised.value, None)
    assert (found.verdict, found.status) == ("fail", 3)
    assert "role" in found.advice


def test_a_role_without_keys_behind_it_fails(tmp_path: Path) -> None:
    found = check_profile(profile(tmp_path, "hollow"), None)
    assert found.verdict == "fail"
    assert found.advice


def test_variables_that_agree_are_ok(tmp_path: Path) -> None:
    environ = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_PROFILE": "keys"}
    assert check_variables(environ, profile(tmp_path, None, **environ)).verdict == "ok"


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ACCESS_KEY_ID": "AKIA1"},
        {"AWS_SECRET_ACCESS_KEY": "x"},
        {"AWS_SESSION_TOKEN": "t"},
        {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "t"},
        {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SECURITY_TOKEN": "t"},
    ],
)
def test_keys_that_cannot_work_fail(environ: dict[str, str]) -> None:
    found = check_variables(environ, None)
    assert (found.verdict, found.status) == ("fail", 3)
    assert found.advice


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_PROFILE": "keys", "AWS_DEFAULT_PROFILE": "role"},
        {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"},
        {"AWSRUNAS_PROFILE": "role"},
    ],
)
def test_variables_that_may_surprise_are_warned_of(environ: dict[str, str]) -> None:
    found = check_variables(environ, None)
    assert found.verdict == "warn"
    assert found.advice


def test_keys_in_the_environment_beside_a_named_profile_are_warned_of(tmp_path: Path) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "x"}
    found = check_variables(environ, profile(tmp_path, "keys", **environ))
    assert found.verdict == "warn"
    assert "profile keys is used" in found.message


def test_one_surprise_does_not_hide_another(tmp_path: Path) -> None:
    environ = {
        "AWS_PROFILE": "keys",
        "AWS_DEFAULT_PROFILE": "other",
        "AWS_ACCESS_KEY_ID": "AKIAOTHER",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    found = check_variables(environ, profile(tmp_path, "keys", **environ))
    assert found.verdict == "warn"
    assert "AWS_DEFAULT_PROFILE is other" in found.message
    assert "AWS_ACCESS_KEY_ID is set in the environment too" in found.message


def test_a_region_is_ok_and_its_origin_told(tmp_path: Path) -> None:
    found = check_region(profile(tmp_path, "keys"), needed=True)
    assert found.verdict == "ok"
    assert found.message.startswith("eu-west-1 (")


def test_no_region_is_a_warning_and_with_a_target_a_failure(tmp_path: Path) -> None:
    without = profile(tmp_path, "empty")
    assert check_region(without, needed=False).verdict == "warn"
    found = check_region(without, needed=True)
    assert (found.verdict, found.status) == ("fail", 3)


def test_credentials_are_ok_and_no_secret_is_shown(tmp_path: Path) -> None:
    found = check_credentials(profile(tmp_path, "role"))
    assert found.verdict == "ok"
    assert "AKIA…" in found.message
    assert "secret" not in found.message
    assert "IOSFODNN" not in found.message


def test_no_credentials_fail(tmp_path: Path) -> None:
    found = check_credentials(profile(tmp_path, "empty"))
    assert (found.verdict, found.status) == ("fail", 4)


def _plugin(folder: Path, answer: str) -> dict[str, str]:
    program = folder / "session-manager-plugin"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_plugin_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    found = check_plugin({"PATH": str(tmp_path)})
    assert found.verdict == "ok"
    assert "only --plugin needs it" in found.message


def test_a_recent_plugin_is_ok(tmp_path: Path) -> None:
    assert check_plugin(_plugin(tmp_path, "1.2.800.0")).verdict == "ok"


@pytest.mark.parametrize("answer", ["1.1.25.0", "1.2.100.0", "what?"])
def test_an_old_or_broken_plugin_is_warned_of(tmp_path: Path, answer: str) -> None:
    found = check_plugin(_plugin(tmp_path, answer))
    assert found.verdict == "warn"
    assert found.advice
