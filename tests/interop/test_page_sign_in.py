"""Signing in on the page of `serve`, in Chromium, in front of the real command and the sandbox's portal."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import AWS_RUNAS
from tests.integration.sandbox.clients import client
from tests.integration.sso.test_login import Portal, portal, world  # noqa: F401 - fixtures
from tests.interop.federated import Home
from tests.interop.simplesaml import SimpleSaml
from tests.interop.test_saml import home, idp  # noqa: F401 - fixtures
from tests.interop.webdriver import DOWN, ENTER, ESCAPE, Browser
from tests.support.portal_browser import decide
from tests.support.serving import Command

SSO = "sandbox-sso"
PASSPHRASE = "correct horse"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


def _open(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.wait_script("return document.body.dataset.ready")


def _is_shown(browser: Browser, selector: str) -> object:
    return browser.run("return Boolean(document.querySelector(arguments[0]).offsetParent)", selector)


def test_a_click_signs_in_in_the_browser_of_this_machine(browser: Browser, portal: Portal) -> None:  # noqa: F811
    with Command(["serve", "ecs", "-p", "0", SSO], portal.environ) as server:
        _open(browser, server.base)
        browser.wait_text("#problem", "needs a sign-in")
        browser.wait_text("#until", "a sign-in is needed")
        assert (browser.text("#sign-in"), portal.windows()) == ("Sign in", 0)
        browser.click("#sign-in")
        browser.wait_text("#until", "left, until")
        assert portal.windows() == 1
        assert not _is_shown(browser, "#sign-in")
        assert not _is_shown(browser, "#progress")
        assert browser.text("#problem") == ""
        assert portal.token()["accessToken"]  # the file of the AWS CLI, for every other program
        assert portal.count("GetRoleCredentials") == 1


def test_where_there_is_no_browser_the_page_shows_address_and_code(browser: Browser, portal: Portal) -> None:  # noqa: F811
    environ = {**portal.environ, "SSH_CONNECTION": "198.51.100.7 1 198.51.100.8 22"}
    del environ["RUNAS_BROWSER"]
    with Command(["serve", "ecs", "-p", "0", SSO], environ) as server:
        _open(browser, server.base)
        browser.click("#sign-in")
        browser.wait_text("#progress", "compare the code")
        link = str(browser.run("return document.querySelector('#progress a').href"))
        assert "/device?user_code=" in link
        assert browser.role("#progress") == "status"
        decide(link)
        browser.wait_text("#until", "left, until")
        assert [line for line in browser.messages() if "401" not in line] == []


def test_a_refusal_is_said_and_the_next_click_signs_in(browser: Browser, portal: Portal) -> None:  # noqa: F811
    environ = {**portal.environ, "SSH_CONNECTION": "198.51.100.7 1 198.51.100.8 22"}
    del environ["RUNAS_BROWSER"]
    with Command(["serve", "ecs", "-p", "0", SSO], environ) as server:
        _open(browser, server.base)
        for decision in ("deny", "allow"):
            browser.click("#sign-in")
            browser.wait_text("#progress", "compare the code")
            decide(str(browser.run("return document.querySelector('#progress a').href")), decision)
            if decision == "deny":
                browser.wait_text("#problem", "was refused in the browser")
        browser.wait_text("#until", "left, until")
        assert browser.run("return document.querySelector('#problem').textContent") == ""


def test_the_passphrase_of_the_keyring_file_is_asked_for(
    browser: Browser,
    portal: Portal,  # noqa: F811
    tmp_path: Path,
) -> None:
    """A wrong one is asked for again, and the right one is in no file and no output."""
    environ = portal.environ | {"RUNAS_KEYRING": "file", "RUNAS_CACHE_DIR": str(tmp_path / "cache")}
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        copy = tmp_path / variable
        copy.write_bytes(Path(environ[variable]).read_bytes())
        copy.chmod(0o600)
        environ[variable] = str(copy)
    given = environ | {"RUNAS_KEYRING_PASSPHRASE": PASSPHRASE}
    subprocess.run([*AWS_RUNAS, "keys", "import", "my-profile-user"], env=given, check=True, stderr=subprocess.DEVNULL)
    with Command(["serve", "ecs", "-v", "-p", "0", "my-profile"], environ) as server:
        _open(browser, server.base)
        browser.wait_text("#problem", "The keyring file needs its passphrase.")
        assert browser.text("#sign-in") == "Type the passphrase"
        browser.click("#sign-in")
        browser.wait_text("#question-text", "Passphrase for")
        assert browser.run("return document.getElementById('answer').type") == "password"
        assert browser.run("return document.activeElement.id") == "answer"
        browser.press("wrong" + ENTER)
        browser.wait_text("#question-text", "Wrong passphrase")
        browser.wait_script("return document.getElementById('question').open")
        browser.press(PASSPHRASE + ENTER)
        browser.wait_text("#until", "left, until")
        assert server.end() == 143
        assert server.process.stderr is not None
        assert PASSPHRASE not in server.process.stderr.read().decode()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and PASSPHRASE.encode() in path.read_bytes()]


def test_password_and_role_of_an_identity_provider_are_asked_for(
    browser: Browser,
    home: Home,  # noqa: F811
    idp: SimpleSaml,  # noqa: F811
) -> None:
    """SimpleSAMLphp refuses the first password; two roles are offered, and the second one is chosen."""
    before = idp.logins()
    with Command(["serve", "ecs", "-v", "-p", "0", "open"], home.environ()) as server:
        _open(browser, server.base)
        browser.wait_text("#problem", "needs a sign-in")
        browser.click("#sign-in")
        browser.wait_text("#question-text", "Password of jane at")
        browser.press("wrong-canary" + ENTER)
        browser.wait_text("#question-text", "the password was refused")
        browser.wait_script("return document.getElementById('question').open")
        browser.press("secret-of-jane" + ENTER)
        browser.wait_script("return document.querySelectorAll('#choices input').length === 2")
        assert browser.role("#choices") == "radiogroup"
        browser.press(DOWN)
        browser.press(ENTER)
        browser.wait_text("#until", "left, until")
        token = {"Authorization": server.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
        served = server.fetch("/credentials", headers=token).json()
        keys = {"SessionToken": served["Token"], **{name: served[name] for name in ("AccessKeyId", "SecretAccessKey")}}
        assert client(home.sandbox, "sts", keys=keys).get_caller_identity()["Arn"].endswith("/idp-reader/jane")
        assert server.end() == 143
        assert server.process.stderr is not None
        said = server.process.stderr.read().decode()
    assert idp.logins() == before + 2
    assert "canary" not in said
    assert "secret-of-jane" not in said


def test_a_sign_in_that_is_cancelled_says_so(browser: Browser, home: Home) -> None:  # noqa: F811
    with Command(["serve", "ecs", "-p", "0", "admin"], home.environ()) as server:
        _open(browser, server.base)
        browser.click("#sign-in")
        browser.wait_text("#question-text", "Password of jane at")
        browser.press(ESCAPE)
        browser.wait_text("#problem", "The sign-in was cancelled on the page.")
        assert _is_shown(browser, "#sign-in")
