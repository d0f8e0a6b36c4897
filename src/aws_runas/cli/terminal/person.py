"""Asks the person at the terminal what a sign-in needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_runas.cli.terminal.prompt import ask_on_terminal, ask_secret
from aws_runas.errors import CredentialsError
from aws_runas.signin.person import Person


def person_at_terminal(environ: Mapping[str, str]) -> Person:
    """Return the ways to ask on the terminal.

    Args:
        environ: TERM says whether the terminal can move its cursor.
    """

    def choose(title: str, rows: Sequence[str]) -> int | None:
        return _choose(title, rows, environ)

    return Person(_ask, ask_secret, ask_on_terminal, choose)


def _ask(question: str) -> str:
    try:
        return ask_on_terminal(question).strip()
    except CredentialsError:
        raise CredentialsError(
            "a user name is needed, and there is no terminal to ask for it",
            code="terminal-missing",
            hint="set saml_username or web_identity_username, or use -U",
        ) from None


def _choose(title: str, rows: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Offer a list that narrows while one types; None if there is no terminal, or nothing was chosen."""
    from aws_runas.cli.terminal.picker import displayed, row_picker

    pick = row_picker(environ)
    return None if pick is None else pick([displayed(f"{row}  ({title})") for row in rows], ())
