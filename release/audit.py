"""Audit of bundled packages for known problems: ``python -m release.audit REQUIREMENTS``.

There are two checks. pip-audit queries a database of vulnerabilities, which not every index offers. pip queries the
index itself, which always works: whether releases are yanked, and whether their bytes match the hashes.

A finding is a failure. A check that cannot run is a warning, because builds without a network must be possible.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

TIME_LIMIT = 300.0  # seconds for a whole program


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one source.

    Args:
        source: its display name.
        found: a line for each finding.
        asked: names of the packages that it knows.
        skipped: a line for each package that it does not know.
    """

    source: str
    found: tuple[str, ...]
    asked: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def read_vulnerabilities(report: str) -> Answer | None:
    """Read pip-audit's report.

    Args:
        report: its standard output, in JSON.

    Returns:
        None if there is no report.
    """
    found, asked, skipped = [], [], []
    try:
        for package in json.loads(report)["dependencies"]:
            if "skip_reason" in package:
                skipped.append(f"{package['name']}: {package['skip_reason']}")
                continue
            asked.append(str(package["name"]))
            for entry in package.get("vulns", ()):
                fixed = ", ".join(entry["fix_versions"]) or "no release"
                found.append(f"{package['name']} {package['version']}: {entry['id']}, fixed in {fixed}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Answer("vulnerabilities", tuple(found), tuple(asked), tuple(skipped))


def read_releases(report: str, errors: str) -> Answer | None:
    """Read pip's report of what it would install.

    Args:
        report: from ``pip install --dry-run --report -``.
        errors: its standard error, with the reason if there is no report.

    Returns:
        None if there is no report for a reason other than wrong hashes.
    """
    source = "withdrawn releases and changed files"
    if "DO NOT MATCH THE HASHES" in errors:
        details = " ".join(errors.rpartition("tampered with them.")[2].split())
        return Answer(source, (f"the index has other bytes than the lock file: {details}",), ())
    try:
        releases = [
            (entry["metadata"]["name"], entry["metadata"]["version"], entry["is_yanked"])
            for entry in json.loads(report)["install"]
        ]
    except (ValueError, KeyError, TypeError):
        return None
    found = tuple(f"{name} {version}: withdrawn by its authors" for name, version, is_yanked in releases if is_yanked)
    return Answer(source, found, tuple(str(name) for name, _, _ in releases))


def audit(requirements: str) -> int:
    """Run the checks, print the findings, and return the exit status."""
    python = [sys.executable, "-m"]
    common = ["-r", requirements, "--require-hashes"]
    asked = _run(
        *python, "pip_audit", *common, "--disable-pip", "-f", "json", "--progress-spinner", "off", "--timeout", "15"
    )
    status = _tell("vulnerabilities", read_vulnerabilities(asked.stdout), asked.stderr)
    words = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-"]
    listed = _run(*python, "pip", "--disable-pip-version-check", *words, *common)
    return status | _tell("withdrawn releases", read_releases(listed.stdout, listed.stderr), listed.stderr)


def _tell(question: str, answer: Answer | None, errors: str) -> int:
    if answer is None:
        lines = errors.strip().splitlines()
        print(f"warning: nobody was asked for {question}: {lines[-1] if lines else 'no answer'}", file=sys.stderr)
        return 0
    if answer.skipped:
        count = f"{len(answer.skipped)} of {len(answer.skipped) + len(answer.asked)} packages"
        print(f"warning: not audited for {answer.source}: {count}: {answer.skipped[0]}", file=sys.stderr)
    for line in answer.found:
        print(f"warning: {line}", file=sys.stderr)
    if answer.asked and not answer.found:
        print(f"{answer.source}: none in {len(answer.asked)} packages")
    return 1 if answer.found else 0


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a program for at most TIME_LIMIT; ignore the output of one that takes longer."""
    try:
        return subprocess.run(words, capture_output=True, check=False, timeout=TIME_LIMIT, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"no answer in {TIME_LIMIT:g} s")


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1]))
