"""The files of a release: ``python -m release.dist DIRECTORY TOOLS``.

DIRECTORY receives the wheel, the source distribution, a Debian package, a CycloneDX bill of materials, a statement of
provenance and SHA256SUMS. The same commit gives the same bytes, regardless of where and when it is built.
TOOLS is a virtual environment with requirements/release.txt. The Debian package and the bill contain the packages in a
clean environment: the wheel, and requirements/runtime.txt by its hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from aws_runas import __version__
from release import provenance
from release.debian import build_package

ROOT = Path(__file__).parents[1]
SUMS = "SHA256SUMS"
REPORT = "pip-report.json"  # in the clean environment: the installed packages and their hashes


def build(directory: Path, tools: Path) -> Path:
    """Build every file of the release.

    Args:
        directory: replaced completely.
        tools: virtual environment with the release tools.

    Returns:
        The clean environment with the installed wheel, below ``build``.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.environ["SOURCE_DATE_EPOCH"] = _run("git", "log", "-1", "--format=%ct").strip() or "0"
    _run(sys.executable, "-m", "hatchling", "build", "-d", str(directory))
    (wheel,) = directory.glob("*.whl")
    environment = install(wheel, ROOT / "build" / "clean")
    write_bill(environment, directory / f"aws-runas-{__version__}.cdx.json", tools)
    build_package(environment, directory)
    report = json.loads((environment / REPORT).read_bytes())
    claim = directory / f"aws-runas-{__version__}.provenance.json"
    provenance.write(claim, directory.iterdir(), provenance.read_packages(report))
    write_sums(directory)
    return environment


def install(wheel: Path, environment: Path) -> Path:
    """Install a wheel and its pinned dependencies in a new virtual environment, and return the environment.

    pip is not installed there, so that it is neither in the bill nor in a package.
    """
    shutil.rmtree(environment, ignore_errors=True)
    _run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-deps", "--no-compile"]
    report = ["--report", str(environment / REPORT)]
    _run(*pip, *report, "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.txt"))
    _run(*pip, str(wheel))
    return environment


def write_bill(environment: Path, path: Path, tools: Path) -> None:
    """Write the bill of materials of an environment; the same environment gives the same bytes."""
    python = environment / "bin" / "python"
    words = [str(tools / "bin" / "cyclonedx-py"), "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    _run(*words, "--output-reproducible", "--validate", "--output-format", "JSON", "-o", str(path), str(python))
    bill = json.loads(path.read_text(encoding="utf-8"))
    bill["metadata"]["component"]["version"] = __version__  # pyproject.toml reads it from the package
    path.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_sums(directory: Path) -> None:
    """Write the SHA-256 of every file, in the format of ``sha256sum -c``."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(directory.iterdir())
        if path.name != SUMS
    ]
    (directory / SUMS).write_text("".join(lines), encoding="ascii")


def _run(*words: str) -> str:
    """Run a program in the project's root directory and return its output.

    Raises:
        SystemExit: the program failed; its output is the message.
    """
    with tempfile.TemporaryFile() as errors:
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, check=False)
        if done.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(words)} failed:\n{errors.read().decode(errors='replace')[-4000:]}")
    return done.stdout.decode()


if __name__ == "__main__":
    build(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
    for found in sorted(Path(sys.argv[1]).iterdir()):
        print(f"{found.stat().st_size:>10}  {found}")
