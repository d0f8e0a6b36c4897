"""The user at a sign-in: decides whether prompts are allowed, and prompts for user name, password, code and role."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, CredentialsError


def _nobody(_: str) -> str:
    raise CredentialsError(
        "there is no terminal to ask on", code="terminal-missing", hint="run it in a terminal, or set RUNAS_PASSWORD"
    )


@dataclass(frozen=True, slots=True)
class Person:
    """Functions that prompt the user; each raises CredentialsError if that is not possible.

    Args:
        ask: shows a question and returns the typed line, which is visible.
        ask_secret: the same for a password, which is not visible.
        ask_code: the same for a one-time code.
        choose: shows a title and rows and returns the index of one; None if there is no terminal or nothing was chosen.
    """

    ask: Callable[[str], str] = _nobody
    ask_secret: Callable[[str], str] = _nobody
    ask_code: Callable[[str], str] = _nobody
    choose: Callable[[str, Sequence[str]], int | None] = lambda _title, _rows: None


VARIABLE = "RUNAS_LOGIN"
TERMINAL = "/dev/tty" if os.name == "posix" else "CONIN$"

Choice = Literal["ask", "always", "never"]
CHOICES: tuple[Choice, ...] = ("ask", "always", "never")


def login_choice(environ: Mapping[str, str]) -> Choice:
    """Read RUNAS_LOGIN.

    Raises:
        ConfigError: the value is not in CHOICES.
    """
    value = environ.get(VARIABLE, "").strip().lower() or "ask"
    for choice in CHOICES:
        if value == choice:
            return choice
    raise ConfigError(
        f"{VARIABLE}={environ[VARIABLE]} is unknown", code="login-choice-invalid", hint="use ask, always or never"
    )


def has_terminal() -> bool:
    """Return True if the terminal of this process can be opened."""
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True


def may_sign_in(
    environ: Mapping[str, str], *, unattended: bool = False, terminal: Callable[[], bool] = has_terminal
) -> bool:
    """Return True if a sign-in may open a window or prompt the user now.

    Args:
        environ: environment variables.
        unattended: this run serves another program (a credential_process, an exec plugin, a helper, a server).
        terminal: returns True if a terminal can be used for prompts.

    Raises:
        ConfigError: RUNAS_LOGIN is invalid.
    """
    choice = login_choice(environ)
    if choice != "ask":
        return choice == "always"
    return not unattended and terminal()


def login_needed(what: str, command: str) -> CredentialsError:
    """Return the error for a sign-in that may not start here.

    Args:
        what: name of the sign-in's target, such as ``sso-session corp``.
        command: the command that signs in.
    """
    return CredentialsError(f"{what} needs a sign-in", code="login-needed", hint=f"run: {command}")
