"""Sessions that run one command: parameters of their documents, and their exit status."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aws_runas.errors import UsageError

NON_INTERACTIVE: Final = "NonInteractiveCommands"
STANDARD_ERROR: Final = 11  # payload type, spec 4


def parse_parameters(words: Iterable[str]) -> dict[str, list[str]]:
    """Read ``--parameter NAME=VALUE``. A repeated name gets one more value.

    Raises:
        UsageError: a word does not have that form.
    """
    parameters: dict[str, list[str]] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not name or not separator:
            raise UsageError(
                f"--parameter takes NAME=VALUE, not {word!r}",
                code="document-parameter-invalid",
                hint="for instance --parameter command='df -h'",
            )
        parameters.setdefault(name, []).append(value)
    return parameters


def exit_status(remote: int) -> int:
    """Return a remote status as an exit status of this program: one byte, and never 0 for a failure."""
    return remote if 0 <= remote <= 255 else (remote & 0xFF) or 1
