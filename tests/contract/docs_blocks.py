"""Command blocks of the documentation: where they are, and which of them the tests run.

A block is a run of lines that are indented by four spaces. It is a command block if one of its lines names
``aws-runas``. A line above it can be a mark:

- ``<!-- test: NAME -->``: how it is run, see ``docs_world.SCENARIOS``.
- ``<!-- interop: NAME -->``: it is run by tests/interop/test_docs_blocks.py, which has the programs that it needs.
- ``<!-- not run: REASON -->``: it cannot be run. Its command lines are parsed nevertheless.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
_MARK = re.compile(r"<!-- (not run|test|interop): (.+) -->")
_COMMAND = re.compile(r"(?:^|[\s(|=\"'/])aws-runas\s")
_ENDS = {"|", ";", "&", "&&", "||", ">", "<", ">>", ")", "#"}


@dataclass(frozen=True)
class Block:
    """One command block.

    Args:
        place: page and line, for messages.
        lines: without the indentation.
        not_run: the reason why it is not run, "" if it is.
        scenario: how it is run, "" for one script.
        interop: it needs programs that only tests/interop has.
    """

    place: str
    lines: tuple[str, ...]
    not_run: str = ""
    scenario: str = ""
    interop: bool = False

    @property
    def script(self) -> str:
        """What a user types: of a block with prompts, the lines behind the prompts."""
        if any(line.startswith("$ ") for line in self.lines):
            return "\n".join(line[2:] for line in self.lines if line.startswith("$ "))
        return "\n".join(self.lines)

    def command_lines(self) -> list[list[str]]:
        """Return the arguments of each call of aws-runas in the script."""
        found = []
        text = self.script.replace("\\\n", " ")
        for line in text.splitlines():
            for match in re.finditer(r"(?:^|[\s(|\"'/=])aws-runas ", line):
                found.append(_arguments(line[match.end() :], nested=line[: match.end()].rstrip()[-11:-9] == "$("))
        return found


def blocks() -> list[Block]:
    """Return the command blocks of all pages."""
    found = []
    for page in PAGES:
        lines = [*page.read_text(encoding="utf-8").splitlines(), "end"]
        start: int | None = None
        for number, line in enumerate(lines):
            if line.startswith("    ") or (start is not None and not line.strip()):
                start = number if start is None else start
                continue
            if start is not None:
                content = tuple(each[4:] for each in lines[start:number])
                while content and not content[-1].strip():
                    content = content[:-1]
                if any(_COMMAND.search(each) for each in content) and not content[0].startswith(
                    ("[", "Host ", "aws-runas: ")
                ):
                    above = [each for each in lines[max(0, start - 2) : start] if each.strip()]
                    found.append(_block(f"{page.relative_to(ROOT)}:{start + 1}", content, above[-1] if above else ""))
                start = None
    return found


def _block(place: str, content: tuple[str, ...], above: str) -> Block:
    mark = _MARK.fullmatch(above.strip())
    if mark is None:
        return Block(place, content)
    if mark[1] == "not run":
        return Block(place, content, not_run=mark[2])
    return Block(place, content, scenario=mark[2], interop=mark[1] == "interop")


def _arguments(text: str, *, nested: bool) -> list[str]:
    """Split what follows ``aws-runas`` up to the end of the shell command."""
    if nested:
        text = text.partition(")")[0]
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    arguments: list[str] = []
    try:
        for token in lexer:
            if token in _ENDS or token.startswith(("&", ">", "<", "|", ";")):
                break
            arguments.append(token)
    except ValueError:  # the rest of a quoted command, such as -e 'aws-runas run --join my-profile'
        return text.partition("'")[0].split()
    return arguments
