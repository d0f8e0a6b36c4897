"""Where a sign-in may start."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_runas.errors import ConfigError
from aws_runas.signin.context import SignInContext
from aws_runas.signin.person import login_needed, may_sign_in


@pytest.mark.parametrize(
    ("value", "unattended", "terminal", "allowed"),
    [
        ("", False, True, True),
        ("ask", False, True, True),
        ("ask", False, False, False),
        ("", True, True, False),
        ("always", True, False, True),
        ("Always", False, False, True),
        ("never", False, True, False),
    ],
)
def test_a_window_opens_only_where_it_may(value: str, unattended: bool, terminal: bool, allowed: bool) -> None:
    environ = {"RUNAS_LOGIN": value} if value else {}
    assert may_sign_in(environ, unattended=unattended, terminal=lambda: terminal) is allowed


def test_an_unknown_choice_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="sometimes") as caught:
        may_sign_in({"RUNAS_LOGIN": "sometimes"})
    assert caught.value.code == "login-choice-invalid"
    assert caught.value.hint == "use ask, always or never"


def test_the_error_names_the_command() -> None:
    error = login_needed("sso-session corp", "aws-runas login --sso-session corp")
    assert (error.code, error.exit_status) == ("login-needed", 4)
    assert error.hint == "run: aws-runas login --sso-session corp"


@pytest.mark.parametrize(
    ("explicit", "taken", "variables", "allowed"),
    [
        (True, False, {}, True),
        (True, True, {}, True),
        (True, False, {"RUNAS_LOGIN": "never"}, False),
        (False, True, {}, False),
        (False, True, {"RUNAS_LOGIN": "always"}, True),
    ],
)
def test_a_program_that_has_the_terminal_is_not_disturbed(
    tmp_path: Path, explicit: bool, taken: bool, variables: dict[str, str], allowed: bool
) -> None:
    context = SignInContext(tmp_path, variables, tmp_path, explicit=explicit, is_terminal_taken=lambda: taken)
    assert context.may_sign_in() is allowed
