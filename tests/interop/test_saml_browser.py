"""SAML in a driven window: real Chromium, SimpleSAMLphp's pages, and a person who types."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from aws_runas.signin.browser_window import Window
from aws_runas.signin.devtools import DevTools
from aws_runas.signin.form_walk import SamlFound
from tests.interop import simplesaml
from tests.interop.browser_person import BrowserPerson, closes, signs_in
from tests.interop.federated import HEADLESS, MANY, Home, iam_client, make_role
from tests.interop.simplesaml import SimpleSaml
from tests.support import requires, saml
from tests.support.loopback import Quiet, serving

ADMIN, READER = simplesaml.roles_of("windowed")


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[SimpleSaml]:
    with simplesaml.running(tmp_path_factory.mktemp("simplesaml"), "windowed") as running:
        iam = iam_client(sandbox)
        arn = iam.create_saml_provider(Name="windowed", SAMLMetadataDocument=running.metadata)["SAMLProviderArn"]
        for name in (ADMIN, READER):
            condition = {"StringEquals": {"SAML:aud": saml.RECIPIENT}}
            make_role(iam, name.rpartition("/")[2], "sts:AssumeRoleWithSAML", arn, condition)
        yield running


@pytest.fixture
def home(tmp_path: Path, sandbox: Sandbox, idp: SimpleSaml) -> Home:
    """A home whose browser is Chromium without a screen, counted at each start."""
    chromium = requires.program("chromium")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/started\nexec {chromium} --remote-debugging-port=0 "$@"\n')
    browser.chmod(0o755)
    made = Home(sandbox, tmp_path)
    made.write(
        f"[default]\nregion = us-east-1\nsaml_auth_url = {idp.sign_in_address()}\nauth_browser = {browser}\n"
        f"[profile many0]\nrole_arn = {ADMIN}\n[profile many1]\nrole_arn = {READER}\n"
    )
    return made


def variables() -> dict[str, str]:
    return {"RUNAS_LOGIN": "always", "RUNAS_TEST_BROWSER_ARGUMENTS": HEADLESS, "RUNAS_PASSWORD": "canary-of-ours"}


def started(home: Home) -> list[str]:
    path = home.path / "started"
    return path.read_text().splitlines() if path.exists() else []


def profiles(home: Home) -> Path:
    return home.path / ".aws" / "aws-runas" / "browser"


def test_the_answer_of_the_page_is_held_back_and_gives_the_role(home: Home, idp: SimpleSaml) -> None:
    person = BrowserPerson(profiles(home), signs_in("jane", "secret-of-jane"))
    run = home.run("-vv", "-O", "json", "many0", **variables())
    assert home.caller(run).endswith(":assumed-role/windowed-admin/jane"), person.seen
    (arguments,) = started(home)
    assert "--remote-debugging-pipe" in arguments
    assert "SAML" not in arguments  # nor an address: the page is opened through the pipe
    assert idp.url not in arguments
    assert "canary" not in run.stderr
    assert [stat.S_IMODE(path.stat().st_mode) for path in profiles(home).glob("127*") if path.is_dir()] == [0o700]


def test_a_closed_window_ends_the_sign_in(home: Home) -> None:
    BrowserPerson(profiles(home), closes)
    run = home.run("-O", "json", "many0", **variables())
    assert (run.returncode, run.stdout) == (4, "")
    assert "the window was closed" in run.stderr or "the browser was closed" in run.stderr


def test_fifty_processes_open_one_window(home: Home, sandbox: Sandbox) -> None:
    before = sandbox.count("AssumeRoleWithSAML")
    BrowserPerson(profiles(home), signs_in("jane", "secret-of-jane"))
    words = ["-c", MANY, "50", "-O", "env", "many%d"]
    child = pexpect.spawn(sys.executable, words, env=home.environ(**variables()), timeout=90, encoding="utf-8")
    child.expect(pexpect.EOF)
    shown = str(child.before)
    assert shown.count("child 0 1") == 50, shown
    assert len(started(home)) == 1
    assert sandbox.count("AssumeRoleWithSAML") == before + 2


def test_nobody_opens_a_window_without_a_terminal(home: Home) -> None:
    run = home.run("-O", "json", "many0", **variables() | {"RUNAS_LOGIN": "ask"})
    assert (run.returncode, started(home)) == (4, [])
    assert "aws-runas login many0" in run.stderr


BIG = "QUJD" * 24_000  # as long as AWS takes
PAGES = {
    "/": "<form method=post action='https://eu-west-1.signin.aws.amazon.com/saml'><input type=hidden name=SAMLResponse "
    f"value='{BIG}'></form><script>document.forms[0].submit()</script>",
    "/frame": "<iframe src=/></iframe>",
    "/popup": "<script>window.open('/')</script>",
}


@pytest.mark.parametrize("path", ["/frame", "/popup"])
def test_a_long_response_from_a_frame_or_a_second_window_is_held_back_too(path: str, tmp_path: Path) -> None:
    chromium = requires.program("chromium")
    with serving(pages_handler(PAGES)) as url:
        arguments = f"{HEADLESS} --disable-popup-blocking"
        environ = {**os.environ, "RUNAS_TEST_BROWSER_ARGUMENTS": arguments}
        found = Window(chromium, None, environ, 60).run(DevTools(url + path))
    assert isinstance(found, SamlFound)
    assert (found.encoded == BIG, found.address) == (True, "https://eu-west-1.signin.aws.amazon.com/saml")


def pages_handler(pages: dict[str, str]) -> type[Quiet]:
    """A handler that answers with these pages."""

    class Handler(Quiet):
        def do_GET(self) -> None:  # noqa: N802
            self.answer(200, pages.get(self.path, "").encode(), Content_Type="text/html")

    return Handler
