"""A diagram of the channel's states: Graphviz draws the transition table, so the page needs no script."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap

from aws_runas.ssm.core.state import TRANSITIONS

LABEL_WIDTH = 26  # characters per line in the label of an arrow


class DiagramError(Exception):
    """Graphviz is missing or failed."""


def state_diagram() -> str:
    """Return the diagram as an SVG element in the colour of the text around it.

    Raises:
        DiagramError: ``dot`` is missing or failed.
    """
    dot = shutil.which("dot")
    if dot is None:
        raise DiagramError("the state diagram needs dot: on Debian, apt-get install graphviz")
    drawn = subprocess.run([dot, "-Tsvg"], input=_graph(), capture_output=True, text=True, check=True).stdout
    svg = drawn[drawn.index("<svg") :]
    svg = re.sub(r'(stroke|fill)="black"', r'\1="currentColor"', svg)
    svg = re.sub(r"<text (?![^>]*fill)", '<text fill="currentColor" ', svg)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    return svg.replace("<svg ", '<svg role="img" aria-label="States of a channel" style="max-width: 100%" ', 1).strip()


def _graph() -> str:
    lines = [
        'digraph "States of a channel" {',
        'graph [bgcolor="transparent" nodesep="0.5"]',
        'node [shape="box" style="rounded" fontname="sans-serif"]',
        'edge [fontname="sans-serif" fontsize="10"]',
        'start [shape="point"]',
        "start -> CONNECTING",
    ]
    for state, row in TRANSITIONS.items():
        for trigger, following in row.items():
            label = "\\n".join(textwrap.wrap(trigger.value, LABEL_WIDTH))
            lines.append(f'{state.name} -> {following.name} [label="{label}"]')
    return "\n".join([*lines, "}"])
