"""MFA codes from the command line, a program or the user; a wrong code may be retried."""

from __future__ import annotations

import re
from collections.abc import Callable

from aws_runas.aws.credentials import Credentials
from aws_runas.aws.errors import aws_message
from aws_runas.config.profile import Setting
from aws_runas.credentials import processes
from aws_runas.errors import CredentialsError

ATTEMPTS = 3  # in total, product rule
MAX_EMPTY_LINES = 10  # in a row; Enter without a code is not an attempt
CODE_LENGTH = 6  # digits, AWS: TokenCode

Prompt = Callable[[str], str]


class MfaCodes:
    """Gives codes for one device, each at most once.

    Args:
        serial: the device, and the origin of that setting.
        otp: the code from the command line, used for the first attempt.
        process: a command that prints a code, used instead of the prompt.
        prompt: asks the user; raises an error if it cannot.
    """

    def __init__(
        self, serial: Setting[str], otp: Setting[str] | None, process: Setting[str] | None, prompt: Prompt
    ) -> None:
        self.serial = serial
        self._otp = otp
        self._process = process
        self._prompt = prompt

    def attempt(self, call: Callable[[str], Credentials]) -> Credentials:
        """Make a call with a code; after a wrong code, repeat it with the next one.

        Args:
            call: makes the STS call with a code.

        Raises:
            CredentialsError: the device or the third code was refused, or the user cannot be asked.
        """
        refused: CredentialsError | None = None
        process = self._process
        for left in range(ATTEMPTS, 0, -1):
            if self._otp is not None:
                (code, origin), self._otp = (self._otp.value, self._otp.origin), None
            elif process is not None:
                (code, origin), process = (run(process, self.serial.value), process.origin), None
            else:
                code, origin = self._ask(refused, left), "the terminal"
            code = "".join(code.split())  # some apps show a space in the middle
            if len(code) != CODE_LENGTH or not (code.isascii() and code.isdigit()):
                refused = _not_a_code(origin)
                continue
            try:
                return call(code)
            except CredentialsError as error:
                refused = self._judge(error)
                if refused.code != "mfa-code-refused":
                    raise refused from error.__cause__
        raise refused or _not_a_code("")

    def _ask(self, refused: CredentialsError | None, left: int) -> str:
        message = f"MFA code for {self.serial.value}: "
        if refused is not None:
            message = f"{refused.message}; {left} {'attempts' if left > 1 else 'attempt'} left\n{message}"
        try:
            for _ in range(MAX_EMPTY_LINES):
                code = self._prompt(message)
                if code.strip():
                    return code
            return ""
        except CredentialsError as error:
            if refused is not None and error.code == "mfa-no-terminal":
                raise refused from None
            raise

    def _judge(self, error: CredentialsError) -> CredentialsError:
        """Distinguish a wrong code from a wrong device: AWS uses one error code for both, only the text differs."""
        text = aws_message(error).lower()
        if not any(word in text for word in ("multifactorauthentication failed", "serialnumber", "tokencode")):
            return error
        if "one time pass code" in text or "one time passcode" in text or "tokencode" in text:
            return CredentialsError(
                "the MFA code was refused",
                code="mfa-code-refused",
                hint="each code is valid once, for half a minute: wait for the next one",
            )
        return CredentialsError(
            f"AWS refused the MFA device {self.serial.value} ({self.serial.origin}): {aws_message(error)}",
            code="mfa-device-refused",
            hint="aws-runas -m lists the devices of your user",
        )


def _not_a_code(origin: str) -> CredentialsError:
    return CredentialsError(
        f"that is not an MFA code{f' ({origin})' if origin else ''}",
        code="mfa-code-invalid",
        hint="type the six digits that the device shows",
    )


TIMEOUT = 120  # seconds: the program may wait for a touch or a fingerprint


def run(command: Setting[str], device: str) -> str:
    """Run the program and read the code.

    Args:
        command: a command line, split as a shell would, run without a shell.
        device: serial number of the MFA device.

    Returns:
        The last word of six digits that it printed.

    Raises:
        ConfigError: the command line cannot be split, or the program runs itself in a cycle.
        CredentialsError: the program could not be started, failed, or printed no code.
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
