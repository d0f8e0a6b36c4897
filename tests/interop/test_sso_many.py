"""Many processes and one sign-in, every account and role, and the other kinds of sign-in: slower than test_login."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import threading
from pathlib import Path

import pexpect
import pytest

from tests.integration.conftest import AWS_RUNAS
from tests.integration.sso.test_login import Portal, matched, portal, until, world  # noqa: F401 - fixtures
from tests.support.portal_browser import decide


def test_fifty_cold_processes_open_one_window(portal: Portal) -> None:  # noqa: F811
    results = portal.crowd(50, "-O", "json", "sandbox-sso", RUNAS_LOGIN="always")
    assert [status for status, _ in results] == [0] * 50
    assert len({key for _, key in results}) == 1
    assert portal.windows() == 1
    for action in ("RegisterClient", "CreateToken", "GetRoleCredentials"):
        assert portal.count(action) == 1, action


def test_twenty_processes_refresh_a_token_once_and_lose_none(portal: Portal) -> None:  # noqa: F811
    portal.sandbox.set_faults(sso_token_life=300.0)
    portal.run("login", "sandbox-sso")
    portal.sandbox.set_faults(sso_token_life=8 * 3600.0)
    first = portal.token() | {"member of another tool": [1]}
    portal.token_file.write_text(json.dumps(first))
    portal.sandbox.forget_calls()
    results = portal.crowd(20, "-O", "json", "sandbox-sso")  # no terminal: a sign-in could not start
    assert [status for status, _ in results] == [0] * 20
    assert (portal.count("CreateToken"), portal.count("GetRoleCredentials"), portal.windows()) == (1, 1, 1)
    second = portal.token()
    assert second["refreshToken"] != first["refreshToken"]
    assert second["clientId"] == first["clientId"]
    assert second["member of another tool"] == [1]


@pytest.mark.slow
def test_a_rotated_refresh_token_survives_processes_that_are_killed(portal: Portal) -> None:  # noqa: F811
    """Six of twenty processes are killed at moments of a seed; each refresh token is good once."""
    portal.sandbox.set_faults(sso_token_life=300.0)
    assert portal.run("login", "sandbox-sso").returncode == 0
    moments = random.Random(3)
    waiting = threading.Event()
    for _ in range(3):
        for path in portal.cache.glob("*.json"):
            path.unlink()
        started = [portal.start("-O", "json", "sandbox-sso", RUNAS_LOGIN="never") for _ in range(20)]
        for victim in moments.sample(started, 6):
            waiting.wait(moments.uniform(0, 0.4))
            victim.kill()
        statuses = [process.wait(60) for process in started]
        assert set(statuses) <= {0, -signal.SIGKILL}, statuses
        done = portal.run("-O", "json", "sandbox-sso", RUNAS_LOGIN="never")
        assert done.returncode == 0, done.stderr
    assert portal.windows() == 1


def test_the_next_one_takes_over_when_the_one_that_signs_in_is_killed(portal: Portal) -> None:  # noqa: F811
    holder = portal.start("-E", "sandbox-sso", "true", RUNAS_LOGIN="always", PORTAL_BROWSER_DECISION="none")
    until(lambda: portal.windows() == 1)
    waiting = portal.start("-E", "sandbox-sso", "true", RUNAS_LOGIN="always")

    def waits() -> bool:
        descriptors = Path(f"/proc/{waiting.pid}/fd")
        names = [os.readlink(each) for each in descriptors.iterdir() if each.is_symlink()]
        return any(".json.lock" in name for name in names)

    until(waits)
    holder.send_signal(signal.SIGKILL)
    assert holder.wait(30) == -signal.SIGKILL
    assert waiting.wait(60) == 0
    assert portal.windows() == 2


def test_every_account_is_listed_at_the_pace_of_the_service(portal: Portal) -> None:  # noqa: F811
    portal.run("login", "sandbox-sso")
    portal.sandbox.set_faults(sso_accounts=25)
    done = portal.run("sso", "list", "-O", "csv", "sandbox-sso")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "account,name,role,profile"
    assert len(lines) == 1 + 3 + 25 * 2
    assert "123456789012,sandbox,my-role,sandbox-sso" in lines
    errors = [call["error"] for call in portal.sandbox.calls if call["service"] == "sso" and call["error"]]
    assert errors == []


def test_profiles_are_generated_kept_and_pruned(portal: Portal) -> None:  # noqa: F811
    portal.run("login", "sandbox-sso")
    config = portal.sandbox.config_file
    kept = config.read_text()
    try:
        portal.sandbox.set_faults(sso_accounts=1)
        words = ("sso", "profiles", "--sso-session", "sandbox-sso", "--write", "--prune")
        first = portal.run(*words)
        assert first.returncode == 0, first.stderr
        text = config.read_text()
        assert text.startswith(kept)
        assert "[profile team-000-my-role]\nsso_session = sandbox-sso\n" in text
        assert config.with_name("config.bak").read_text() == kept
        assert "nothing to change" in portal.run(*words).stderr
        assert config.read_text() == text
        who = portal.run("whoami", "team-000-my-role", AWS_REGION="us-east-1")
        assert "300000000000:assumed-role/my-role" in who.stdout
        portal.sandbox.set_faults(sso_accounts=0)
        assert "2 removed" in portal.run(*words).stderr
        assert "team-000" not in config.read_text()
    finally:
        config.write_text(kept)


def test_a_refused_device_code_is_an_error_at_once(portal: Portal) -> None:  # noqa: F811
    child = pexpect.spawn(
        AWS_RUNAS[0], [*AWS_RUNAS[1:], "login", "--device-code", "--no-browser", "sandbox-sso"],
        env=portal.environ, timeout=30, encoding="utf-8",
    )  # fmt: skip
    child.expect(r"(http://\S+/device\?user_code=\S+)")
    decide(matched(child), "deny")
    child.expect("was refused in the browser")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4


def test_a_profile_without_a_session_signs_in_by_device_code(portal: Portal) -> None:  # noqa: F811
    """The older form: no scopes, no refresh token, and a file that is named after the start URL as it is written."""
    config = portal.sandbox.config_file
    kept = config.read_text()
    url = re.findall(r"sso_start_url = (\S+)", kept)[0]
    try:
        config.write_text(
            f"{kept}[profile legacy]\nsso_start_url = {url}\nsso_region = us-east-1\nsso_account_id = 123456789012\n"
            "sso_role_name = my-role\n"
        )
        done = portal.run("login", "legacy")  # the browser of the test opens the page and allows it
        assert done.returncode == 0, done.stderr
        assert "compare the code:" in done.stderr
        token = json.loads(portal.token_file.with_name(hashlib.sha1(url.encode()).hexdigest() + ".json").read_bytes())
        assert "refreshToken" not in token
        assert "my-role" in portal.run("whoami", "--region", "us-east-1", "legacy").stdout
    finally:
        config.write_text(kept)


def test_login_fetches_the_session_token_of_access_keys(portal: Portal) -> None:  # noqa: F811
    code = portal.sandbox.mfa_code()
    done = portal.run("login", "-o", code, "my-profile-mfa")
    assert done.returncode == 0, done.stderr
    assert "the session token of my-profile-mfa is good until" in done.stderr
    assert portal.run("-E", "my-profile-mfa", "true").returncode == 0  # needs no code
    assert portal.run("logout", "my-profile-mfa").returncode == 0
    assert "MFA code is needed" in portal.run("-E", "my-profile-mfa", "true").stderr
