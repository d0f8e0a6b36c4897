"""`websockets` is imported without importlib.metadata, and whoever needs that module gets the real one."""

from __future__ import annotations

import subprocess
import sys

import pytest


def _run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_importing_the_library_loads_no_metadata_and_leaves_nothing_in_its_place() -> None:
    code = (
        "import sys, importlib; import aws_runas.ssm.transport.websocket_protocol\n"
        "print('websockets.version' in sys.modules, *{'importlib.metadata', 'zipfile', 'csv'} & sys.modules.keys(),"
        " hasattr(importlib, 'metadata'))\n"
        "import importlib.metadata; print(importlib.metadata.version('websockets') != '')"
    )
    assert _run(code).split() == ["True", "False", "True"]


@pytest.mark.parametrize("use", ["importlib.metadata.version('websockets')", "from_import('websockets')"])
def test_a_release_that_uses_the_metadata_gets_it(use: str) -> None:
    code = (
        "import sys; import aws_runas.ssm.transport.websocket_protocol as ours\n"
        "def from_import(name):\n    from importlib.metadata import version\n    return version(name)\n"
        "with ours._without_metadata():\n"
        f"    import importlib.metadata; before = 'zipfile' in sys.modules; found = {use}\n"
        "print(before, bool(found), type(sys.modules['importlib.metadata']).__name__)"
    )
    assert _run(code).split() == ["False", "True", "module"]
