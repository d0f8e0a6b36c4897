"""A session that starts with cached credentials starts without botocore, whose import takes longer than the call."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aws_runas.sandbox.world import Sandbox


@pytest.mark.slow
def test_session_starts_without_importing_botocore(sandbox: Sandbox) -> None:
    script = (
        "import sys, runpy\n"
        "sys.argv = ['aws-runas', 'ssh', 'my-profile', 'i-deadbeef:9000']\n"
        "try:\n    runpy.run_module('aws_runas', run_name='__main__')\n"
        "finally:\n    sys.stderr.write(repr(sorted(name for name in sys.modules if name == 'botocore')))\n"
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
