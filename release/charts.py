"""Bar charts of the data from ``make bench`` (`bench.results`)."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pygal
from pygal.style import Style

from release.performance_page import block_ends

WIDTH = 640  # pixels; a phone shows it at 60 %, where the text is still readable
BAR_HEIGHT = 34  # pixels
LABEL_LENGTH = 34  # characters
LARGEST_WITH_DIGITS = 999.5  # larger values with three digits would need an exponent
FRAME_HEIGHT = 110  # pixels for the title, the axis and the margins


@dataclass(frozen=True, slots=True)
class Measured:
    """One chart of a benchmark.

    Args:
        bench: name of the benchmark.
        title: of the table.
        unit: of the values, such as "ms" or "MB/s".
        rows: name -> value.
    """

    bench: str
    title: str
    unit: str
    rows: dict[str, float]


def read_results(directory: Path) -> list[Measured]:
    """Read the charts of every benchmark that has stored numbers."""
    found = []
    for path in sorted(directory.glob("*.json")):
        for chart in json.loads(path.read_text(encoding="utf-8"))["charts"]:
            rows = {name.replace("`", ""): float(value) for name, value in chart["rows"].items()}
            found.append(Measured(path.stem, chart["title"], chart["unit"], rows))
    return found


def draw_charts(page: str, results: Path, directory: Path) -> str:
    """Draw each chart into a separate file, and return the page that shows them.

    A chart is below the table with its title, or below the last table of its benchmark.

    Args:
        page: Markdown with the parts that `performance_page` fills.
        results: directory of the numbers.
        directory: where the images are written; the page is next to it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shown: dict[int, str] = {}
    for number, measured in enumerate(read_results(results)):
        ends = {table: end for name, table, end in block_ends(page) if name == measured.bench}
        if not ends:
            raise ValueError(f"docs/reference/performance.md has no part for bench.{measured.bench}")
        end = ends.get(measured.title, max(ends.values()))
        name = f"{measured.bench}-{number}.svg"
        (directory / name).write_bytes(_bars(measured))
        picture = f"\n\n![{measured.title}, {measured.unit}]({directory.name}/{name})"
        shown[end] = shown.get(end, "") + picture
    for end in sorted(shown, reverse=True):
        page = page[:end] + shown[end] + page[end:]
    return page


def _short(name: str) -> str:
    """Shorten a name that would leave no room for its bar; the table has the full name."""
    return textwrap.shorten(name, LABEL_LENGTH, placeholder=" …")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= LARGEST_WITH_DIGITS else f"{value:.3g}"


def _bars(measured: Measured) -> bytes:
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="#808080",  # readable on both white and black
        foreground_strong="#808080",
        foreground_subtle="#808080",
        colors=("#1f7a8c",),
        font_family="sans-serif",
        label_font_size=15,
        title_font_size=17,
    )
    chart = pygal.HorizontalBar(
        style=style,
        js=[],  # the page loads nothing from other sites
        title=f"{measured.title} ({measured.unit})",
        show_legend=False,
        show_x_labels=False,  # each row's name includes its value, because text on a bar would be hidden on a phone
        show_x_guides=False,
        width=WIDTH,
        height=FRAME_HEIGHT + BAR_HEIGHT * len(measured.rows),
        truncate_label=-1,
        spacing=10,
    )
    rows = list(reversed(measured.rows.items()))
    chart.x_labels = [f"{_short(name)}: {_number(value)}" for name, value in rows]
    chart.add("", [value for _, value in rows])
    rendered: bytes = chart.render()
    return rendered
