"""Options of ``keys``."""

from __future__ import annotations

from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.dataclass import dataclass

ACTIONS = ("add", "import", "list", "remove", "rotate")
SOURCES = ("file", "env", "aws-vault")


@dataclass(frozen=True, slots=True)
class KeysOptions:
    """Options of one `keys` command.

    Args:
        action: one of ACTIONS.
        profile: profile with the keys; None only for ``list``.
        source: where an import reads the keys, one of SOURCES.
        keep: an import leaves the keys in their file.
        yes: do not ask for confirmation.
        replace_inactive, delete, finish: flags of ``rotate``.
        json: write JSON, for programs.
    """

    action: str
    flags: GlobalFlags
    profile: str | None
    source: str = "file"
    keep: bool = False
    yes: bool = False
    replace_inactive: bool = False
    delete: bool = False
    finish: bool = False
    json: bool = False

    @property
    def name(self) -> str:
        """The profile, for actions that require one."""
        return self.profile or "default"
