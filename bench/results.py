"""The numbers of a benchmark as data: `make site` draws them, `release.performance_page` writes them to a page.

A benchmark prints its tables through this module, so that the printed tables, the charts and
docs/reference/performance.md have the numbers of the same run.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from release.performance_page import markdown

DIRECTORY = Path(os.environ.get("BENCH_DATA", "build/bench"))


class Results:
    """Collects the tables of one benchmark and writes them as ``NAME.json``.

    Create it before the benchmark starts: the load at that time shows whether the machine was idle.

    Args:
        name: of the module in ``bench``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._load_before = os.getloadavg()[0]
        self._charts: list[dict[str, object]] = []
        self._tables: dict[str, dict[str, object]] = {}

    def add(self, title: str, unit: str, rows: dict[str, float]) -> None:
        """Add a chart.

        Args:
            title: what was measured.
            unit: of all values.
            rows: name -> value.
        """
        self._charts.append({"title": title, "unit": unit, "rows": {name: round(v, 4) for name, v in rows.items()}})

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table for a document, and store it.

        Args:
            name: its name in the document.
            columns: titles, first that of the row names.
            rows: printed cells.
        """
        cells = [list(row) for row in rows]
        self._tables[name] = {"columns": list(columns), "rows": cells}
        print(f"\n{name}\n\n{markdown(columns, cells)}", flush=True)

    def write(self) -> None:
        """Write the file; each load is the average of the preceding minute."""
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        data = {
            "command": " ".join(["python -m", f"bench.{self._name}", *sys.argv[1:]]),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load_before": round(self._load_before, 2),
            "load": round(os.getloadavg()[0], 2),
            "charts": self._charts,
            "tables": self._tables,
        }
        (DIRECTORY / f"{self._name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
