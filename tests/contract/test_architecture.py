"""ARCHITECTURE.md describes the rooms that exist, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "aws_runas"
TOP = "    src/aws_runas/"
INDENT = 2  # blanks for each level
LISTED = ("", "cli/", "ssm/")  # rooms whose modules are described one by one
_LINE = re.compile(r"^ {6}(?P<indent> *)(?P<names>\S+(?:, \S+)*)(?:  .*)?$")


MAX_FUNCTION = 57  # lines, docstring included
_DEF = re.compile(r"^( *)(?:async )?def (\w+)")


def described(text: str) -> set[str]:
    """Paths of rooms (with a slash) and modules that the tree of a page names, below the package."""
    found: set[str] = set()
    rooms: list[str] = []
    for line in text.partition(TOP + "\n")[2].splitlines():
        match = _LINE.match(line)
        if match is None:
            break
        depth = len(match["indent"]) // INDENT
        above = "".join(rooms[:depth])
        names = match["names"].split(", ")
        found.update(above + name for name in names)
        rooms[depth:] = [names[-1]]
    return found


def present() -> tuple[set[str], set[str]]:
    """Rooms, and the modules of the rooms in LISTED."""
    rooms = {f"{path.parent.relative_to(SOURCE)}/" for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE}
    modules = {
        f"{room}{path.stem}" for room in LISTED for path in (SOURCE / room).glob("*.py") if path.stem != "__init__"
    }
    return rooms, modules


def test_page_describes_every_room_and_no_other() -> None:
    rooms, modules = present()
    names = described((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    assert {name for name in names if name.endswith("/")} == rooms
    assert {name for name in names if not name.endswith("/")} == modules


def test_a_tree_is_read_by_its_indentation() -> None:
    lines = (
        TOP,
        "      files     text, more",
        "      cli/      text",
        "        a, b/   text",
        "          c",
        "        d",
        "  x",
    )
    text = "\n".join(lines)
    assert described(text) == {"files", "cli/", "cli/a", "cli/b/", "cli/b/c", "cli/d"}


def function_lengths(text: str) -> Iterator[tuple[int, str]]:
    """Length and name of each function, by indentation: parsing the whole package takes ten times as long."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if match := _DEF.match(line):
            end = last = start
            while end + 1 < len(lines) and _continues(lines[end + 1], len(match[1])):
                end += 1
                last = end if lines[end].strip() else last
            yield last - start + 1, match[2]


def _continues(line: str, indent: int) -> bool:
    bare = line.lstrip()
    return not bare or len(line) - len(bare) > indent or bare.startswith(")")


def test_every_function_fits_on_a_screen() -> None:
    long = [
        f"{path.relative_to(SOURCE)}: {name} has {length} lines"
        for path in sorted(SOURCE.rglob("*.py"))
        for length, name in function_lengths(path.read_text(encoding="utf-8"))
        if length > MAX_FUNCTION
    ]
    assert long == []


def test_a_function_ends_before_the_next_line_of_its_own_indentation() -> None:
    text = "def a(\n    x,\n) -> None:\n    y\n\n    z\n\n\nclass B:\n    async def c(self):\n        pass\n"
    assert list(function_lengths(text)) == [(6, "a"), (2, "c")]
