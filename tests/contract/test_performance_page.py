"""The tables of docs/reference/performance.md are those that the benchmarks wrote, and never of two runs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from bench import results
from bench.page import DATA, PAGE, blocks, filled, measured

TEXT = PAGE.read_text(encoding="utf-8")
SAMPLE = (
    "Said by hand.\n<!-- bench: sample: Speed -->\n\nold\n\n<!-- end -->\n<!-- bench: sample -->\nold\n<!-- end -->\n"
)


@pytest.mark.parametrize(("name", "table", "body"), blocks(TEXT), ids=lambda value: value[:40])
def test_part_of_the_page_is_what_was_measured(name: str, table: str, body: str) -> None:
    importlib.import_module(f"bench.{name}")
    assert measured(name, table, DATA) in (None, body), "run `make docs`"


def test_every_number_in_a_table_stands_in_a_part_that_is_filled() -> None:
    outside = TEXT
    for _, _, body in blocks(TEXT):
        outside = outside.replace(body, "", 1)
    assert [line for line in outside.splitlines() if line.startswith("|")] == []


def test_run_fills_its_table_and_its_conditions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "DIRECTORY", tmp_path)
    monkeypatch.setattr("sys.argv", ["sample.py", "--quick"])
    run = results.Results("sample")
    run.add("Speed", "MB/s", {"ours": 0.123456})
    run.table("Speed", ("", "ours"), [["upload", "0.12 MB/s"]])
    run.write()
    table = "| | ours |\n|---|---|\n| upload | 0.12 MB/s |"
    assert table in capsys.readouterr().out
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
