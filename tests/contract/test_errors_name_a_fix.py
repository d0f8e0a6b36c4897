"""Every error names a fix in its message or hint, and a test asserts the words of the hint.

The check reads the sources: the words of a hint (two or more in a row) must stand in a text of some test. It cannot
tell that the test is about this error; a hint that nothing mentions is one that no test asserts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEAST = 8  # characters of a hint that a test must name

# Errors whose message is the fix, or that leave nothing to do; errors.md says what to look at.
WITHOUT_HINT = {
    "address-unusable", "agent-silent", "aws-error", "client-secret-unreadable", "command-invalid", "copy-failed",
    "document-missing", "duration-out-of-range", "endpoint-without-program", "file-changed", "flag-argument-missing",
    "flag-takes-no-argument", "helper-failed", "instance-connect-target", "instances-gone", "interrupted",
    "mode-invalid", "name-refused", "number-invalid", "output-unwritable", "parameter-invalid", "plugin-forward",
    "profile-not-picked", "program-not-executable", "reason-invalid", "releases-url-invalid",
    "sandbox-option-invalid", "sandbox-start-failed", "serve-config-unreadable", "serve-provider-failed",
    "session-ended", "session-failed", "session-gone", "session-invalid", "session-left", "session-start-timeout",
    "session-without-stream", "sessions-invalid", "ssm-command-unknown", "sso-action-unknown",
    "stream-address-invalid", "stream-refused", "target-not-picked", "tunnels-running", "tunnels-unit-unwritable",
    "window-invalid",
}  # fmt: skip
# Errors whose hint no test asserts yet. This set only gets smaller.
NOT_ASSERTED = {
    "clipboard-missing", "console-setting-invalid", "document-invalid", "endpoint-timeout",
    "identity-rejected", "oidc-discovery-failed", "port-closed", "port-not-permitted",
    "redirect-port-unavailable", "saml-no-role", "serve-privileges-kept", "session-of-others",
    "tunnels-process-ended", "tunnels-silent",
}  # fmt: skip


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


def _tested() -> str:
    texts = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if "node_modules" in path.parts or path.name == Path(__file__).name:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
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


def _is_asserted(hints: list[list[str] | None], tested: str) -> bool:
    return any(hint is None or any(run in tested for text in hint for run in _runs(text)) for hint in hints)


HINTS = _hints()


def test_an_error_without_a_hint_is_a_known_one() -> None:
    without = {code for code, hints in HINTS.items() if all(hint == [] for hint in hints)}
    assert without == WITHOUT_HINT


def test_the_fix_of_an_error_is_asserted_by_a_test() -> None:
    tested = _tested()
    missing = {
        code
        for code, hints in HINTS.items()
        if code not in WITHOUT_HINT and not _is_asserted([hint for hint in hints if hint != []], tested)
    }
    assert missing == NOT_ASSERTED
