"""The external plugin: found, asked, judged; and who gets to see the token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aws_runas.aws.session import StartedSession
from aws_runas.errors import SessionError
from aws_runas.ssm.plugin import RESPONSE_VARIABLE, Plugin, find_plugin, parse_version

STARTED = StartedSession("me-0123", "wss://h/x?y=z", "the-token", "i-deadbeef")


def program(directory: Path, answer: str) -> dict[str, str]:
    path = directory / "session-manager-plugin"
    path.write_text(f"#!/bin/sh\nprintf '{answer}'\n")
    path.chmod(0o755)
    return {"PATH": str(directory)}


@pytest.mark.parametrize("version", ["1.1.26.0", "1.1.26", "1.2.0.0", "1.2.764.0", "2.0"])
def test_the_floor_and_later_will_do(tmp_path: Path, version: str) -> None:
    assert find_plugin(program(tmp_path, version + "\\n")).version == parse_version(version)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("1.1.25.99", "plugin-too-old"),
        ("1.0", "plugin-too-old"),
        ("", "plugin-broken"),
        ("usage: what", "plugin-broken"),
    ],
)
def test_older_and_odd_ones_are_refused_with_what_they_said(tmp_path: Path, answer: str, code: str) -> None:
    with pytest.raises(SessionError) as caught:
        find_plugin(program(tmp_path, answer))
    assert caught.value.code == code
    assert answer in caught.value.message
    assert caught.value.exit_status == 6


def test_no_plugin_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SessionError) as caught:
        find_plugin({"PATH": str(tmp_path)})
    assert caught.value.code == "plugin-not-found"


@pytest.mark.parametrize("version", ["1.2.497.1", "1.2.536.0", "1.2.764.0", "1.2.835.0"])
def test_a_plugin_that_reads_the_variable_never_gets_the_token_as_an_argument(version: str) -> None:
    parsed = parse_version(version)
    assert parsed is not None
    call = Plugin("/p", parsed).call(STARTED, {"Target": "i-deadbeef"}, "eu-west-1", "https://ssm")
    assert call.arguments == (
        *("/p", RESPONSE_VARIABLE, "eu-west-1", "StartSession", "", '{"Target": "i-deadbeef"}', "https://ssm"),
    )
    assert json.loads(call.variables[RESPONSE_VARIABLE]) == {
        "SessionId": "me-0123",
        "TokenValue": "the-token",
        "StreamUrl": "wss://h/x?y=z",
    }
    assert "the-token" not in repr(call)
    assert bool(call.warnings) is (parsed < (1, 2, 764, 0))


def test_an_older_plugin_gets_it_as_an_argument_and_the_user_is_told() -> None:
    call = Plugin("/p", (1, 2, 497, 0)).call(STARTED, {"Target": "i-deadbeef"}, "eu-west-1", "https://ssm")
    assert json.loads(call.arguments[1])["TokenValue"] == "the-token"
    assert not call.variables
    assert any("argument" in warning for warning in call.warnings)
