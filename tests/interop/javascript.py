"""The JavaScript judges of tests/interop/js: installed once from the lock, for all test processes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from aws_runas import files
from tests.support import requires

FOLDER = Path(__file__).parent / "js"


def node() -> str:
    """Path of node, with the packages of the lock installed beside the scripts."""
    program = requires.program("node", package="nodejs")
    npm = requires.program("npm")
    stamp = FOLDER / "node_modules" / ".package-lock.json"  # npm writes it last
    with files.lock(FOLDER / ".install.lock", timeout=300):
        lock = FOLDER / "package-lock.json"
        if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run([npm, "ci"], cwd=FOLDER, check=True, capture_output=True, timeout=300)
    return program
