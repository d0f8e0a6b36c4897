"""A session with cached credentials runs without modules that take long to import and that it does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aws_runas.sandbox.world import Sandbox

UNUSED = {"botocore", "difflib", "importlib.metadata", "tempfile", "zipfile"}


@pytest.mark.slow
def test_session_imports_neither_botocore_nor_what_it_does_not_use(sandbox: Sandbox) -> None:
    script = (
        "import sys, runpy\n"
        "sys.argv = ['aws-runas', 'ssh', 'my-profile', 'i-deadbeef:9000']\n"
        "try:\n    runpy.run_module('aws_runas', run_name='__main__')\n"
        f"finally:\n    sys.stderr.write(repr(sorted({UNUSED} & sys.modules.keys())))\n"
    )

    def run() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", script],
            env=sandbox.environ,
            input=b"GET / HTTP/1.0\r\n\r\n",
            capture_output=True,
            timeout=60,
            check=False,
        )

    run()  # fetches the credentials, with botocore
    second = run()
    assert second.stdout.startswith(b"HTTP/1.1 ")
    assert second.stderr == b"[]"
