"""A program that outlives its credentials, and the MFA code that new ones need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import AWS_RUNAS, MakeSandbox

LIFE = 3  # seconds that tokens of 15 minutes live in the hurried sandbox
PROGRAM = """
import json, os, sys, time, urllib.error, urllib.request
address = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
headers = {"Authorization": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
last, end = None, time.monotonic() + 90
while time.monotonic() < end:
    try:
        with opener.open(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            said = json.load(answer)["AccessKeyId"]
    except urllib.error.HTTPError as error:
        with error:
            said = "refused " + json.load(error)["code"]
    if said != last:
        print(said, flush=True)
        last = said
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_an_mfa_code_for_new_credentials_is_typed_elsewhere_and_never_asked_on_the_programs_terminal(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    hurried = make_sandbox(clock_speed=15 * 60 / LIFE)
    environ = hurried.environ | {"HOME": str(tmp_path), "RUNAS_CACHE_DIR": str(tmp_path / "cache")}
    lives = ["-d", "15m", "-a", "15m"]
    command = [*AWS_RUNAS, *lives, "-o", hurried.mfa_code(), "my-profile-mfa", sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            first = program.stdout.readline()
            assert first.startswith(b"ASIA")
            assert program.stdout.readline() == b"refused mfa-program-has-terminal\n"
            elsewhere = [*AWS_RUNAS, *lives, "-o", hurried.mfa_code(), "-E", "my-profile-mfa", "true"]
            subprocess.run(elsewhere, env=environ, check=True, timeout=60)
            second = program.stdout.readline()
            assert second.startswith(b"ASIA")
            assert second != first
        finally:
            program.terminate()
        assert program.stderr.read() == b""
