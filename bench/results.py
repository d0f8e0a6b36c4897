"""The numbers of a benchmark as data, beside the tables that it prints: ``make site`` draws charts from them."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

DIRECTORY = Path(os.environ.get("BENCH_DATA", "build/bench"))


class Results:
    """Collects the tables of one benchmark and writes them as ``NAME.json``.

    Args:
        name: of the module in ``bench``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tables: list[dict[str, object]] = []

    def add(self, title: str, unit: str, rows: dict[str, float]) -> None:
        """Add a table.

        Args:
            title: what was measured.
            unit: of all values.
            rows: name -> value.
        """
        self._tables.append({"title": title, "unit": unit, "rows": {name: round(v, 4) for name, v in rows.items()}})

    def write(self) -> None:
        """Write the file; the load is that of the last minute."""
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        data = {
            "command": f"python -m bench.{self._name}",
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "tables": self._tables,
        }
        (DIRECTORY / f"{self._name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
