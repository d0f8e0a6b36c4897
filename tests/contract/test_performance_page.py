"""The tables of docs/reference/performance.md are those that the benchmarks wrote, and never of two runs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from release.performance_page import DATA, PAGE, ROOT, block_ends, blocks, filled, measured

TEXT = PAGE.read_text(encoding="utf-8")
SAMPLE = (
    "Said by hand.\n<!-- bench: sample: Speed -->\n\nold\n\n<!-- end -->\n<!-- bench: sample -->\nold\n<!-- end -->\n"
)
BENCHMARK = """
from bench.results import Results
run = Results("sample")
run.add("Speed", "MB/s", {"ours": 0.123456})
run.table("Speed", ("", "ours"), [["upload", "0.12 MB/s"]])
run.write()
"""
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
(BENCHES,) = (found.split() for found in re.findall(r"\$\(or \$\(BENCH\),(.*?)\)", MAKEFILE))


def literals(name: str, *functions: str) -> Iterator[str]:
    """Yield the first argument of each call of functions in a benchmark, where it is a string."""
    for node in ast.walk(ast.parse((ROOT / "bench" / f"{name}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rpartition(".")[2] in functions:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


@pytest.mark.parametrize(("name", "table", "body"), blocks(TEXT), ids=lambda value: value[:40])
def test_part_of_the_page_is_what_was_measured(name: str, table: str, body: str) -> None:
    path = DATA / f"{name}.json"
    is_stored = path.exists() and bool(json.loads(path.read_text(encoding="utf-8"))["tables"])
    wanted = measured(name, table, DATA)
    assert wanted == body if is_stored else wanted is None, "run `make docs`"


@pytest.mark.parametrize("name", BENCHES)
def test_every_benchmark_keeps_its_tables_and_the_page_shows_each(name: str) -> None:
    assert set(literals(name, "Results")) == {name}
    assert ".write()" in (ROOT / "bench" / f"{name}.py").read_text(encoding="utf-8")
    shown = [table for bench, table, _ in blocks(TEXT) if bench == name]
    assert sorted(shown) == sorted(["", *literals(name, "table", "_table")])


def test_the_page_shows_no_other_benchmark() -> None:
    assert {name for name, _, _ in blocks(TEXT)} == set(BENCHES)
    assert {path.stem for path in DATA.glob("*.json")} <= set(BENCHES)


def test_no_number_of_a_run_stands_between_the_tables() -> None:
    outside = TEXT
    for _, _, body in blocks(TEXT):
        outside = outside.replace(body, "\n", 1)
    assert re.findall(r"\d\.\d+ (?:ms|s|MB|MB/s)\b|\(load \d", outside) == []


def test_every_number_in_a_table_stands_in_a_part_that_is_filled() -> None:
    outside = TEXT
    for _, _, body in blocks(TEXT):
        outside = outside.replace(body, "", 1)
    assert [line for line in outside.splitlines() if line.startswith("|")] == []


def test_run_fills_its_table_and_its_conditions(tmp_path: Path) -> None:
    environ = os.environ | {"BENCH_DATA": str(tmp_path)}
    command = [sys.executable, "-c", BENCHMARK, "--quick"]
    ran = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    table = "| | ours |\n|---|---|\n| upload | 0.12 MB/s |"
    assert table in ran.stdout
    page = filled(SAMPLE, tmp_path)
    assert page.startswith(f"Said by hand.\n<!-- bench: sample: Speed -->\n\n{table}\n\n<!-- end -->\n")
    assert "`python -m bench.sample --quick`: Python " in page
    assert "old" not in page
    assert filled(page, tmp_path) == page
    assert json.loads((tmp_path / "sample.json").read_text())["charts"][0]["rows"] == {"ours": 0.1235}


def test_part_without_numbers_stays_as_it_is(tmp_path: Path) -> None:
    assert filled(SAMPLE, tmp_path) == SAMPLE
    (tmp_path / "sample.json").write_text('{"charts": [], "tables": {}}')
    assert filled(SAMPLE, tmp_path) == SAMPLE


def test_place_behind_a_part_is_behind_its_end() -> None:
    ends = block_ends(SAMPLE)
    assert [(name, table) for name, table, _ in ends] == [("sample", "Speed"), ("sample", "")]
    assert [SAMPLE[:end].rpartition("\n")[2] for _, _, end in ends] == ["<!-- end -->", "<!-- end -->"]
