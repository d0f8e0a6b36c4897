"""Signing in to Identity Center and using it, against the sandbox's portal: the real command, a real callback."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox, start_sandbox
from tests.integration.conftest import AWS_RUNAS
from tests.support.portal_browser import decide, final_address

ROOT = Path(__file__).parents[3]
BROWSER = f"{sys.executable} -m tests.support.portal_browser"
TOKEN = hashlib.sha1(b"sandbox-sso", usedforsecurity=False).hexdigest() + ".json"


class Portal:
    """A sandbox whose session is signed out, and the commands of a user in it."""

    def __init__(self, sandbox: Sandbox, home: Path) -> None:
        self.sandbox = sandbox
        self.home = home
        self.log = home / "browser.log"
        self.cache = Path(sandbox.environ["RUNAS_CACHE_DIR"])
        self.token_file = Path(sandbox.environ["HOME"]) / ".aws" / "sso" / "cache" / TOKEN
        self.environ = sandbox.environ | {
            "RUNAS_BROWSER": BROWSER,
            "PYTHONPATH": str(ROOT),
            "PORTAL_BROWSER_LOG": str(self.log),
        }

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*AWS_RUNAS, *words], env=self.environ | environ, capture_output=True, text=True, timeout=60,
            start_new_session=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def crowd(self, count: int, *words: str, **environ: str) -> list[tuple[int, str]]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.sso.crowd", str(count), *words], env=self.environ | environ,
            capture_output=True, text=True, timeout=120, start_new_session=True, stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        return [(status, key) for status, key in json.loads(done.stdout)]

    def start(self, *words: str, **environ: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*AWS_RUNAS, *words], env=self.environ | environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def windows(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def token(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(self.token_file.read_bytes())
        return values

    def count(self, action: str) -> int:
        return self.sandbox.count(action)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    with start_sandbox(base=kept | {"HOME": str(tmp_path_factory.mktemp("home"))}) as running:
        yield running


@pytest.fixture
def portal(world: Sandbox, tmp_path: Path) -> Portal:
    made = Portal(world, tmp_path)
    world.set_faults(sso_token_life=8 * 3600.0, sso_rate=20.0, sso_accounts=0)
    for directory in (made.token_file.parent, made.cache):
        for path in directory.glob("*"):
            if path.is_file():
                path.unlink()
    world.forget_calls()
    return made


def matched(child: Any) -> str:
    """Return the first group of what was expected."""
    return str(child.match[1])


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_browser_signs_in_and_the_token_file_is_that_of_the_aws_cli(portal: Portal) -> None:
    done = portal.run("login", "sandbox-sso")
    assert done.returncode == 0, done.stderr
    assert re.search(r"aws-runas: signed in to sandbox-sso until .*\d\d:\d\d, renews itself until", done.stderr)
    token = portal.token()
    assert set(token) == {
        "startUrl", "region", "accessToken", "expiresAt", "clientId", "clientSecret", "registrationExpiresAt",
        "refreshToken",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", token["expiresAt"])
    assert portal.token_file.stat().st_mode & 0o777 == 0o600
    again = portal.run("login", "-O", "json", "sandbox-sso")
    assert json.loads(again.stdout)["Refreshable"] is True
    assert token["accessToken"] not in again.stdout + done.stderr + done.stdout
    assert portal.windows() == 1
    who = portal.run("whoami", "sandbox-sso")
    assert "assumed-role/my-role/sandbox-user" in who.stdout


def test_no_secret_is_in_the_arguments_of_the_browser_or_in_the_log(portal: Portal) -> None:
    done = portal.run("-v", "-v", "login", "sandbox-sso")
    assert done.returncode == 0
    address = portal.log.read_text()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/start/[\w-]+\n", address)  # neither state nor code_challenge
    token = portal.token()
    printed = [line for line in done.stderr.splitlines() if "/authorize?" not in line]
    for name in ("accessToken", "refreshToken", "clientSecret"):
        assert token[name] not in done.stderr
    assert "state=" not in "\n".join(printed)
    assert "code=" not in "\n".join(printed)


@pytest.mark.slow
def test_force_signs_in_again_and_forgets_what_was_cached(portal: Portal) -> None:
    portal.run("login", "sandbox-sso")
    first = json.loads(portal.run("-O", "json", "sandbox-sso").stdout)["AccessKeyId"]
    assert json.loads(portal.run("-O", "json", "sandbox-sso").stdout)["AccessKeyId"] == first
    assert portal.run("login", "--force", "sandbox-sso").returncode == 0
    assert json.loads(portal.run("-O", "json", "sandbox-sso").stdout)["AccessKeyId"] != first
    assert portal.windows() == 2


@pytest.mark.slow
def test_logout_ends_the_session_and_no_shortcut_survives_it(portal: Portal) -> None:
    portal.run("login", "sandbox-sso")
    token = portal.token()["accessToken"]
    deadline = time.monotonic() + 30
    while not list(portal.cache.glob("fast-*")):  # not while the config file is younger than the clock's tick
        assert time.monotonic() < deadline
        assert portal.run("-O", "json", "sandbox-sso").returncode == 0
    calls = portal.count("GetRoleCredentials")
    assert portal.run("-E", "sandbox-sso", "true").returncode == 0  # by the shortcut
    done = portal.run("logout", "sandbox-sso")
    assert "signed out of sandbox-sso" in done.stderr
    assert "stay valid until they expire" in done.stderr
    assert not portal.token_file.exists()
    assert list(portal.cache.glob("fast-*")) == []
    assert list(portal.cache.glob("sso-*.json")) == []
    after = portal.run("-E", "sandbox-sso", "true")
    assert after.returncode == 4
    assert "run: aws-runas login sandbox-sso" in after.stderr
    assert portal.count("GetRoleCredentials") == calls
    assert portal.count("Logout") == 1
    portal.token_file.write_text(json.dumps({"accessToken": token, "expiresAt": "2099-01-01T00:00:00Z"}))
    dead = portal.run("sandbox-sso", "true")  # the service does not know it any more, and nobody may sign in here
    assert (dead.returncode, portal.count("GetRoleCredentials")) == (4, calls + 1)


def test_a_refused_consent_is_an_error_and_stops_others_for_a_while(portal: Portal) -> None:
    done = portal.run("login", "sandbox-sso", PORTAL_BROWSER_DECISION="deny")
    assert done.returncode == 4
    assert "was refused: access_denied: The user denied the request" in done.stderr
    other = portal.run("-E", "sandbox-sso", "true", RUNAS_LOGIN="always")
    assert (other.returncode, portal.windows()) == (4, 1)
    assert "needs a sign-in" in other.stderr
    assert portal.run("login", "sandbox-sso").returncode == 0


def test_where_nobody_can_be_asked_the_answer_comes_without_the_network(portal: Portal) -> None:
    dead = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    for words in (("-O", "json", "sandbox-sso"), ("sandbox-sso", "true")):
        done = portal.run(*words, **dead)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr == "aws-runas: sandbox-sso needs a sign-in\naws-runas: run: aws-runas login sandbox-sso\n"
    never = portal.run("login", "sandbox-sso", RUNAS_LOGIN="never", **dead)
    assert "needs a sign-in" in never.stderr


def test_that_answer_comes_without_botocore(portal: Portal) -> None:
    """Loading it takes longer than an unattended program should wait for the answer (0.2 s)."""
    script = (
        "import sys; from aws_runas.cli.app import main; main(['-O', 'json', 'sandbox-sso']); "
        "print(sorted({'botocore', 'http.client', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=portal.environ, capture_output=True, text=True, timeout=60, check=True,
        start_new_session=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "needs a sign-in" in done.stderr
    assert done.stdout == "[]\n"


def test_a_device_code_signs_in(portal: Portal) -> None:
    child = pexpect.spawn(
        AWS_RUNAS[0], [*AWS_RUNAS[1:], "login", "--device-code", "--no-browser", "sandbox-sso"],
        env=portal.environ | {"COLUMNS": "200"}, timeout=30, encoding="utf-8",
    )  # fmt: skip
    child.expect(r"(http://\S+/device\?user_code=\S+)")
    address = matched(child)
    child.expect(r"compare the code: (\S+)")
    assert matched(child) in address
    decide(address)
    child.expect("signed in to sandbox-sso until")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "refreshToken" in portal.token()


def test_the_address_that_the_browser_ended_on_can_be_pasted(portal: Portal) -> None:
    child = pexpect.spawn(
        AWS_RUNAS[0], [*AWS_RUNAS[1:], "login", "--no-browser", "sandbox-sso"],
        env=portal.environ, timeout=30, encoding="utf-8", dimensions=(24, 1000),
    )  # fmt: skip
    child.expect(r"(http://\S+/authorize\?\S+)")
    address = matched(child)
    child.expect("paste the address")
    child.sendline("http://127.0.0.1:1/oauth/callback?code=x&state=wrong")
    child.expect("not the address of this sign-in")
    child.sendline(final_address(address))
    child.expect("signed in to sandbox-sso until")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_refresh_that_is_refused_uses_the_token_as_long_as_it_is_valid(portal: Portal) -> None:
    portal.sandbox.set_faults(sso_token_life=300.0)
    portal.run("login", "sandbox-sso")
    portal.token_file.write_text(json.dumps(portal.token() | {"refreshToken": "of another time"}))
    done = portal.run("-v", "-O", "json", "sandbox-sso")
    assert done.returncode == 0, done.stderr
    assert "was not refreshed" in done.stderr
    portal.token_file.write_text(json.dumps(portal.token() | {"expiresAt": "2020-01-01T00:00:00UTC"}))
    ended = portal.run("-r", "-O", "json", "sandbox-sso")
    assert (ended.returncode, "needs a sign-in" in ended.stderr) == (4, True)


def test_errors_of_the_portal_have_their_codes(portal: Portal) -> None:
    portal.run("login", "sandbox-sso")
    config = portal.sandbox.config_file
    kept = config.read_text()
    try:
        config.write_text(kept + "[profile other]\nsso_session = sandbox-sso\nsso_account_id = 123456789012\n"
                          "sso_role_name = deploy-test\n")  # fmt: skip
        denied = portal.run("other", "true")
        assert denied.returncode == 4
        assert "does not give you role deploy-test in account 123456789012: no access" in denied.stderr
        portal.sandbox.set_faults(sso_rate=0.0)
        slow = portal.run("-r", "sandbox-sso", "true", AWS_MAX_ATTEMPTS="1")
        assert slow.returncode == 4
        assert "slow down (TooManyRequestsException)" in slow.stderr
    finally:
        config.write_text(kept)


@pytest.mark.parametrize("content", ["", '{"accessToken": "t"', "[]"])
def test_a_half_written_token_file_is_no_sign_in_and_no_traceback(portal: Portal, content: str) -> None:
    portal.token_file.write_text(content)
    done = portal.run("sandbox-sso", "true")
    assert (done.returncode, "needs a sign-in" in done.stderr, "Traceback" in done.stderr) == (4, True, False)
