"""An MFA code from a program, as ``ykman oath accounts code -s NAME`` or ``op item get NAME --otp`` print it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import IO

from aws_runas.config.profile import Setting
from aws_runas.errors import ConfigError, CredentialsError

TIMEOUT = 120  # seconds: the program may wait for a touch or a fingerprint


def run(command: Setting[str]) -> str:
    """Run the program and read the code.

    Args:
        command: a command line, split as a shell would, run without a shell.

    Returns:
        The last word of six digits that it printed.

    Raises:
        ConfigError: the command line cannot be split.
        CredentialsError: it could not be started, failed, or printed no code.
    """
    try:
        words = shlex.split(command.value)
    except ValueError as error:
        raise ConfigError(
            f"mfa_process ({command.origin}): {str(error).lower()}", code="mfa-process-invalid", hint="check its quotes"
        ) from None
    if not words:
        raise _failed(command, "it names no program")
    try:
        # It can ask for a touch or a password on stderr and the terminal; our stdin is the user's program's.
        with _terminal() as keys:
            done = subprocess.run(words, stdin=keys, stdout=subprocess.PIPE, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise _failed(command, f"no code after {TIMEOUT} s") from None
    except OSError as error:
        raise _failed(command, f"{words[0]}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:  # a NUL in it
        raise _failed(command, str(error)) from None
    if done.returncode:
        raise _failed(command, f"exit status {done.returncode}")
    codes = re.findall(r"(?<!\d)\d{6}(?!\d)", done.stdout.decode("utf-8", "replace"))
    if not codes:
        raise _failed(command, "it printed no six digits")
    return str(codes[-1])


def _terminal() -> IO[bytes]:
    try:
        return open("/dev/tty" if os.name == "posix" else "CONIN$", "rb", buffering=0)
    except OSError:
        return open(os.devnull, "rb", buffering=0)


def _failed(command: Setting[str], reason: str) -> CredentialsError:
    return CredentialsError(
        f"mfa_process ({command.origin}) gave no code: {reason}",
        code="mfa-process-failed",
        hint="run it by hand to see more, or give a code with -o",
    )
