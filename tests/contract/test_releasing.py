"""What keeps a release from being tagged, and how the report of an audit is read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from release import debian
from release.audit import read_releases, read_vulnerabilities
from release.tag import problem, tag

from aws_runas import __version__

READY = "# Changes\n\n## [4.0.0] - 2026-12-01\n\nFirst.\n"


def git(root: Path, *words: str) -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *settings, *words], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for name, value in (("user.name", "t"), ("user.email", "t@example.com"), ("tag.gpgsign", "false")):
        git(tmp_path, "config", name, value)
    (tmp_path / "CHANGELOG.md").write_text(READY)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "First")
    return tmp_path


def test_tag_has_the_version_and_a_second_one_is_refused(repository: Path) -> None:
    assert tag(repository, "4.0.0") == "v4.0.0"
    assert git(repository, "tag", "--points-at", "HEAD") == "v4.0.0\n"
    with pytest.raises(SystemExit, match=r"v4\.0\.0 exists"):
        tag(repository, "4.0.0")


def test_uncommitted_change_is_not_tagged(repository: Path) -> None:
    (repository / "new").write_text("x")
    with pytest.raises(SystemExit, match=r"not committed: new$"):
        tag(repository, "4.0.0")
    assert git(repository, "tag") == ""


@pytest.mark.parametrize(
    ("changelog", "reason"),
    [
        (READY, ""),
        (READY.replace("2026-12-01", "unreleased"), "'unreleased'"),
        (READY.replace("4.0.0", "4.0.1"), "no heading"),
        (READY.replace("4.0.0", "4x0.0"), "no heading"),
    ],
)
def test_changelog_must_name_version_and_date(changelog: str, reason: str) -> None:
    found = problem("4.0.0", changelog, "", "v3.9.0\n")
    assert reason in found if reason else found == ""


def test_changelog_has_a_heading_for_this_version() -> None:
    text = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "no heading" not in problem(__version__, text, "", "")


def test_report_tells_vulnerable_from_unknown() -> None:
    entry = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
    packages = [
        {"name": "bad", "version": "1.0", "vulns": [entry, {"id": "GHSA-2", "fix_versions": []}]},
        {"name": "good", "version": "1.0", "vulns": []},
        {"name": "gone", "skip_reason": "not found"},
    ]
    answer = read_vulnerabilities(json.dumps({"dependencies": packages}))
    assert answer is not None
    assert answer.found == ("bad 1.0: PYSEC-1, fixed in 2.0", "bad 1.0: GHSA-2, fixed in no release")
    assert (answer.asked, answer.skipped) == (("bad", "good"), ("gone: not found",))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"dependencies": 1}', '{"install": [1]}', "Traceback"])
def test_no_report_is_no_finding(text: str) -> None:
    assert read_vulnerabilities(text) is None
    assert read_releases(text, "ERROR: no connection") is None


def test_ci_prints_the_audit_and_does_not_fail_for_it() -> None:
    text = (Path(__file__).parents[2] / ".ci" / "run").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("make audit")]
    script = f"set -e; make() {{ echo found; return 1; }}; {line}; echo went on"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "found"
    assert done.stdout.splitlines()[-1] == "went on"
    assert "warning" in done.stdout + done.stderr


def test_the_script_of_the_debian_package_holds_ctrl_c_back_until_main_runs(tmp_path: Path) -> None:
    python = f"python3.{sys.version_info.minor}"
    packages = tmp_path / "lib/aws-runas/lib" / python / "site-packages"
    packages.mkdir(parents=True)
    (packages / "stub.py").write_text(
        "import os, signal, sys\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print(sys.flags.isolated, sys.flags.no_site, sys.executable, flush=True)\n"
        "def main():\n"
        "    signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])\n"
    )
    own = tmp_path / "lib/aws-runas/bin/python3"  # what starts our own programs, such as tunnels
    script = tmp_path / "bin/aws-runas"
    script.parent.mkdir()
    text = debian.LAUNCHER.format(module="stub", python=python)
    assert text.startswith("#!/usr/bin/python3 -IS\n")
    script.write_text(text)
    found = subprocess.run([sys.executable, "-IS", str(script)], capture_output=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (-signal.SIGINT, f"1 1 {own}\n".encode(), b"")
