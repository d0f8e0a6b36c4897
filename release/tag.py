"""The tag of a release: ``python -m release.tag``. The version comes from the package, and nothing is pushed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from aws_runas import __version__

ROOT = Path(__file__).parents[1]


def problem(version: str, changelog: str, status: str, tags: str) -> str:
    """Return why a release cannot be tagged, "" if it can.

    Args:
        version: of the package.
        changelog: content of CHANGELOG.md.
        status: of ``git status --porcelain``.
        tags: of ``git tag``.
    """
    heading = re.search(rf"^## \[{re.escape(version)}\] - (\S+)$", changelog, re.MULTILINE)
    if heading is None:
        return f"CHANGELOG.md has no heading ## [{version}] - DATE"
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", heading[1]):
        return f"CHANGELOG.md says {heading[1]!r} of {version}; write the date, such as 2026-01-31"
    if changed := [line[3:] for line in status.splitlines()]:
        return f"there are changes that are not committed: {', '.join(changed)}"
    if f"v{version}" in tags.split():
        return f"the tag v{version} exists; raise the version in src/aws_runas/__init__.py"
    return ""


def tag(root: Path, version: str) -> str:
    """Tag the current commit and return the tag's name.

    Raises:
        SystemExit: the release is not ready; the message says why.
    """
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    reason = problem(version, changelog, _git(root, "status", "--porcelain"), _git(root, "tag"))
    if reason:
        raise SystemExit(f"not tagged: {reason}")
    name = f"v{version}"
    _git(root, "tag", "--annotate", "--message", f"aws-runas {version}", name)
    return name


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    made = tag(ROOT, __version__)
    print(f"tagged {made}; publish it with: git push origin {made}")
    sys.exit(0)
