"""Asks on the terminal itself, so that pipes and redirections do not matter.

An MFA code is shown as it is typed: it is worthless after half a minute, and no terminal setting is changed, so
Ctrl-C, a kill, or a closed window cannot leave one changed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence

from aws_runas.errors import CredentialsError, Interrupted
from aws_runas.signin.person import Person

TERMINAL = "/dev/tty" if os.name == "posix" else "CON"
MAX_LENGTH = 256  # characters of an answer that are read
CHOICE = "[y/N] "  # end of a yes-or-no question


def ask_on_terminal(message: str) -> str:
    """Ask for an MFA code and read one line.

    Args:
        message: written as it is.

    Returns:
        The line without its end.

    Raises:
        CredentialsError: there is no terminal, or nothing was typed.
    """
    try:
        line = _read_line(message)
    except OSError:
        raise no_terminal() from None
    if not line:
        raise CredentialsError("no MFA code was typed", code="mfa-code-missing", hint="run it again and type the code")
    return line.rstrip("\r\n")


def ask_line(question: str) -> str:
    """Ask for something that is not secret. Ctrl-D returns "".

    Raises:
        CredentialsError: there is no terminal.
        Interrupted: Ctrl-C.
    """
    try:
        return _read_line(question).strip()
    except OSError:
        raise _no_terminal() from None
    except KeyboardInterrupt:
        raise Interrupted from None


def confirm(question: str) -> bool:
    """Ask a yes-or-no question, no by default. Each command that asks has -y to skip the question.

    Raises:
        CredentialsError: there is no terminal.
        Interrupted: Ctrl-C.
    """
    try:
        return is_yes(_read_line(f"{question} {CHOICE}"))
    except OSError:
        raise CredentialsError(
            f"there is no terminal to ask: {question.splitlines()[-1]}",
            code="terminal-missing",
            hint="run it in a terminal, or add -y",
        ) from None
    except KeyboardInterrupt:
        raise Interrupted from None


def is_yes(answer: str) -> bool:
    """Return True if an answer to a question with `CHOICE` is yes."""
    return answer.strip().lower() in ("y", "yes")


def _read_line(message: str) -> str:
    """Write a question and read one line with its end.

    Raises:
        OSError: there is no terminal.
    """
    # one descriptor for each direction: a terminal cannot seek, which a read-write text stream requires
    with (
        open(TERMINAL if os.name == "posix" else "CONOUT$", "w", encoding="utf-8", errors="replace") as screen,
        open(TERMINAL if os.name == "posix" else "CONIN$", encoding="utf-8", errors="replace") as keys,
    ):
        screen.write(message)
        screen.flush()
        line = keys.readline(MAX_LENGTH)
        if not line:  # Ctrl-D
            screen.write("\n")
        return line


def no_terminal() -> CredentialsError:
    """Return the error for an MFA code that is needed without a terminal."""
    return CredentialsError(
        "an MFA code is needed, and there is no terminal to ask for it",
        code="mfa-no-terminal",
        hint="give it with -o or MFA_CODE, or let mfa_process print it",
    )


def ask_passphrase(question: str) -> str:
    """Ask for the passphrase of the keyring file.

    Raises:
        CredentialsError: there is no terminal.
        Interrupted: Ctrl-C.
    """
    from aws_runas.credentials.keyring_keys import nobody_to_ask

    try:
        return ask_secret(question)
    except CredentialsError:
        pass
    return nobody_to_ask(question)


def ask_secret(prompt: str) -> str:
    """Read a line without echo.

    Args:
        prompt: written as it is.

    Raises:
        CredentialsError: there is no terminal; nothing is read from anywhere else.
        Interrupted: Ctrl-C or Ctrl-D.
    """
    import getpass

    if os.name == "posix":
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        except OSError:
            raise _no_terminal() from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # getpass would read stdin with echo
            return getpass.getpass(prompt)
    except (KeyboardInterrupt, EOFError):
        raise Interrupted from None
    except (getpass.GetPassWarning, OSError):
        raise _no_terminal() from None


def _no_terminal() -> CredentialsError:
    return CredentialsError(
        "there is no terminal to ask on",
        code="terminal-missing",
        hint="run it in a terminal; secrets are not taken from a pipe or an argument",
    )


def person_at_terminal(environ: Mapping[str, str]) -> Person:
    """Return the prompts for the user at the terminal.

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
    """Show a list that narrows as the user types. Return None if there is no terminal, or nothing was chosen."""
    from aws_runas.cli.terminal.picker import displayed, row_picker

    pick = row_picker(environ)
    return None if pick is None else pick([displayed(f"{row}  ({title})") for row in rows], ())
