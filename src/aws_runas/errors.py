"""The errors that a user can see.

    AwsRunasError            exit status 1
    +-- UsageError           2    the command line
    +-- ConfigError          3    profiles, config files, environment variables
    +-- CredentialsError     4    keys, MFA, STS
    +-- TargetError          5    the instance that was named
    +-- SessionError         6    the SSM session, or the port that a session or server listens on
    +-- ProgramError         126, 127  the program could not be started
    +-- Interrupted          130  Ctrl-C

Each one carries a stable ``code`` in kebab case (``profile-not-found``), always written as a literal where the error is
raised; every code has a row in docs/reference/errors.md, which a contract test checks. This module is on the fast
path, so it has no dataclass and no enum.
"""


class AwsRunasError(Exception):
    """Root of all errors: the message with the value that caused it, and how to fix it.

    Args:
        message: one line, lower case, names the offending value; never a secret.
        code: stable name of this error, a literal in kebab case.
        hint: what the user can do about it, one line, or None if the message already tells.
        details: lines to print below the message, such as the matching instances.
    """

    exit_status = 1

    def __init__(self, message: str, *, code: str, hint: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.details = details

    @property
    def summary(self) -> str:
        """The message and its details on one line, for tables and status lines."""
        return f"{self.message} {'; '.join(self.details)}".rstrip()


class UsageError(AwsRunasError):
    """The command line cannot be understood."""

    exit_status = 2


class ConfigError(AwsRunasError):
    """A profile, a config file or an environment variable is missing, damaged or contradictory."""

    exit_status = 3


class CredentialsError(AwsRunasError):
    """No credentials are available: no keys, a refused MFA code, an STS error."""

    exit_status = 4


class TargetError(AwsRunasError):
    """The target names no instance, several, or one that cannot be reached."""

    exit_status = 5


class SessionError(AwsRunasError):
    """The SSM session could not be opened or ended with an error, or the local port is in use."""

    exit_status = 6


class ProgramError(AwsRunasError):
    """The user's program could not be started.

    Args:
        exit_status: 127 when it was not found, 126 when it cannot be executed.
    """

    def __init__(self, message: str, *, code: str, exit_status: int, hint: str | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.exit_status = exit_status


class Interrupted(AwsRunasError):  # noqa: N818 - the usual name, as in KeyboardInterrupt
    """The user pressed Ctrl-C at one of our prompts."""

    exit_status = 130

    def __init__(self) -> None:
        super().__init__("interrupted", code="interrupted")
