"""Questions of a sign-in to a person: user name, password, one-time code, and role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aws_runas.errors import CredentialsError


def _nobody(_: str) -> str:
    raise CredentialsError(
        "there is no terminal to ask on", code="terminal-missing", hint="run it in a terminal, or set RUNAS_PASSWORD"
    )


@dataclass(frozen=True, slots=True)
class Person:
    """Ways to ask; each raises CredentialsError where nobody can be asked.

    Args:
        ask: shows a question and returns the line that was typed, which is visible.
        ask_secret: the same for a password, which is not.
        ask_code: the same for a one-time code.
        choose: shows a title and rows and returns the index of one; None if there is no terminal or nothing was chosen.
    """

    ask: Callable[[str], str] = _nobody
    ask_secret: Callable[[str], str] = _nobody
    ask_code: Callable[[str], str] = _nobody
    choose: Callable[[str, Sequence[str]], int | None] = lambda _title, _rows: None
