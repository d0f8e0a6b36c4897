"""Writes the tables of docs/reference/cli.md from the program's own: ``python -m tests.contract.cli_reference``."""

from __future__ import annotations

from pathlib import Path

from aws_runas.cli.parsing import help as help_pages
from aws_runas.cli.parsing.flags import FLAGS, GROUPS
from aws_runas.fast.names import COMMANDS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
MARK = "<!-- Below this line everything is written by `python -m tests.contract.cli_reference`. -->"


def tables() -> str:
    """Return the global flags by group, then each command with its own flags."""
    text = ""
    for group, title in GROUPS.items():
        rows = []
        for flag in FLAGS:
            if flag.group == group:
                names = f"`-{flag.short}`, " if flag.short else ""
                rows.append((f"{names}`--{flag.long}{f'={flag.metavar}' if flag.takes_value else ''}`", flag.help))
        text += f"\n## {title}\n\n" + _table(rows)
    for name, module, parser in help_pages.commands():
        text += f"\n## {name}\n\n{module.SUMMARY[:1].upper()}{module.SUMMARY[1:]}.\n\n"
        text += f"    aws-runas [flags] {help_pages.usage(name, module, parser)}\n"
        aliases = [f"`{alias}`" for alias, each in COMMANDS.items() if each == name and alias != name]
        if aliases:
            text += f"\nAlso spelled {', '.join(aliases)}.\n"
        own = help_pages.flags(parser, "")
        positionals = help_pages.arguments(parser)
        if own or positionals:
            text += "\n" + _table([(f"`{left.strip()}`", right) for left, right in positionals + own])
    return text


def _table(rows: list[tuple[str, str]]) -> str:
    escaped = [(left.replace("|", "\\|"), right.replace("|", "\\|").replace("<", "\\<")) for left, right in rows]
    return "| | |\n|---|---|\n" + "".join(f"| {left} | {right} |\n" for left, right in escaped)


if __name__ == "__main__":
    written = REFERENCE.read_text().partition(MARK)[0]
    REFERENCE.write_text(written + MARK + "\n" + tables())
