"""Any text at all: botocore reads it as we do, or refuses it as we do; and writing a profile changes no other."""

from __future__ import annotations

import contextlib
from pathlib import Path

import botocore.configloader
import botocore.exceptions
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aws_runas.config.durations import format_duration, parse_duration
from aws_runas.config.files import parse_file
from aws_runas.credentials.shared_file import with_section
from aws_runas.errors import ConfigError

PIECES = st.sampled_from(
    [
        "[profile a]",
        "[default]",
        "[a-awsrunas]",
        "[ profile a ]",
        '[profile "b c"]',
        "[]",
        "[x",
        "region = eu-west-1",
        "region: x",
        "REGION=y",
        "aws_access_key_id = AKIA",
        "aws_secret_access_key=a=b",
        "s3 =",
        "  k = v",
        "  k",
        "\tregion = z",
        "  [inner]",
        "# comment",
        "; comment",
        "  # indented",
        "key",
        "= value",
        ":",
        "",
        "   ",
        "a = b # c",
        "é = ü",
        "%(x)s = %",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=12), max_size=14).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda end: end.join(lines))
)


def _ours(path: Path) -> object:
    try:
        return parse_file(path).sections
    except ConfigError:
        return "refused"


def _botocores(path: Path) -> object:
    try:
        return botocore.configloader.raw_config_parse(str(path))
    except botocore.exceptions.ConfigParseError:
        return "refused"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
@example("[profile a]\ns3 =\n  k = v\n\n  j = w\nregion = x")
@example("[a]\nx = 1\n  [b]\ny = 2")
def test_files_are_read_as_botocore_reads_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(text.encode())
    if "\0" in text or text.startswith("\ufeff"):
        return  # refused, and passed over, where botocore takes them for content
    assert _ours(path) == _botocores(path)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
@example("[a-awsrunas]\naws_access_key_id = x\n  continued = y\n[b]")
@example("[b]\nx = y\n  [a-awsrunas]\nregion = z")
@example("[a]\nx = y\n   ")
@example("[a-awsrunas]\n  [inner]\nx = y")
@example("[a-awsrunas]\n#\n  [inner]\n  x = y\n  z = w")
def test_writing_a_profile_changes_no_other(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials"
    path.write_bytes(text.encode())
    before = _ours(path)
    if not isinstance(before, dict):
        return
    values: dict[str, str | None] = {"aws_access_key_id": "ASIA", "aws_session_token": "t", "region": None}
    path.write_bytes(with_section(text, "a-awsrunas", values).encode())
    after = _ours(path)
    assert isinstance(after, dict)
    section = after.pop("a-awsrunas")
    assert (section["aws_access_key_id"], section["aws_session_token"]) == ("ASIA", "t")
    assert "region" not in section
    before.pop("a-awsrunas", None)
    assert after == before
    again = with_section(path.read_bytes().decode(), "a-awsrunas", values)
    assert again.encode() == path.read_bytes()


@given(st.integers(min_value=0, max_value=10**8))
def test_a_duration_is_read_as_it_is_written(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("1h30m", 5400),
        ("12h", 43200),
        ("1.5h", 5400),
        (".5h", 1800),
        ("900s", 900),
        ("900500ms", 900),
        ("1h0m0s", 3600),
    ],
)
def test_durations_as_go_writes_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "3600", "-1h", "1", "1.5", "h", "1x", "1h x", "1H", "1..5h", "1h30", "²h", "1e3s", "inf", "1 h"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.text(max_size=10))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0
