"""Provenance of the release files: an in-toto statement with the predicate SLSA Provenance 1.

The statement names each file by its SHA-256, the commit, the lock files, and each bundled package by the hash that pip
checked. It has no signature; the release manager signs SHA256SUMS, which lists it. It contains no time and no path, so
two builds of one commit on the same kind of machine give the same bytes.

Source: in-toto Attestation Framework, Statement v1; SLSA v1.0, Provenance.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aws_runas import __version__

ROOT = Path(__file__).parents[1]
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:aws-runas:make-dist:1"
BUILDER = "urn:aws-runas:builder:unnamed"
BUILDER_VARIABLE = "RUNAS_BUILDER_ID"
LOCK_FILES = ("requirements/dev.txt", "requirements/release.txt", "requirements/runtime.txt")


def digest(path: Path) -> dict[str, str]:
    """Return the digest set of a file."""
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def read_packages(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the installed packages as materials.

    Args:
        report: of ``pip install --report``.

    Raises:
        KeyError: a package came without a hash.
    """
    materials = []
    for entry in report["install"]:
        name, version = entry["metadata"]["name"].lower(), entry["metadata"]["version"]
        sha256 = entry["download_info"]["archive_info"]["hashes"]["sha256"]
        materials.append({"uri": f"pkg:pypi/{name}@{version}", "digest": {"sha256": sha256}})
    return sorted(materials, key=lambda material: str(material["uri"]))


def source() -> dict[str, Any]:
    """Return the commit as a material, with ``uncommitted`` if files differ from it."""
    commit = _git("rev-parse", "HEAD")
    found: dict[str, Any] = {"uri": "git+local", "digest": {"gitCommit": commit}, "name": "source"}
    if _git("status", "--porcelain"):
        found["annotations"] = {"uncommitted": True}
    return found


def statement(files: Iterable[Path], packages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the statement.

    Args:
        files: of the release, each a subject.
        packages: materials from `read_packages`.
    """
    locks = [{"name": name, "uri": f"file:{name}", "digest": digest(ROOT / name)} for name in LOCK_FILES]
    return {
        "_type": STATEMENT,
        "subject": [{"name": path.name, "digest": digest(path)} for path in sorted(files)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"command": "make dist", "version": __version__},
                "internalParameters": {
                    "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", ""),
                    "machine": platform.machine(),
                    "python": platform.python_version(),
                },
                "resolvedDependencies": [source(), *locks, *packages],
            },
            "runDetails": {"builder": {"id": os.environ.get(BUILDER_VARIABLE) or BUILDER}},
        },
    }


def write(path: Path, files: Iterable[Path], packages: Iterable[Mapping[str, Any]]) -> None:
    """Write the statement as JSON with sorted keys."""
    text = json.dumps(statement(files, packages), indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    return done.stdout.decode().strip()
