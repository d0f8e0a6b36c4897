"""Programs that some tests need: present, or the test skips and says why."""

from __future__ import annotations

import shutil
from typing import NoReturn

import pytest


def program(name: str, *, package: str | None = None) -> str:
    """Path of a program that a test needs.

    Args:
        name: as it is typed.
        package: the Debian package that has it, when it is called otherwise.
    """
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        missing(f"needs the program {name} (apt-get install {package or name})")
    return path


def missing(reason: str) -> NoReturn:
    """Skip the running test with a reason; tests/conftest.py makes a failure of it in CI."""
    pytest.skip(reason)
