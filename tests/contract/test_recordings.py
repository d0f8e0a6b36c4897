"""The pictures of the terminal say something from the first moment, and without animation too."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest
from release.recordings import LONGEST_WAIT, PROMPT, READING, SCENES, TYPING, Event, paced, with_still

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


def events(name: str) -> list[tuple[float, str]]:
    lines = (IMAGES / f"{name}.cast").read_text(encoding="utf-8").splitlines()
    return [(at, text) for at, _, text in map(json.loads, lines[1:])]


def test_first_line_is_there_at_once_and_keys_come_evenly() -> None:
    keys = [Event(at, key, typed=True) for at, key in ((1.0, "l"), (1.9, "s"))]
    more = [Event(9.0, "e", typed=True), Event(9.5, "x", typed=True), Event(9.6, "\r\n")]
    shown = paced([Event(0.5, "$ "), *keys, Event(2.0, "\r\n"), Event(2.25, "file\r\n"), Event(8.0, "$ "), *more])
    assert shown == [
        (0.0, "$ ls"),
        (pytest.approx(READING), "\r\n"),
        (pytest.approx(READING + 0.25), "file\r\n"),
        (pytest.approx(READING + LONGEST_WAIT + 0.25), "$ "),
        (pytest.approx(2 * READING + LONGEST_WAIT + 0.25), "e"),
        (pytest.approx(2 * READING + TYPING + LONGEST_WAIT + 0.25), "x"),
        (pytest.approx(3 * READING + TYPING + LONGEST_WAIT + 0.25), "\r\n"),
    ]


@pytest.mark.parametrize("name", SCENES)
def test_first_picture_shows_a_command_and_nothing_waits_long(name: str) -> None:
    shown = events(name)
    assert re.search(rf"{re.escape(PROMPT)}aws-runas \S+ \S+", shown[0][1])
    assert shown[0][0] == 0.0
    assert max(after - before for (before, _), (after, _) in pairwise(shown)) <= LONGEST_WAIT + 0.002
    assert shown[-1][0] < 20


def test_shell_shows_that_the_connection_was_lost_and_no_line_with_it() -> None:
    text = "".join(text for _, text in events("shell"))
    lost, regained = text.index("connection lost"), text.index("connection regained")
    lines = [text.index(f"line {number}\r\n") for number in range(1, 7)]
    assert lines == sorted(lines)
    assert lines[2] < lost < regained < lines[5]


@pytest.mark.parametrize("name", SCENES)
def test_picture_is_drawn_from_its_recording_and_is_still_where_nothing_is_animated(name: str) -> None:
    text = (IMAGES / f"{name}.svg").read_text(encoding="utf-8")
    words = ["".join(element.itertext()) for element in ElementTree.fromstring(text).iter(f"{SVG}text")]
    first = events(name)[0][1].rpartition(PROMPT)[2]
    assert any(first in word.replace("\xa0", " ") for word in words)
    moves = re.findall(r"translateY\(-?\d+px\)", text.partition("@keyframes")[2].partition("#screen_view")[0])
    assert f"#screen_view {{transform: {moves[-1]};}}" in text
    assert "prefers-reduced-motion" in text


def test_still_is_the_last_move() -> None:
    svg = "<svg><style>a{transform:translateY(0px)} b{transform:translateY(-20px)}</style></svg>"
    assert "#screen_view {transform: translateY(-20px);}" in with_still(svg)


def test_every_picture_is_made_by_a_command_and_shown_on_a_page() -> None:
    page = (ROOT / "tests" / "interop" / "test_page.py").read_text(encoding="utf-8")
    made = {f"serve-{name}.png" for name in re.findall(r'_picture\(\w+, "([\w-]+)"\)', page)}
    made |= {f"{name}.{kind}" for name in SCENES for kind in ("cast", "svg")}
    assert {path.name for path in IMAGES.iterdir()} == made
    text = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/how-to/*.md")])
    assert sorted(name for name in made if not name.endswith(".cast") and f"images/{name}" not in text) == []
