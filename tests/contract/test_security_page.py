"""docs/explanation/security.md names a test for each guard; the tests are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "security.md"


def test_every_test_that_the_security_page_names_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"\btest_[a-z0-9_]+", text))
    sources = [*ROOT.glob("tests/**/test_*.py")]
    defined = {name for source in sources for name in re.findall(r"def (test_\w+)", source.read_text(encoding="utf-8"))}
    assert named - defined - {source.stem for source in sources} == set()


def test_every_guard_has_an_attack_in_the_tests() -> None:
    guards = re.findall(r"^def ([a-z_]+)\(", (ROOT / "src/aws_runas/serve/guards.py").read_text("utf-8"), re.MULTILINE)
    assert {"host", "forwarded", "browser", "same_origin", "framed", "page_token", "bearer"} <= set(guards)
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| **")]
    assert [row for row in rows if "`test" not in row] == []
