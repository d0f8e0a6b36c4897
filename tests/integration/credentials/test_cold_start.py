"""A cold cache: both STS calls are made, and botocore is not even imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from aws_runas.sandbox.world import Sandbox

PROGRAM = """
import sys
from aws_runas.__main__ import main
sys.argv[1:] = ["-O", "json", "my-profile"]
status = main()
print([name for name in sys.modules if name.partition(".")[0] == "botocore"], file=sys.stderr)
sys.exit(status)
"""


def _run(sandbox: Sandbox, cache: Path, **environ: str) -> tuple[dict[str, str], str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=sandbox.environ | {"RUNAS_CACHE_DIR": str(cache)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    keys: dict[str, str] = json.loads(done.stdout)
    return keys, done.stderr


def test_the_usual_calls_need_no_botocore_and_the_unusual_ones_have_it(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.forget_calls()
    keys, modules = _run(sandbox, tmp_path / "a")
    assert modules == "[]\n"
    assert keys["AccessKeyId"].startswith("ASIA")
    assert [call["action"] for call in sandbox.calls] == ["GetSessionToken", "AssumeRole"]
    assert all(call["user_agent"].startswith("aws-runas/") for call in sandbox.calls)
    sandbox.forget_calls()
    _, modules = _run(sandbox, tmp_path / "b", AWS_SDK_UA_APP_ID="mine")
    assert "botocore.session" in modules
    assert ["app/mine" in call["user_agent"] for call in sandbox.calls] == [True, True]
