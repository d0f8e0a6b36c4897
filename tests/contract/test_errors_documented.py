"""Every error that can be printed has a stable code and a row in docs/reference/errors.md, and every row an error."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from aws_runas import errors

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "errors.md"
_ROW = re.compile(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*[^| ][^|]*) \| ([^|]*)\|$")
_CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
STATUSES = {
    name: value.exit_status
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.AwsRunasError) and name != "ProgramError"
}


def raised() -> dict[str, set[tuple[str, str]]]:
    """Code -> where it stands and in a call of what."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                    value = keyword.value.value
                    if isinstance(value, str):
                        found[value].add((f"{path.relative_to(ROOT)}:{node.lineno}", called))
    return found


def documented() -> dict[str, set[int]]:
    """Code -> exit statuses of its row."""
    rows: dict[str, set[int]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = _ROW.match(line)
        if match:
            assert match[1] not in rows, f"{match[1]} has two rows"
            rows[match[1]] = {int(number) for number in re.findall(r"\d+", match[2])}
    return rows


def test_every_error_has_a_row() -> None:
    rows = documented()
    missing = {code: sorted(places) for code, places in raised().items() if code not in rows}
    assert not missing


def test_every_row_has_an_error() -> None:
    assert sorted(set(documented()) - set(raised())) == []


def test_every_line_of_the_table_is_a_row() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert [line for line in lines[2:] if not _ROW.match(line)] == []


@pytest.mark.parametrize("code", sorted(raised()))
def test_a_code_is_in_kebab_case(code: str) -> None:
    assert _CODE.fullmatch(code)


def test_the_exit_status_in_the_row_is_that_of_the_error() -> None:
    rows = documented()
    wrong = [
        f"{code}: {called} at {place} exits {STATUSES[called]}, the row says {sorted(rows[code])}"
        for code, places in raised().items()
        for place, called in sorted(places)
        if called in STATUSES and code in rows and STATUSES[called] not in rows[code]
    ]
    assert wrong == []
