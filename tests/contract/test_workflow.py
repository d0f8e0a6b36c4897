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
