"""Values that come by flag are usage errors when they make no sense; the same in a file is a configuration error."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_runas.config.resolve import Overrides, load_files, resolve
from aws_runas.errors import AwsRunasError, ConfigError, UsageError
from tests.support.sts_server import write_home


def _error(home: Path, overrides: Overrides, more: str = "", name: str = "plainrole") -> AwsRunasError:
    environ = write_home(home, "http://127.0.0.1:1", more=more)
    with pytest.raises(AwsRunasError) as caught:
        resolve(load_files(environ, home), name, overrides, environ)
    return caught.value


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        (Overrides(policy="nonsense"), "session-policy-invalid"),
        (Overrides(policy="file:///nowhere/policy"), "session-policy-unreadable"),
        (Overrides(transitive_tags=("Team",)), "transitive-tag-unknown"),
        (Overrides(role_duration=60), "duration-out-of-range"),
        (Overrides(session_token_duration=60), "duration-out-of-range"),
    ],
)
def test_a_flag_that_makes_no_sense_is_a_usage_error(tmp_path: Path, overrides: Overrides, code: str) -> None:
    error = _error(tmp_path, overrides)
    assert isinstance(error, UsageError)
    assert error.code == code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("session_policy = nonsense", "session-policy-invalid"),
        ("session_policy = file:///nowhere/policy", "session-policy-unreadable"),
        ("transitive_tags = Team", "transitive-tag-unknown"),
        ("duration_seconds = 60", "duration-out-of-range"),
        ("session_token_duration = 60s", "duration-out-of-range"),
    ],
)
def test_the_same_in_a_file_is_a_configuration_error(tmp_path: Path, line: str, code: str) -> None:
    more = f"[profile odd]\nrole_arn = arn:aws:iam::123456789012:role/O\nsource_profile = plain\n{line}\n"
    error = _error(tmp_path, Overrides(), more, "odd")
    assert isinstance(error, ConfigError)
    assert error.code == code
