"""Report the line and branch coverage of a test run, and fail where it is below what was reached before.

``make check`` runs the tests of tests/unit and tests/core, which call the code in their own process, and then this.
Programs that tests start are not measured.

Run: .venv/bin/python -m tests.support.coverage_floor .coverage
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import coverage

# Percent. Measured by `make check`, minus one point; raise them when the figures have grown by more than that.
LINES = 62.8
BRANCHES = 53.1


def main(data_file: str) -> int:
    """Print the figures; the exit status is 1 where one of them is below its floor."""
    measured = coverage.Coverage(data_file=data_file)
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        measured.json_report(outfile=f"{folder}/coverage.json")
        totals = json.loads(Path(folder, "coverage.json").read_text())["totals"]
    failed = False
    for name, percent, floor in (
        ("line", totals["percent_statements_covered"], LINES),
        ("branch", totals["percent_branches_covered"], BRANCHES),
    ):
        verdict = "ok" if percent >= floor else "BELOW THE FLOOR"
        failed |= percent < floor
        print(f"{name} coverage of tests/unit and tests/core: {percent:.1f} % (floor {floor:.1f} %) {verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
