"""The versions of Python that this machine has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

VERSIONS = ("3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def installed_pythons() -> dict[str, str]:
    """Return the path of each Python on this machine, by version: those of pyenv, and those in PATH that start."""
    found = {}
    for version in VERSIONS:
        installed = sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")))
        python = installed[0] if installed else shutil.which(f"python{version}")
        if python and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            found[version] = python
    return found
