"""Every error names a fix in its message or hint, and a test asserts the words of the hint.

This check reads the sources, and proves this much: words of the hint (a run of at least eight characters) are in a text
of some test, docstrings left out. If the source has no such run, the code is in tests/unit/test_hints.py. It does not
prove that the test provokes the error. `tests/support/blank_hints.py` does: it blanks all hints of a run of the tests,
and lists the errors for which no test failed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROVOKED = ROOT / "tests" / "unit" / "test_hints.py"
LEAST = 8  # characters of a hint that a test must name

# Errors whose message is the fix, as in "takes a number from 1 to 8".
MESSAGE_IS_THE_FIX = {
    "copy-failed", "document-missing", "duration-out-of-range", "flag-argument-missing", "flag-takes-no-argument",
    "mode-invalid", "number-invalid", "reason-invalid", "sandbox-option-invalid", "sessions-invalid",
    "ssm-command-unknown", "sso-action-unknown", "window-invalid",
}  # fmt: skip
# Errors that leave nothing to do: a choice of the user, the words of AWS or of the far side, or never shown alone.
NOTHING_TO_DO = {
    "aws-error", "endpoint-without-program", "helper-failed", "instances-gone", "interrupted", "parameter-invalid",
    "profile-not-picked", "session-ended", "session-failed", "session-gone", "session-invalid", "session-left",
    "target-not-picked",
}  # fmt: skip
WITHOUT_HINT = MESSAGE_IS_THE_FIX | NOTHING_TO_DO


def _texts(node: ast.expr | None) -> list[str] | None:
    """Return the constant parts of a hint, None if they cannot be read off the source."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return [str(part.value) for part in node.values if isinstance(part, ast.Constant)]
    if isinstance(node, ast.IfExp):
        branches = [_texts(node.body), _texts(node.orelse)]
        return None if None in branches else [text for branch in branches for text in branch or []]
    return [] if node is None else None


def _hints() -> dict[str, list[list[str] | None]]:
    """Code -> the hints of the places where it is raised."""
    found: dict[str, list[list[str] | None]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            values = {keyword.arg: keyword.value for keyword in node.keywords}
            code = values.get("code")
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                found.setdefault(code.value, []).append(_texts(values.get("hint")))
    return found


def _docstrings(tree: ast.AST) -> set[int]:
    """Return the ids of the constants that are docstrings."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _tested() -> str:
    texts = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if "node_modules" in path.parts or path.name == Path(__file__).name:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        left_out = _docstrings(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
                texts.append(node.value)
    return "\n".join(texts)


def _runs(text: str) -> Iterator[str]:
    words = text.strip(" ;,.:()").split()
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            run = " ".join(words[start:end])
            if len(run) >= LEAST:
                yield run
                break  # a longer one from here holds this one


def _is_asserted(code: str, hints: list[list[str] | None], tested: str) -> bool:
    if any(hint is None for hint in hints):
        return True
    runs = [run for hint in hints for text in hint or [] for run in _runs(text)]
    return any(run in tested for run in runs) if runs else f'"{code}",' in PROVOKED.read_text(encoding="utf-8")


HINTS = _hints()


def test_an_error_without_a_hint_is_a_known_one() -> None:
    without = {code for code, hints in HINTS.items() if all(hint == [] for hint in hints)}
    assert without == WITHOUT_HINT


def test_the_fix_of_an_error_is_asserted_by_a_test() -> None:
    tested = _tested()
    missing = {
        code
        for code, hints in HINTS.items()
        if code not in WITHOUT_HINT and not _is_asserted(code, [hint for hint in hints if hint != []], tested)
    }
    assert missing == set()
