"""The page that ``console`` leaves, opened by a real Chromium: it ends signed in, where it was asked to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import RunAs
from tests.interop.webdriver import Browser
from tests.support import requires

RECORDER = '#!/bin/sh\nprintf %s "$1" > "$RECORD.new" && mv "$RECORD.new" "$RECORD"\n'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


def _page_for_browser(sandbox: Sandbox, runas: RunAs, folder: Path, *words: str) -> str:
    """Run the command with a browser that only tells what it was started with."""
    program, record = folder / "recorder", folder / "record"
    program.write_text(RECORDER)
    program.chmod(0o755)
    done = runas(sandbox, "console", "--browser", str(program), *words, RECORD=str(record), TMPDIR=str(folder))
    assert done.returncode == 0, done.stderr
    end = time.monotonic() + 30
    while not record.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return record.read_text()


@pytest.mark.parametrize(
    ("words", "identity"),
    [
        (["my-profile", "ec2/home#Instances:"], "assumed-role/my-role/"),
        (["--logout-first", "my-profile-user", "ec2/home#Instances:"], "federated-user/sandbox-user"),
    ],
)
def test_the_page_signs_in_and_leads_to_the_destination(
    sandbox: Sandbox, runas: RunAs, browser: Browser, tmp_path: Path, words: list[str], identity: str
) -> None:
    address = _page_for_browser(sandbox, runas, tmp_path, *words)
    assert address.startswith("file://")
    assert "SigninToken" not in address
    browser.open(address)
    browser.wait_text("h1", "Sandbox console")
    assert identity in browser.text("#identity")
    destination = "https://us-east-1.console.aws.amazon.com/ec2/home?region=us-east-1#Instances:"
    assert browser.text("#destination") == destination
    assert browser.run("return document.referrer") == ""
    assert browser.run("return location.href").startswith(f"{sandbox.endpoint}/federation?Action=login&")


def test_firefox_that_we_start_ends_signed_in(sandbox: Sandbox, runas: RunAs, tmp_path: Path) -> None:
    firefox = requires.program("firefox-esr")
    program, pid = tmp_path / "firefox", tmp_path / "pid"
    (tmp_path / "profile").mkdir()
    program.write_text(
        f'#!/bin/sh\necho $$ > {pid}\nexec {firefox} --headless --no-remote --profile {tmp_path}/profile "$@"\n'
    )
    program.chmod(0o755)
    sandbox.forget_calls()
    done = runas(sandbox, "console", "my-profile", RUNAS_BROWSER=str(program), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    end = time.monotonic() + 60
    while not (logins := [call for call in sandbox.calls if call["action"] == "login by GET"]):
        assert time.monotonic() < end, sandbox.calls
        time.sleep(0.1)
    os.kill(int(pid.read_text()), signal.SIGTERM)
    assert " Firefox/" in logins[0]["user_agent"]


def test_a_page_of_another_origin_cannot_use_the_endpoint(sandbox: Sandbox, browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "foreign.html"
    page.write_text("<!doctype html><title>foreign</title>")
    browser.open(page.as_uri())
    url = f"{sandbox.endpoint}/federation?Action=getSigninToken"
    script = (
        "const done = arguments[1];"
        "fetch(arguments[0], {mode: 'no-cors', method: 'POST'}).then(r => done(r.type), e => done(String(e)))"
    )
    sandbox.forget_calls()
    browser.run_async(script, url)
    assert sandbox.calls == []
