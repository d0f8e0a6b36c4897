"""Known vulnerabilities of what a package bundles, by pip-audit: ``python -m release.audit REQUIREMENTS``.

Vulnerabilities are a failure. An index that cannot be asked is a warning: a build without a network must be possible.
"""

from __future__ import annotations

import json
import subprocess
import sys


def read_report(report: str) -> tuple[list[str], list[str]] | None:
    """Read pip-audit's report.

    Args:
        report: its standard output, in JSON.

    Returns:
        A line for each vulnerability, and one for each package that could not be looked up; None if there is no report.
    """
    found, skipped = [], []
    try:
        for package in json.loads(report)["dependencies"]:
            if "skip_reason" in package:
                skipped.append(f"{package['name']}: {package['skip_reason']}")
            for entry in package.get("vulns", ()):
                fixed = ", ".join(entry["fix_versions"]) or "no release"
                found.append(f"{package['name']} {package['version']}: {entry['id']}, fixed in {fixed}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found, skipped


def audit(requirements: str) -> int:
    """Ask, print what was found, and return the exit status."""
    words = [sys.executable, "-m", "pip_audit", "-r", requirements, "--require-hashes", "--disable-pip", "-f", "json"]
    done = subprocess.run([*words, "--progress-spinner", "off", "--timeout", "15"], capture_output=True, check=False)
    report = read_report(done.stdout.decode(errors="replace"))
    if report is None:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        print(f"warning: nothing was audited: {lines[-1] if lines else 'pip-audit said nothing'}", file=sys.stderr)
        return 0
    found, skipped = report
    for line in skipped:
        print(f"warning: not audited: {line}", file=sys.stderr)
    if found or not skipped:
        print("\n".join(found) or f"no known vulnerabilities in {requirements}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1]))
