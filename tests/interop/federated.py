"""A home with profiles that sign in, in front of the sandbox's STS."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect

from aws_runas.sandbox.world import Sandbox
from tests.integration.sandbox.clients import client, user_client
from tests.support import saml

COMMAND = [sys.executable, "-m", "aws_runas"]
HEADLESS = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-proxy-server"


def iam_client(sandbox: Sandbox) -> Any:
    """IAM with the sandbox's administrator."""
    admin = user_client(sandbox, "sts").assume_role(RoleArn=saml.role("my-role"), RoleSessionName="admin")
    return client(sandbox, "iam", keys=admin["Credentials"])


def make_role(iam: Any, name: str, action: str, principal: str, condition: object, longest: int = 7200) -> None:
    """Make a role that trusts an identity provider; one that is there trusts this provider from now on."""
    statement = {"Effect": "Allow", "Action": action, "Principal": {"Federated": principal}, "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, MaxSessionDuration=longest)
    except iam.exceptions.EntityAlreadyExistsException:  # of another module that shares the sandbox
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=document)
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(allow))


@dataclass
class Home:
    """A user's home.

    Args:
        path: contains ``.aws``.
    """

    sandbox: Sandbox
    path: Path

    def write(self, config: str, credentials: str = "") -> None:
        (self.path / ".aws").mkdir(exist_ok=True, mode=0o700)
        (self.path / ".aws" / "config").write_text(config)
        (self.path / ".aws" / "credentials").write_text(credentials)
        (self.path / ".aws" / "credentials").chmod(0o600)

    def environ(self, **more: str) -> dict[str, str]:
        aws = self.path / ".aws"
        return self.sandbox.environ | {
            "HOME": str(self.path),
            "AWS_CONFIG_FILE": str(aws / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(aws / "credentials"),
            "RUNAS_CACHE_DIR": str(aws / "aws-runas" / "cache"),
            "RUNAS_KEYRING": "file",
            **more,
        }

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run without a terminal."""
        return subprocess.run(
            [*COMMAND, *words],
            env=self.environ(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            start_new_session=True,
            check=False,
        )

    def at_terminal(self, *words: str, **more: str) -> pexpect.spawn[Any]:
        """Run at a terminal of its own."""
        child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], *words], env=self.environ(**more), timeout=30)
        child.delaybeforesend = None
        return child

    def caller(self, run: subprocess.CompletedProcess[str]) -> str:
        """The ARN of credentials that were printed as JSON."""
        assert run.returncode == 0, run.stderr
        return str(client(self.sandbox, "sts", keys=json.loads(run.stdout)).get_caller_identity()["Arn"])

    def files(self) -> list[Path]:
        """Every file in the home."""
        return [path for path in self.path.rglob("*") if path.is_file()]


MANY = """
import os, sys
from aws_runas.cli import app
import botocore.session, botocore.credentials, aws_runas.credentials.federation, aws_runas.aws.client
words, count = sys.argv[2:], int(sys.argv[1])
children = []
for number in range(count):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(writer, 1)
        os.close(writer)
        status = app.main([word.replace("%d", str(number % 2)) for word in words])
        sys.stdout.flush()
        os._exit(status)
    os.close(writer)
    children.append((child, reader))
for child, reader in children:
    data = b""
    while part := os.read(reader, 65536):
        data += part
    _, status = os.waitpid(child, 0)
    print("child", os.waitstatus_to_exitcode(status), data.count(b"export AWS_SECRET_ACCESS_KEY="), flush=True)
"""
