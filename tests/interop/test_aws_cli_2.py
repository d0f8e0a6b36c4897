"""Version 2 of the AWS CLI, as Debian has it (2.9), shares the sign-in to Identity Center with us, both ways.

It knows no AWS_ENDPOINT_URL, so its requests to the portal go through a proxy that plays the hosts of AWS.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.integration.sso.test_login import Portal, matched, portal, world  # noqa: F401 - fixtures
from tests.interop.test_sso_partners import ARN, boto3_identity
from tests.support import aws_front, requires
from tests.support.portal_browser import decide

PROFILE = "sandbox-sso"


class Cli:
    """The program, and the way of its requests."""

    def __init__(self, program: str, where: Portal, front: aws_front.Front) -> None:
        self.program = program
        self.front = front
        self.endpoint = where.sandbox.endpoint
        kept = {name: value for name, value in where.environ.items() if not name.startswith(("PYTHON", "RUNAS_"))}
        self.environ = kept | front.environ() | {"AWS_PROFILE": PROFILE, "AWS_PAGER": "", "AWS_REGION": "us-east-1"}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *words], env=self.environ, capture_output=True, text=True, timeout=90, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def identity(self) -> str:
        """The ARN that STS gives to the credentials of its sign-in; its complaint if there are none."""
        words = ("sts", "get-caller-identity", "--query", "Arn", "--output", "text", "--endpoint-url", self.endpoint)
        done = self.run(*words)
        return done.stdout.strip() or done.stderr


@pytest.fixture
def cli(portal: Portal, tmp_path: Path) -> Iterator[Cli]:  # noqa: F811
    program = shutil.which("aws", path="/usr/bin:/usr/local/bin")
    if program is None:
        requires.missing("needs version 2 of the AWS CLI (apt-get install awscli)")
    with aws_front.running(portal.sandbox.endpoint, tmp_path) as front:
        yield Cli(program, portal, front)
    shutil.rmtree(Path(portal.environ["HOME"]) / ".aws" / "cli", ignore_errors=True)


def test_it_is_version_2(cli: Cli) -> None:
    assert cli.run("--version").stdout.startswith("aws-cli/2."), "the tests below are about version 2"


def test_it_uses_and_refreshes_our_token_and_we_use_and_refresh_its(portal: Portal, cli: Cli) -> None:  # noqa: F811
    portal.sandbox.set_faults(sso_token_life=300.0)
    assert portal.run("login", PROFILE).returncode == 0
    ours = portal.token()
    assert cli.identity() == ARN
    assert f"POST {aws_front.HOSTS[1]} /token" in cli.front.asked  # it was due, and refreshed
    theirs = portal.token()
    assert theirs["accessToken"] != ours["accessToken"]
    done = portal.run("-O", "json", PROFILE)  # due again: nobody is asked, no window opens
    assert (done.returncode, portal.windows()) == (0, 1), done.stderr
    again = portal.token()
    assert again["accessToken"] != theirs["accessToken"]
    assert cli.identity() == ARN
    assert boto3_identity(portal).stdout.strip() == ARN
    assert set(ours) <= set(again)


def test_its_own_sign_in_is_enough_for_us_and_our_logout_ends_it(portal: Portal, cli: Cli) -> None:  # noqa: F811
    words = ["sso", "login", "--no-browser"]
    child = pexpect.spawn(cli.program, words, env=cli.environ, timeout=60, encoding="utf-8", dimensions=(24, 1000))
    child.expect(r"(http\S+/device)\s")
    address = matched(child)
    child.expect(r"\s([A-Z]{4}-[A-Z]{4})\s")
    decide(f"{address}?user_code={matched(child)}")
    child.expect("Successfully logged into")
    child.expect(pexpect.EOF)
    done = portal.run("-O", "json", PROFILE)
    assert (done.returncode, portal.windows()) == (0, 0), done.stderr
    assert json.loads(done.stdout)["AccessKeyId"].startswith("ASIA")
    already = portal.run("login", PROFILE)
    assert "already signed in" in already.stderr
    assert portal.run("logout", PROFILE).returncode == 0
    assert re.search("expired|SSO|Token", cli.identity())


def test_its_logout_signs_us_out(portal: Portal, cli: Cli) -> None:  # noqa: F811
    assert portal.run("login", PROFILE).returncode == 0
    assert cli.run("sso", "logout").returncode == 0
    assert not portal.token_file.exists()
    for path in portal.cache.glob("*"):
        path.unlink()
    done = portal.run("-O", "json", PROFILE)
    assert (done.returncode, f"aws-runas login {PROFILE}" in done.stderr) == (4, True)
