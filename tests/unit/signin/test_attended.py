"""Where a sign-in may start."""

from __future__ import annotations

import pytest

from aws_runas.errors import ConfigError
from aws_runas.signin.attended import login_needed, may_sign_in


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


def test_the_error_names_the_command() -> None:
    error = login_needed("sso-session corp", "aws-runas login --sso-session corp")
    assert (error.code, error.exit_status) == ("login-needed", 4)
    assert error.hint == "run: aws-runas login --sso-session corp"
