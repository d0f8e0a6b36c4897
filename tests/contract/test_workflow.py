"""The workflow for a public forge runs what .ci/run runs, on the versions that the package names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # of moto

ROOT = Path(__file__).parents[2]


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    return found


def test_the_pythons_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [name.rpartition(" ")[2] for name in project["classifiers"] if " :: 3." in name]
    assert workflow()["jobs"]["linux"]["strategy"]["matrix"]["python"] == versions
    assert project["requires-python"] == f">={versions[0]}"
    assert set(workflow()["jobs"]["macos"]["strategy"]["matrix"]["python"]) <= set(versions)


def test_it_runs_what_decides_here() -> None:
    steps = [step.get("run", "") for step in workflow()["jobs"]["linux"]["steps"]]
    assert any(step.endswith(".ci/run") for step in steps)


def test_actions_are_pinned_to_a_commit() -> None:
    used = [step["uses"] for job in workflow()["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []


def test_the_form_for_reports_asks_for_version_command_and_output_and_warns_of_secrets() -> None:
    (form,) = (ROOT / ".github" / "ISSUE_TEMPLATE").iterdir()
    body = yaml.safe_load(form.read_text(encoding="utf-8"))["body"]
    required = [field["id"] for field in body if field.get("validations", {}).get("required")]
    assert required == ["version", "command", "output"]
    assert "Leave out credentials" in body[0]["attributes"]["value"]


def test_addresses_that_are_ours_to_give_are_in_one_place() -> None:
    placeholder = re.compile(r"aws-runas\.(?:example|invalid)")
    folders = ("src", "release", "docs", ".github")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".toml", ".yml")
    ]
    named = [
        path
        for path in [*files, *ROOT.glob("*.md"), ROOT / "pyproject.toml"]
        if placeholder.search(path.read_text(encoding="utf-8"))
    ]
    assert [path.relative_to(ROOT).as_posix() for path in named] == ["src/aws_runas/release.py"]
