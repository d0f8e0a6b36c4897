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
        "print('websockets.version' in sys.modules, *{'importlib.metadata', 'zipfile', 'csv'} & sys.modules.keys())\n"
        "import importlib.metadata; print(importlib.metadata.version('websockets') != '',"
        " importlib.metadata is sys.modules['importlib.metadata'], type(importlib.metadata).__name__)"
    )
    assert _run(code).split() == ["True", "True", "True", "module"]


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


def test_another_thread_that_imports_the_metadata_meanwhile_gets_it_too() -> None:
    """It has the stand-in, and uses it, or the attribute of importlib, after the stand-in is gone."""
    code = (
        "import importlib, sys; import aws_runas.ssm.transport.websocket_protocol as ours\n"
        "with ours._without_metadata():\n"
        "    import importlib.metadata as held\n"
        "print(bool(importlib.metadata.version('websockets')), bool(held.version('websockets')))"
    )
    assert _run(code).split() == ["True", "True"]


@pytest.mark.slow
def test_no_thread_that_imports_the_metadata_at_any_moment_fails() -> None:
    code = (
        "import importlib, sys, threading; import aws_runas.ssm.transport.websocket_protocol as ours\n"
        "sys.setswitchinterval(1e-6); failed, over = [], []\n"
        "def use():\n"
        "    while not over:\n"
        "        try:\n            import importlib.metadata; importlib.metadata.version\n"
        "        except Exception as error:\n            failed.append(repr(error))\n"
        "threads = [threading.Thread(target=use) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "for _ in range(300):\n"
        "    sys.modules.pop('importlib.metadata', None)\n"
        "    with ours._without_metadata(): pass\n"
        "over.append(1)\n"
        "for thread in threads: thread.join()\n"
        "print(len(failed), *failed[:3])"
    )
    assert _run(code) == "0"
