"""Which command opens a browser, and that nothing of it reaches the terminal."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aws_runas.errors import ConfigError
from aws_runas.signin.browser import Browser, NoBrowser, find_browser, open_address

ALL = {"open", "wslview", "rundll32.exe", "xdg-open", "firefox", "lynx", "w3m"}
DESKTOP = {"DISPLAY": ":0"}


def find(environ: dict[str, str], *, chosen: str | None = None, platform: str = "linux", programs: set[str] = ALL,
         container: bool = False) -> Browser | NoBrowser:  # fmt: skip
    return find_browser(
        environ,
        chosen,
        platform=platform,
        which=lambda name: f"/usr/bin/{name}" if name in programs else None,
        is_container=lambda: container,
    )


@pytest.mark.parametrize(
    ("environ", "platform", "command"),
    [
        (DESKTOP, "linux", ("xdg-open",)),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", ("xdg-open",)),
        ({}, "darwin", ("open",)),
        ({}, "win32", ("rundll32", "url.dll,FileProtocolHandler")),
        ({"WSL_DISTRO_NAME": "Debian"}, "linux", ("wslview",)),
        (DESKTOP | {"BROWSER": "firefox"}, "linux", ("firefox",)),
        (DESKTOP | {"BROWSER": "missing:lynx:firefox --new-tab %s"}, "linux", ("firefox", "--new-tab", "%s")),
        (DESKTOP | {"BROWSER": "firefox", "RUNAS_BROWSER": "xdg-open"}, "linux", ("xdg-open",)),
        ({"SSH_CONNECTION": "1 2 3 4", "BROWSER": "firefox"}, "linux", ("firefox",)),  # VS Code remote
    ],
)
def test_the_first_command_that_fits_is_chosen(
    environ: dict[str, str], platform: str, command: tuple[str, ...]
) -> None:
    browser = find(environ, platform=platform)
    assert isinstance(browser, Browser)
    assert browser.commands[0] == command


@pytest.mark.parametrize(
    ("environ", "container", "programs", "reason"),
    [
        (DESKTOP | {"SSH_CONNECTION": "1 2 3 4"}, False, ALL, "ssh"),
        (DESKTOP | {"SSH_TTY": "/dev/pts/1"}, False, ALL, "ssh"),
        ({}, False, ALL, "display"),
        (DESKTOP, True, ALL, "container"),
        (DESKTOP, False, {"firefox"}, "xdg-open"),
        ({"BROWSER": "w3m"}, False, ALL, "display"),  # a text browser would take over the terminal
    ],
)
def test_there_is_no_browser(environ: dict[str, str], container: bool, programs: set[str], reason: str) -> None:
    browser = find(environ, container=container, programs=programs)
    assert isinstance(browser, NoBrowser)
    assert reason in browser.reason


@pytest.mark.parametrize("value", ["missing", "lynx", "/usr/bin/w3m", "'unclosed"])
def test_a_named_browser_that_cannot_be_used_is_an_error(value: str) -> None:
    programs = ALL | {"/usr/bin/w3m"}
    with pytest.raises(ConfigError) as caught:
        find(DESKTOP, chosen=value, programs=programs)
    assert caught.value.code == "browser-not-found"
    with pytest.raises(ConfigError):
        find(DESKTOP | {"RUNAS_BROWSER": value}, programs=programs)


def test_the_browser_runs_apart_from_the_terminal_and_sees_no_secret(tmp_path: Path) -> None:
    report = tmp_path / "report"
    program = tmp_path / "browser"
    program.write_text(
        f'#!/bin/sh\n{{ echo "$@"; readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2; ps -o sid= -p $$; env; }} '
        f">{report}.new 2>&1 </dev/null\nmv {report}.new {report}\n"
    )
    program.chmod(0o700)
    environ = dict(os.environ) | {"SAML_PASSWORD": "canary", "AWS_SECRET_ACCESS_KEY": "canary", "KEPT": "yes"}
    browser = Browser((("/nonexistent/browser",), (str(program), "--tab=%s", "$(touch x)")), "test")
    assert open_address(browser, "http://127.0.0.1/a b;c", environ)
    deadline = time.monotonic() + 20
    while not report.exists():
        assert time.monotonic() < deadline
        os.sched_yield()
    text = report.read_text()
    assert text.splitlines()[0] == "--tab=http://127.0.0.1/a b;c $(touch x)"
    assert text.splitlines()[1] == "/dev/null"
    assert "KEPT=yes" in text
    assert "canary" not in text
    assert str(os.getsid(0)) not in [line.strip() for line in text.splitlines()]


def test_a_browser_that_cannot_start_is_reported() -> None:
    assert not open_address(Browser((("/nonexistent/browser",),), "test"), "http://127.0.0.1/", {})
