"""Real SDKs as programs run in the default mode: they find the endpoint, and new credentials as the old ones end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox, RunAs
from tests.interop.javascript import FOLDER, node

PROFILE = "my-profile"
ROLE = "arn:aws:sts::123456789012:assumed-role/my-role/"
LIFE = 3  # seconds that credentials of 15 minutes live in the hurried sandbox
HURRY = 15 * 60 / LIFE

BOTOCORE = """
import sys, time
import botocore.session
session = botocore.session.Session()
client = session.create_client("sts", region_name="us-east-1")
keys, end = [], time.monotonic() + 60
while len(keys) < int(sys.argv[1]) and time.monotonic() < end:
    arn = client.get_caller_identity()["Arn"]
    key = session.get_credentials().get_frozen_credentials().access_key
    if key not in keys:
        keys.append(key)
        print(arn, key, flush=True)
    time.sleep(0.05)
sys.exit(len(keys) < int(sys.argv[1]))
"""


def _program(sdk: str, keys: int) -> list[str]:
    if sdk == "botocore":
        return [sys.executable, "-c", BOTOCORE, str(keys)]
    return [node(), str(FOLDER / "program.mjs"), str(keys)]


@pytest.mark.parametrize("sdk", ["botocore", "javascript"])
def test_an_sdk_takes_its_credentials_from_the_endpoint(sandbox: Sandbox, runas: RunAs, sdk: str) -> None:
    ran = runas(sandbox, PROFILE, *_program(sdk, 1), AWS_REGION="us-east-1")
    assert ran.returncode == 0, ran.stderr
    arn, key = ran.stdout.decode().split()
    assert arn.startswith(ROLE)
    assert key.startswith("ASIA")


@pytest.mark.parametrize("sdk", ["botocore", "javascript"])
def test_an_sdk_gets_new_credentials_when_the_old_near_their_end(
    make_sandbox: MakeSandbox, runas: RunAs, sdk: str
) -> None:
    hurried = make_sandbox(clock_speed=HURRY)
    begun = time.monotonic()
    ran = runas(hurried, "-a", "15m", PROFILE, *_program(sdk, 3), AWS_REGION="us-east-1")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.decode().splitlines()
    assert len({line.split()[1] for line in lines}) == 3
    assert all(line.startswith(ROLE) for line in lines)
    assert time.monotonic() - begun > 1  # they were not simply fetched anew at each call


def test_the_aws_cli_takes_its_credentials_from_the_endpoint(sandbox: Sandbox, runas: RunAs) -> None:
    aws = Path(sys.executable).with_name("aws")
    ran = runas(sandbox, PROFILE, str(aws), "sts", "get-caller-identity", "--output", "json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["Arn"].startswith(ROLE)
    ran = runas(sandbox, PROFILE, str(aws), "configure", "list")
    assert b"container-role" in ran.stdout


def test_sdks_and_the_aws_cli_read_our_credential_process_document(
    sandbox: Sandbox, runas: RunAs, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    ours = f"{sys.executable} -m aws_runas -O json {PROFILE}"
    inner = " ".join(f"{name}={sandbox.environ[name]}" for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"))
    config.write_text(f"[profile outer]\nregion = us-east-1\ncredential_process = env {inner} {ours}\n")
    ran = runas(sandbox, "-E", "my-profile-user", sys.executable, "-c", BOTOCORE, "1")  # the judge itself works
    assert ran.returncode == 0, ran.stderr
    environ = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": "outer"}
    for command in (
        [sys.executable, "-c", BOTOCORE, "1"],
        [str(Path(sys.executable).with_name("aws")), "sts", "get-caller-identity"],
        _program("javascript", 1),
    ):
        judged = subprocess.run(command, env=sandbox.environ | environ, capture_output=True, check=False, timeout=60)
        assert ROLE.encode() in judged.stdout, judged.stderr
