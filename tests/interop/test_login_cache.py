"""botocore and the AWS CLI read the cache of ``aws login`` that we renewed, and we read theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from aws_runas.sandbox.configuration import LOGIN_SESSION
from aws_runas.sandbox.world import Sandbox
from tests.support import requires

PROFILE = "sandbox-login"
PYTHON = Path(sys.executable)


class Partners:
    """One login in a cache of its own, and the programs that share it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.directory = folder / "logins"
        sandbox.sign_in(self.directory)
        (self.path,) = self.directory.iterdir()
        own = {"AWS_LOGIN_CACHE_DIRECTORY": str(self.directory), "RUNAS_CACHE_DIR": str(folder / "cache")}
        self.environ = sandbox.environ | own

    def read(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.path.read_text())
        return values

    def let_it_end(self) -> None:
        values = self.read()
        end = datetime.now(UTC) + timedelta(seconds=60)
        values["accessToken"]["expiresAt"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.path.write_text(json.dumps(values))

    def _run(self, *words: str) -> dict[str, str]:
        done = subprocess.run(words, env=self.environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def ours(self) -> str:
        return self._run(str(PYTHON), "-m", "aws_runas", "whoami", "-O", "json", PROFILE)["Arn"]

    def boto3(self) -> str:
        program = (
            "import json, boto3\n"
            f"sts = boto3.Session(profile_name='{PROFILE}').client('sts')\n"
            "print(json.dumps({'Arn': sts.get_caller_identity()['Arn']}))"
        )
        return self._run(str(PYTHON), "-c", program)["Arn"]

    def cli(self) -> str:
        aws = PYTHON.parent / "aws"
        words = ["sts", "get-caller-identity", "--profile", PROFILE, "--output", "json"]
        return self._run(str(PYTHON), str(aws), *words)["Arn"]

    def renewals(self) -> list[str]:
        """Who renewed, by the first word of the user agent."""
        calls = [call for call in self.sandbox.calls if call["action"] == "CreateOAuth2Token"]
        assert [call["error"] for call in calls] == [""] * len(calls)
        return [_program(call["user_agent"]) for call in calls]


def _program(agent: str) -> str:
    return "aws-runas" if "aws-runas/" in agent else agent.partition("/")[0]


@pytest.fixture
def partners(sandbox: Sandbox, tmp_path: Path) -> Partners:
    if find_spec("awscrt") is None:
        requires.missing("needs the package awscrt (make interop installs it)")
    if not os.access(PYTHON.parent / "aws", os.X_OK):
        requires.missing("needs the AWS CLI in the virtual environment (make install)")
    sandbox.forget_calls()
    return Partners(sandbox, tmp_path)


ORDERS: dict[str, tuple[Callable[[Partners], str], Callable[[Partners], str]]] = {
    "boto3 reads ours": (Partners.ours, Partners.boto3),
    "the AWS CLI reads ours": (Partners.ours, Partners.cli),
    "we read boto3's": (Partners.boto3, Partners.ours),
    "we read the AWS CLI's": (Partners.cli, Partners.ours),
}


@pytest.mark.parametrize("order", list(ORDERS))
def test_one_renews_and_the_other_reads(partners: Partners, order: str) -> None:
    renewer, reader = ORDERS[order]
    before = partners.read()
    partners.let_it_end()
    assert renewer(partners) == LOGIN_SESSION
    renewed = partners.read()
    assert renewed["refreshToken"] != before["refreshToken"]
    assert reader(partners) == LOGIN_SESSION
    assert partners.read() == renewed
    assert len(partners.renewals()) == 1


def test_each_renews_what_the_other_has_renewed(partners: Partners) -> None:
    for program in (Partners.ours, Partners.boto3, Partners.ours):
        partners.let_it_end()
        assert program(partners) == LOGIN_SESSION
    assert partners.renewals() == ["aws-runas", "Boto3", "aws-runas"]


def test_our_proof_is_botocores_but_for_the_signature() -> None:
    """The same key, address, time and id give the same header and claims, and botocore's key accepts our signature."""
    from base64 import urlsafe_b64decode
    from hashlib import sha256

    if find_spec("awscrt") is None:
        requires.missing("needs the package awscrt (make interop installs it)")
    from botocore.credentials import LoginCredentialFetcher, _build_dpop_header
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from aws_runas.aws.signin import proof

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    theirs = LoginCredentialFetcher._load_private_key({"dpopKey": pem})
    url = "https://us-east-1.signin.aws.amazon.com/v1/token"
    ours = proof(key, "POST", url, 1_800_000_000, identifier="id").split(".")
    assert ours[:2] == _build_dpop_header(theirs, url, uid="id", ts=1_800_000_000).split(".")[:2]
    signature = urlsafe_b64decode(ours[2] + "=" * (-len(ours[2]) % 4))
    assert len(signature) == 64
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
    assert theirs.verify(sha256(".".join(ours[:2]).encode()).digest(), encode_dss_signature(r, s))
