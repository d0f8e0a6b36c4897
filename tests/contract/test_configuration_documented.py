"""Every key and variable that the configuration reads has its place in docs/reference/configuration.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "configuration.md").read_text()
SOURCES = [
    *(ROOT / "src" / "aws_runas" / "config").glob("*.py"),
    *(ROOT / "src" / "aws_runas" / "credentials").glob("*.py"),
]


def _found(pattern: str) -> set[str]:
    return {name for path in SOURCES for name in re.findall(pattern, path.read_text())}


def test_every_key_of_a_profile_is_documented() -> None:
    keys = _found(r'\.text\(\s*"([a-z_]+)"') | _found(r'values\.get\("([a-z_]+)"\)')
    assert {"role_arn", "mfa_process", "session_tags"} <= keys
    passed_over = {"sso_start_url", "aws_security_token"}  # older spellings
    assert {key for key in keys - passed_over if f"`{key}`" not in PAGE} == set()


def test_every_variable_is_documented() -> None:
    names = _found(r'"((?:AWS|RUNAS)_[A-Z_]+)"') | _found(r'variable="([A-Z_]+)"')
    assert {"AWS_PROFILE", "SESSION_TOKEN_DURATION"} <= names
    passed_over = {"USER", "USERNAME", "LOGNAME", "HOME", "AWS_SECURITY_TOKEN", "AWSRUNAS_PROFILE", "AWS_ENDPOINT_URL_"}
    passed_over |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}  # "the same in capitals"
    assert {name for name in names - passed_over if f"`{name}`" not in PAGE} == set()
