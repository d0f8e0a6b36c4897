"""Identity Center tokens shared with boto3 and the AWS CLI, and a real browser on the consent page."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS
from tests.integration.sso.test_login import TOKEN, Portal, matched, portal, world  # noqa: F401 - fixtures
from tests.interop.javascript import FOLDER, node
from tests.interop.webdriver import Browser
from tests.support import requires

IDENTITY = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
ARN = "arn:aws:sts::123456789012:assumed-role/my-role/sandbox-user"


def boto3_identity(where: Portal, profile: str = "sandbox-sso") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", IDENTITY], env=where.environ | {"AWS_PROFILE": profile}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def aws_cli(where: Portal, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("aws", path=str(Path(sys.executable).parent)) or requires.program("aws")
    return subprocess.run(
        [program, *words], env=where.environ | {"AWS_PROFILE": "sandbox-sso", "AWS_DEFAULT_OUTPUT": "text"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_boto3_and_the_aws_cli_use_our_token_and_boto3_refreshes_it(portal: Portal) -> None:  # noqa: F811
    portal.sandbox.set_faults(sso_token_life=300.0)
    assert portal.run("login", "sandbox-sso").returncode == 0
    portal.sandbox.set_faults(sso_token_life=8 * 3600.0)
    before = portal.token()
    done = boto3_identity(portal)  # refreshes, since it has less than 15 minutes left
    assert done.stdout.strip() == ARN, done.stderr
    after = portal.token()
    assert after["accessToken"] != before["accessToken"]
    cli = aws_cli(portal, "sts", "get-caller-identity", "--query", "Arn")
    assert cli.stdout.strip() == ARN, cli.stderr


def test_we_use_and_refresh_the_token_that_botocore_wrote(portal: Portal) -> None:  # noqa: F811
    """botocore rewrites the file in its own way; the refresh token that it got is the only one that is good."""
    portal.sandbox.set_faults(sso_token_life=300.0)
    assert portal.run("login", "sandbox-sso").returncode == 0
    assert boto3_identity(portal).returncode == 0
    written = portal.token()
    done = portal.run("-O", "json", "sandbox-sso")
    assert done.returncode == 0, done.stderr
    assert portal.token()["accessToken"] != written["accessToken"]
    assert boto3_identity(portal).stdout.strip() == ARN  # and it ours again


def test_the_javascript_sdk_uses_and_refreshes_our_token_and_we_its(portal: Portal) -> None:  # noqa: F811
    words, environ = (
        [node(), str(FOLDER / "program.mjs"), "1"],
        {"AWS_PROFILE": "sandbox-sso", "AWS_REGION": "us-east-1"},
    )

    def identity() -> str:
        done = subprocess.run(
            words, env=portal.environ | environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[0]

    portal.sandbox.set_faults(sso_token_life=200.0)
    assert portal.run("login", "sandbox-sso").returncode == 0
    ours = portal.token()
    portal.sandbox.set_faults(sso_token_life=8 * 3600.0)
    assert identity() == ARN  # this SDK refreshes within five minutes of the end
    theirs = portal.token()
    assert theirs["accessToken"] != ours["accessToken"]
    done = portal.run("-O", "json", "sandbox-sso")
    assert done.returncode == 0, done.stderr
    assert portal.token() == theirs


def test_our_logout_signs_the_others_out(portal: Portal) -> None:  # noqa: F811
    portal.run("login", "sandbox-sso")
    kept = portal.token_file.read_bytes()
    assert portal.run("logout", "sandbox-sso").returncode == 0
    assert boto3_identity(portal).returncode != 0
    portal.token_file.write_bytes(kept)
    refused = boto3_identity(portal)
    assert "UnauthorizedException" in refused.stderr


def test_logout_all_removes_what_the_aws_cli_cached(portal: Portal) -> None:  # noqa: F811
    portal.run("login", "sandbox-sso")
    directory = Path(portal.environ["HOME"]) / ".aws" / "cli" / "cache"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sso.json").write_text(json.dumps({"ProviderType": "sso", "Credentials": {}}))
    (directory / "role.json").write_text(json.dumps({"ProviderType": "assume-role", "Credentials": {}}))
    assert portal.run("logout", "--all").returncode == 0
    assert [path.name for path in directory.iterdir()] == ["role.json"]
    assert not (portal.token_file.parent / TOKEN).exists()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_a_person_decides_on_the_consent_page_in_a_real_browser(
    portal: Portal,  # noqa: F811
    window: Browser,
    tmp_path: Path,
    decision: str,
) -> None:
    """The browser program hands the address to the window that the test drives."""
    address = tmp_path / "address"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" > {address}.new && mv {address}.new {address}\n')
    program.chmod(0o700)
    child = pexpect.spawn(
        AWS_RUNAS[0], [*AWS_RUNAS[1:], "login", "--browser", str(program), "sandbox-sso"], env=portal.environ,
        timeout=60, encoding="utf-8", dimensions=(24, 1000),
    )  # fmt: skip
    child.expect("paste the address")
    waiting = threading.Event()
    while not address.exists():
        waiting.wait(0.02)
    window.open(address.read_text().strip())
    assert window.text("#question") == "Allow aws-runas to use your access?"
    window.click(f"#{decision}")
    if decision == "allow":
        window.wait_text("p", "You are signed in. You may close this window.")
        child.expect("signed in to sandbox-sso until")
    else:
        window.wait_text("p", "The sign-in did not succeed.")
        child.expect("was refused: access_denied")
    # no code and no state in the address that stays in the history
    assert window.run("return location.search") == ""
    assert window.run("return location.pathname") == "/oauth/callback/done"
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == (0 if decision == "allow" else 4)


def test_a_person_approves_a_device_code_in_a_real_browser(portal: Portal, window: Browser) -> None:  # noqa: F811
    child = pexpect.spawn(
        AWS_RUNAS[0], [*AWS_RUNAS[1:], "login", "--device-code", "--no-browser", "sandbox-sso"], env=portal.environ,
        timeout=60, encoding="utf-8", dimensions=(24, 1000),
    )  # fmt: skip
    child.expect(r"(http://\S+/device\?user_code=(\S+))")
    address = matched(child)
    window.open(address)
    assert address.rpartition("=")[2] in window.text("#question")
    window.click("#allow")
    window.wait_text("p", "You may close this window and return to the terminal.")
    child.expect("signed in to sandbox-sso until")
    child.close()


def test_a_page_of_another_origin_cannot_approve(portal: Portal, window: Browser, sandbox: Sandbox) -> None:  # noqa: F811
    """A form of a foreign page reaches the consent page with its own origin, and a frame of it stays empty."""
    window.open("data:text/html,<form method=post action='" + portal.sandbox.endpoint + "/device?user_code=AAAA-AAAA'>"
                "<input name=page value=guess><button id=go name=decision value=allow>x</button></form>")  # fmt: skip
    window.click("#go")
    window.wait_text("body", "the sandbox does not answer to web pages")
