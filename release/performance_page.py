"""Fills the tables of docs/reference/performance.md with the stored numbers of the benchmarks.

    .venv/bin/python -m release.performance_page [DATA]

A line ``<!-- bench: NAME -->`` is followed by the conditions of a run, ``<!-- bench: NAME: TABLE -->`` by one of its
tables; ``<!-- end -->`` ends both. Do not edit the text between these lines: a table must not mix the numbers of two
runs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "reference" / "bench"
PAGE = ROOT / "docs" / "reference" / "performance.md"
END = "<!-- end -->"
BLOCK = re.compile(r"(<!-- bench: (?P<name>\w+)(?:: (?P<table>.+?))? -->\n)(?P<body>.*?)(?=<!-- end -->)", re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return benchmark, table ("" for the conditions) and current text of each filled part of a page."""
    return [(found["name"], found["table"] or "", found["body"]) for found in BLOCK.finditer(page)]


def block_ends(page: str) -> list[tuple[str, str, int]]:
    """Return benchmark, table ("" for the conditions) and the position after each filled part of a page."""
    return [(found["name"], found["table"] or "", found.end() + len(END)) for found in BLOCK.finditer(page)]


def filled(page: str, directory: Path) -> str:
    """Return the page with each part filled from the data; a part without data is unchanged.

    Args:
        page: its current text.
        directory: of the numbers.
    """
    return BLOCK.sub(
        lambda found: found[1] + (measured(found["name"], found["table"], directory) or found["body"]), page
    )


def measured(name: str, table: str | None, directory: Path) -> str | None:
    """Return a part of the page from the data, None if the data do not contain it.

    Args:
        name: of the benchmark.
        table: None for the conditions of the run.
        directory: of the numbers.
    """
    path = directory / f"{name}.json"
    if not path.exists():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    if not table:
        return f"\n{conditions(data)}.\n\n" if data["tables"] else None
    if table not in data["tables"]:
        return None
    return f"\n{markdown(data['tables'][table]['columns'], data['tables'][table]['rows'])}\n\n"


def conditions(data: dict[str, object]) -> str:
    """Return the conditions of a run: its command, Python version, machine and load.

    Args:
        data: content of a file from `Results.write`.
    """
    before = f"{data['load_before']:.1f} before and " if "load_before" in data else ""
    machine = f"Python {data['python']}, {data['cores']} cores, load {before}{data['load']:.1f}"
    return f"`{data['command']}`: {machine}" + (" after" if before else "")


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown, without a trailing newline."""
    lines = [f"| {' | '.join(columns)} |".replace("|  |", "| |"), "|---" * len(columns) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    """Fill the page in place, and list the parts without data."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    text = PAGE.read_text(encoding="utf-8")
    for name, table, _ in blocks(text):
        if measured(name, table, data) is None:
            missing = f"{name}: {table}" if table else name
            print(f"not in {data}: {missing}; BENCH_DATA={data} make bench BENCH={name}", file=sys.stderr)
    PAGE.write_text(filled(text, data), encoding="utf-8")


if __name__ == "__main__":
    main()
