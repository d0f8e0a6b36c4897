"""Types: `Any` stays at the door to botocore, and mypy is silenced only where a library has no type for something."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "aws_runas"
# File -> what mypy cannot know there.
SILENCED = {
    "__main__.py": "_signal has no stub",
    "credential_helper.py": "_signal has no stub",
    "credentials/federation.py": "a private method of http.cookiejar",
    "run/program.py": "_signal has no stub",
    "run/waiting.py": "_signal has no stub",
    "targets/dns.py": "dnspython types the records of an answer as the base class",
    "tokens/presign.py": "_sha2 and _sha256 have no stubs, and each exists in some versions only",
}


def _files() -> dict[str, Path]:
    return {str(path.relative_to(SOURCE)): path for path in sorted(SOURCE.rglob("*.py"))}


def test_any_is_used_only_beside_botocore() -> None:
    found = []
    for name, path in _files().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            used = isinstance(node, ast.Name) and node.id == "Any"
            imported = isinstance(node, ast.ImportFrom) and any(alias.name == "Any" for alias in node.names)
            if (used or imported) and not name.startswith("aws/"):
                found.append(f"{name}:{getattr(node, 'lineno', 0)}")
    assert not found, "give these a type; `object` and a check is enough for foreign data"


def test_mypy_is_silenced_only_where_a_library_has_no_type() -> None:
    silenced = set()
    for name, path in _files().items():
        with path.open("rb") as stream:
            comments = [token.string for token in tokenize.tokenize(stream.readline) if token.type == tokenize.COMMENT]
        if any(re.match(r"#\s*type:\s*ignore", comment) for comment in comments):
            silenced.add(name)
    assert {name for name in silenced if not name.startswith("aws/")} == set(SILENCED)  # botocore has no types
