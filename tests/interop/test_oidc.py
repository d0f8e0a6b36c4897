"""Signing in with OpenID Connect at node-oidc-provider; the sandbox's STS checks the ID tokens by its keys."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from tests.interop import javascript, scripted_browser
from tests.interop.browser_person import BrowserPerson
from tests.interop.federated import HEADLESS, MANY, Home, iam_client, make_role
from tests.support import requires, saml

BROWSER = f"{sys.executable} {Path(scripted_browser.__file__)} %s"


@dataclass
class Provider:
    """node-oidc-provider."""

    issuer: str

    def seen(self) -> Any:
        """What it was asked so far."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.issuer}/seen", timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def running_provider(sandbox: Sandbox) -> Iterator[Provider]:
    """Start the provider, which the sandbox's IAM knows with its roles; it ends with the block."""
    node = javascript.node()
    process = subprocess.Popen(
        [node, "oidc.mjs"],
        cwd=javascript.FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        issuer = json.loads(process.stdout.readline())["issuer"]
        iam = iam_client(sandbox)
        clients = ["native", "custom", "confidential", "usual"]
        arn = iam.create_open_id_connect_provider(Url=issuer, ClientIDList=clients)["OpenIDConnectProviderArn"]
        name = issuer.removeprefix("http://")
        for role in ("web-one", "web-two"):
            condition = {"StringEquals": {f"{name}:sub": "jane"}}
            make_role(iam, role, "sts:AssumeRoleWithWebIdentity", arn, condition)
        condition = {"StringEquals": {f"{name}:sub": "john"}}
        make_role(iam, "web-of-john", "sts:AssumeRoleWithWebIdentity", arn, condition)
        yield Provider(issuer)
    finally:
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def provider(sandbox: Sandbox) -> Iterator[Provider]:
    with running_provider(sandbox) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, sandbox: Sandbox, provider: Provider) -> Home:
    made = Home(sandbox, tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("canary-secret\n")
    secret.chmod(0o600)
    made.write(
        f"""[default]
region = us-east-1
web_identity_auth_url = {provider.issuer}
web_identity_client_id = native
web_identity_username = jane
[profile many0]
role_arn = {saml.role("web-one")}
[profile many1]
role_arn = {saml.role("web-two")}
[profile john]
role_arn = {saml.role("web-of-john")}
[profile localhost]
role_arn = {saml.role("web-one")}
web_identity_callback_uri = http://localhost/callback
[profile custom]
role_arn = {saml.role("web-one")}
web_identity_client_id = custom
web_identity_callback_uri = com.example.app:/callback
web_identity_flow = browser
[profile form]
role_arn = {saml.role("web-one")}
web_identity_client_id = custom
web_identity_callback_uri = com.example.app:/callback
web_identity_provider = keycloak
[profile confidential]
role_arn = {saml.role("web-one")}
web_identity_client_id = confidential
web_identity_client_secret = file://{secret}
[profile usual]
role_arn = {saml.role("web-one")}
web_identity_client_id = usual
web_identity_client_secret = file://{secret}
[profile elsewhere]
role_arn = {saml.role("web-one")}
web_identity_client_id = elsewhere
[profile offline]
role_arn = {saml.role("web-one")}
web_identity_scopes = openid offline_access
[profile device]
role_arn = {saml.role("web-one")}
web_identity_flow = device
[profile lost]
role_arn = {saml.role("web-one")}
web_identity_auth_url = {provider.issuer}/realms/none
"""
    )
    return made


def variables(script: str = "sign-in") -> dict[str, str]:
    return {"RUNAS_LOGIN": "always", "RUNAS_BROWSER": BROWSER, "SCRIPT": script}


def test_code_with_pkce_in_the_users_browser_gives_the_role(home: Home, provider: Provider) -> None:
    before = provider.seen()["authorizations"]
    run = home.run("-vv", "-O", "json", "many0", **variables())
    assert home.caller(run).endswith(":assumed-role/web-one/" + home.caller(run).rpartition("/")[2])
    # the second role costs no second sign-in, and needs nobody
    assert ":assumed-role/web-two/" in home.caller(home.run("-O", "json", "many1"))
    assert provider.seen()["authorizations"] == before + 1
    token = next(path for path in home.files() if path.name.startswith("assertion-")).read_text()
    assert json.loads(token)["Answer"] not in run.stderr


def test_the_name_localhost_works_as_redirect(home: Home) -> None:
    assert ":assumed-role/web-one/" in home.caller(home.run("-O", "json", "localhost", **variables()))


def test_a_client_secret_is_sent_from_a_private_file(home: Home) -> None:
    run = home.run("-vv", "-O", "json", "confidential", **variables())
    assert ":assumed-role/web-one/" in home.caller(run)
    assert "canary" not in run.stderr
    (home.path / "secret").chmod(0o644)
    refused = home.run("-r", "-O", "json", "confidential", **variables())
    assert (refused.returncode, "chmod 600" in refused.stderr) in ((3, True), (0, False))
    (home.path / ".aws" / "aws-runas").rename(home.path / "old")
    refused = home.run("-O", "json", "confidential", **variables())
    assert (refused.returncode, "chmod 600" in refused.stderr) == (3, True)


def test_a_client_that_is_registered_as_usual_gets_its_secret_in_the_header(home: Home) -> None:
    assert ":assumed-role/web-one/" in home.caller(home.run("-O", "json", "usual", **variables()))


def test_a_client_secret_may_be_in_the_keyring(home: Home) -> None:
    config = home.path / ".aws" / "config"
    config.write_text(config.read_text().replace(f"file://{home.path / 'secret'}", "keyring"))
    missing = home.run("-O", "json", "confidential", RUNAS_KEYRING_PASSPHRASE="phrase", **variables())
    assert (missing.returncode, "has no client secret" in missing.stderr) == (4, True)
    child = home.at_terminal("password", "--client-secret", "confidential", RUNAS_KEYRING_PASSPHRASE="phrase")
    for question in ("Client secret of client:confidential: ", "The same again: "):
        child.expect_exact(question)
        child.sendline("canary-secret")
    child.expect(pexpect.EOF)
    run = home.run("-O", "json", "confidential", RUNAS_KEYRING_PASSPHRASE="phrase", **variables())
    assert ":assumed-role/web-one/" in home.caller(run)


def test_a_denied_consent_is_said_at_once_and_marks_the_sign_in(home: Home) -> None:
    run = home.run("-O", "json", "many0", **variables("deny"))
    assert (run.returncode, run.stdout) == (4, "")
    assert re.search("denied|aborted|refused|not sign", run.stderr), run.stderr
    again = home.run("-O", "json", "many1", **variables())
    assert (again.returncode, "needs a sign-in" in again.stderr) == (4, True)  # nobody opens a second window now


def test_another_nonce_is_refused(home: Home) -> None:
    run = home.run("-O", "json", "many0", **variables("other-nonce"))
    assert (run.returncode, "nonce is not the one that was sent" in run.stderr) == (4, True), run.stderr


def test_what_sts_compares_is_shown(home: Home, provider: Provider) -> None:
    run = home.run("-O", "json", "john", **variables())
    assert run.returncode == 4
    for words in ("not allowed to assume", f"iss {provider.issuer}", "aud native", "sub jane"):
        assert words in run.stderr
    other = home.run("-O", "json", "elsewhere", **variables())
    assert (other.returncode, "Incorrect token audience" in other.stderr, "aud elsewhere" in other.stderr) == (
        4,
        True,
        True,
    )


def test_a_provider_without_configuration_is_named(home: Home, provider: Provider) -> None:
    run = home.run("-O", "json", "lost", **variables())
    assert run.returncode == 4
    assert f"{provider.issuer}/realms/none/.well-known/openid-configuration answers 404" in run.stderr


def test_forms_stop_before_an_address_that_nobody_listens_at(home: Home) -> None:
    run = home.run("-O", "json", "form", RUNAS_PASSWORD="any-canary")
    assert ":assumed-role/web-one/" in home.caller(run)


def test_a_driven_window_stops_before_an_address_of_an_app(home: Home) -> None:
    chromium = requires.program("chromium")
    browser = home.path / "browser"
    browser.write_text(f'#!/bin/sh\nexec {chromium} --remote-debugging-port=0 "$@"\n')
    browser.chmod(0o755)
    submitted: list[str] = []

    def act(evaluate: Any) -> bool:
        script = """(() => { const f = document.querySelector('form'); if (!f) { return 'none'; }
            const u = f.querySelector('[name=login]');
            if (u) { u.value = 'jane'; f.querySelector('[name=password]').value = 'x'; f.submit(); return 'login'; }
            f.submit(); return 'consent'; })()"""
        submitted.append(evaluate(script))
        return submitted[-1] == "consent"

    BrowserPerson(home.path / ".aws" / "aws-runas" / "browser", act)
    more = {"RUNAS_LOGIN": "always", "AUTH_BROWSER": str(browser), "RUNAS_TEST_BROWSER_ARGUMENTS": HEADLESS}
    run = home.run("-O", "json", "custom", **more)
    assert ":assumed-role/web-one/" in home.caller(run), submitted


def test_the_address_may_be_pasted_where_the_browser_cannot_come_back(home: Home) -> None:
    """A browser on another machine: it ends on an address that it cannot reach."""
    more = {"SSH_CONNECTION": "somewhere", "SCRIPT": "paste"}
    child = home.at_terminal("login", "--no-browser", "many0", **more)
    child.expect(r"open this address: (\S+)\r\n")
    address = child.match.group(1).decode()  # type: ignore[union-attr]
    command = [sys.executable, scripted_browser.__file__, address]
    elsewhere = subprocess.run(command, env={"SCRIPT": "paste"}, capture_output=True, text=True, check=True, timeout=30)
    child.sendline("https://idp.example/?code=1&state=2")
    child.expect_exact("that is not the address")
    child.sendline(elsewhere.stdout.strip())
    child.expect_exact("signed in as many0 until")
    child.expect(pexpect.EOF)


def test_device_code_is_entered_elsewhere(home: Home, provider: Provider) -> None:
    child = home.at_terminal("-O", "json", "device", **variables())
    child.expect(r"open (\S+) and enter (\S+); or open (\S+)\r\n")
    complete = child.match.group(3).decode()  # type: ignore[union-attr]
    subprocess.run([sys.executable, scripted_browser.__file__, complete], check=True, timeout=30)
    child.expect_exact("SecretAccessKey")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert provider.seen()["tokens"]["urn:ietf:params:oauth:grant-type:device_code"] >= 1


def test_a_refresh_token_is_kept_in_the_keyring_or_nowhere(home: Home, provider: Provider) -> None:
    run = home.run("-O", "json", "offline", RUNAS_KEYRING_PASSPHRASE="phrase", **variables())
    assert ":assumed-role/web-one/" in home.caller(run)
    before = provider.seen()
    for path in (home.path / ".aws" / "aws-runas" / "cache").iterdir():
        path.unlink()
    # a refresh needs nobody, so it is done where no window may open
    never = variables("deny") | {"RUNAS_LOGIN": "never"}
    again = home.run("-O", "json", "offline", RUNAS_KEYRING_PASSPHRASE="phrase", **never)
    assert ":assumed-role/web-one/" in home.caller(again)
    after = provider.seen()
    assert after["authorizations"] == before["authorizations"]
    assert after["tokens"]["refresh_token"] == before["tokens"].get("refresh_token", 0) + 1
    forced = home.run("login", "--force", "offline", RUNAS_KEYRING_PASSPHRASE="phrase", **never)
    assert (forced.returncode, "needs a sign-in" in forced.stderr) == (4, True)


def test_fifty_processes_open_one_window(home: Home, provider: Provider, sandbox: Sandbox) -> None:
    before, calls = provider.seen()["authorizations"], sandbox.count("AssumeRoleWithWebIdentity")
    words = ["-c", MANY, "50", "-O", "env", "many%d"]
    child = pexpect.spawn(sys.executable, words, env=home.environ(**variables()), timeout=90, encoding="utf-8")
    child.expect(pexpect.EOF)
    shown = str(child.before)
    assert shown.count("child 0 1") == 50, shown
    assert provider.seen()["authorizations"] == before + 1
    assert sandbox.count("AssumeRoleWithWebIdentity") == calls + 2
