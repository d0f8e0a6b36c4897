"""Every error of the sources has a fix in tests/support/fixes.py, and hints that are written out match it.

That table is what judges: tests/conftest.py compares it with each error that a test raises, whatever the test asserts
itself, and `make test` fails if no test raises one of its errors. What is tested here is the table.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.fixes import FIXES, HANDED_ON, NOTHING_TO_DO, complaint

ROOT = Path(__file__).parents[2]
ANY_WORD = "usage"  # any wrong word of a command line: what it should be is in the message, or in the hint as a command
SHARED = 16  # other errors whose hint a pattern may match, as "run the same command again" does
ANYTHING = ("", "x", "try it", "check it", "see the documentation", "something is wrong with the value")


def _hints() -> dict[str, list[str | None]]:
    """Code -> the hints of the places where it is raised: their text, None if it is not written out there."""
    found: dict[str, list[str | None]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            values = {keyword.arg: keyword.value for keyword in node.keywords}
            code, hint = values.get("code"), values.get("hint")
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                text = hint.value if isinstance(hint, ast.Constant) else None
                found.setdefault(code.value, []).append(text if isinstance(text, str) else None)
    return found


HINTS = _hints()


def _patterns(code: str) -> list[str]:
    fix = FIXES[code]
    return [fix] if isinstance(fix, str) else list(fix.values())


def test_each_error_has_a_fix_or_needs_none() -> None:
    assert HINTS.keys() == FIXES.keys() | NOTHING_TO_DO | HANDED_ON
    assert not FIXES.keys() & (NOTHING_TO_DO | HANDED_ON)
    assert not NOTHING_TO_DO & HANDED_ON


def test_an_error_that_leaves_nothing_to_do_has_no_hint() -> None:
    assert {code for code in NOTHING_TO_DO if any(HINTS[code])} == set()


def test_a_fix_tells_something() -> None:
    """A pattern that anything matches would judge nothing."""
    assert {
        code for code in FIXES for pattern in _patterns(code) for text in ANYTHING if re.search(pattern, text)
    } == set()


def test_a_fix_is_that_of_its_error() -> None:
    """The pattern of an error matches few hints of other errors; one that matches most would prove nothing."""
    foreign = {}
    for code in FIXES.keys() - {ANY_WORD}:
        for pattern in _patterns(code):
            others = {one for one, hints in HINTS.items() for hint in hints if hint and re.search(pattern, hint)}
            if len(others - {code}) > SHARED:
                foreign[code] = pattern
    assert foreign == {}


def test_hints_that_are_written_out_match() -> None:
    """Also where no test raises the error: a hint that is one text must match one of the patterns of its code."""
    assert {
        (code, hint)
        for code in FIXES
        for hint in HINTS[code]
        if hint and not any(re.search(pattern, hint) for pattern in _patterns(code))
    } == set()


@pytest.mark.parametrize(
    ("code", "message", "hint", "is_wrong"),
    [
        ("no-space", "no space: x", "free some space; the same command resumes", False),
        ("no-space", "no space: x", "try again", True),
        ("no-space", "no space: x", None, True),
        ("port-taken", "[::1]:80 is in use already", "choose another port with -p, or leave it out", False),
        ("port-taken", "a is in use already, by another forward of this command", "choose another with -p", True),
        ("flag-argument-missing", "--region needs an argument", None, False),
        ("interrupted", "interrupted", None, False),
        ("an-error-of-tomorrow", "what is wrong", "how to fix it", True),
    ],
)
def test_the_judge_tells_a_fix_from_other_words(code: str, message: str, hint: str | None, is_wrong: bool) -> None:
    assert bool(complaint(code, message, hint)) == is_wrong
