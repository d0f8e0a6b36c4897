"""An MFA code from a program, as ``ykman oath accounts code -s NAME`` or ``op item get NAME --otp`` print it."""

from __future__ import annotations

import re

from aws_runas.config.profile import Setting
from aws_runas.credentials import processes
from aws_runas.errors import CredentialsError

TIMEOUT = 120  # seconds: the program may wait for a touch or a fingerprint


def run(command: Setting[str], device: str) -> str:
    """Run the program and read the code.

    Args:
        command: a command line, split as a shell would, run without a shell.
        device: serial number of the MFA device.

    Returns:
        The last word of six digits that it printed.

    Raises:
        ConfigError: the command line cannot be split, or the program runs itself in a circle.
        CredentialsError: it could not be started, failed, or printed no code.
    """
    try:
        printed = processes.run(f"mfa_process of {device}", command, timeout=TIMEOUT)
    except processes.ProcessFailed as failure:
        raise _failed(command, str(failure)) from None
    codes = re.findall(r"(?<!\d)\d{6}(?!\d)", printed.decode("utf-8", "replace"))
    if not codes:
        raise _failed(command, "it printed no six digits")
    return str(codes[-1])


def _failed(command: Setting[str], reason: str) -> CredentialsError:
    return CredentialsError(
        f"mfa_process ({command.origin}) gave no code: {reason}",
        code="mfa-process-failed",
        hint="run it by hand to see more, or give a code with -o",
    )
