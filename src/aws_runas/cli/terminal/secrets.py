"""Asks for a secret on the terminal itself, without showing it."""

from __future__ import annotations

import getpass
import os
import warnings

from aws_runas.errors import CredentialsError, Interrupted


def ask_secret(prompt: str) -> str:
    """Read a line that is not shown.

    Raises:
        CredentialsError: there is no terminal; nothing is read from anywhere else.
        Interrupted: Ctrl-C.
    """
    if os.name == "posix":
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        except OSError:
            raise _no_terminal() from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would read stdin, echoing
            return getpass.getpass(prompt)
    except KeyboardInterrupt:
        raise Interrupted from None
    except (getpass.GetPassWarning, EOFError, OSError):
        raise _no_terminal() from None


def _no_terminal() -> CredentialsError:
    return CredentialsError(
        "there is no terminal to ask for the password on",
        code="terminal-missing",
        hint="run it in a terminal; the password is not taken from a pipe or an argument",
    )
