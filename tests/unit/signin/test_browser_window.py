"""The driver of a browser window, with programs in place of the browser: its descriptors, its end, its environment."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from aws_runas.config.profile import Setting
from aws_runas.errors import AwsRunasError, CredentialsError
from aws_runas.signin.browser_window import Window, find_program, why_impossible
from aws_runas.signin.devtools import DevTools
from aws_runas.signin.form_walk import SamlFound

POSTED = (
    '{"method":"Fetch.requestPaused","params":{"requestId":"r","request":{"method":"POST",'
    '"url":"https://signin.aws.amazon.com/saml","postData":"SAMLResponse=QUJD"}}}'
)


def program(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\nimport os, sys\n{body}")
    path.chmod(0o755)
    return str(path)


def window(path: Path, body: str, *, timeout: float = 20, **environ: str) -> Window:
    return Window(
        program(path / "browser", body),
        path / "profile",
        {"PATH": "/usr/bin:/bin", "DISPLAY": ":9", **environ},
        timeout,
    )


def test_the_browser_gets_the_pipe_at_three_and_four_and_no_secret(tmp_path: Path) -> None:
    body = f"""
first = os.read(3, 65536)
assert first.endswith(b"\\0") and b"Target.setAutoAttach" in first
open({str(tmp_path / "seen")!r}, "w").write(repr([sys.argv[1:], sorted(os.environ)]))
os.write(4, {POSTED!r}.encode() + b"\\0")
while b"Browser.close" not in os.read(3, 65536): pass
"""
    found = window(tmp_path, body, RUNAS_PASSWORD="canary", AWS_SESSION_TOKEN="canary").run(
        DevTools("https://idp.example")
    )
    assert found == SamlFound("QUJD", "https://signin.aws.amazon.com/saml")
    seen = (tmp_path / "seen").read_text()
    assert "--remote-debugging-pipe" in seen
    assert "RUNAS_PASSWORD" not in seen
    assert "AWS_SESSION_TOKEN" not in seen
    assert "idp.example" not in seen
    assert stat.S_IMODE((tmp_path / "profile").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "body", ["sys.exit(3)", "os.write(4, b'\\0nonsense\\0')", "os.close(4); os.read(3, 9); os.read(3, 9)"]
)
def test_a_browser_that_ends_or_talks_nonsense_ends_the_sign_in(tmp_path: Path, body: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        window(tmp_path, body).run(DevTools("https://idp.example"))
    assert caught.value.code == "login-denied"


def test_a_sign_in_that_nobody_completes_ends_and_takes_the_browser_along(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    body = (
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\nos.write(4, b'{{}}\\0')\nwhile os.read(3, 65536): pass"
    )
    found = window(tmp_path, body, timeout=600)

    def clock() -> float:
        """Time passes once the browser has started."""
        return 601.0 if pid_file.exists() else 0.0

    timed = Window(found.program, found.profile, found.environ, 600, clock)
    with pytest.raises(CredentialsError) as caught:
        timed.run(DevTools("https://idp.example"))
    assert caught.value.code == "login-timeout"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.parametrize(
    ("environ", "platform", "reason"),
    [
        ({}, "linux", "no display"),
        ({"DISPLAY": ":0"}, "linux", ""),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", ""),
        ({}, "darwin", ""),
        ({"DISPLAY": ":0"}, "win32", "Linux and macOS only"),
    ],
)
def test_a_window_needs_a_display(environ: dict[str, str], platform: str, reason: str) -> None:
    found = why_impossible(environ, platform=platform)
    assert reason in found if reason else found == ""


def test_without_a_display_nothing_is_started(tmp_path: Path) -> None:
    shown = window(tmp_path, f"open({str(tmp_path / 'started')!r}, 'w')")
    with pytest.raises(CredentialsError) as caught:
        Window(shown.program, shown.profile, {}, 20).run(DevTools("https://idp.example"))
    assert (caught.value.code, (tmp_path / "started").exists()) == ("browser-missing", False)


def test_a_profile_that_is_open_to_others_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile").chmod(0o777)
    with pytest.raises(CredentialsError) as caught:
        window(tmp_path, "").run(DevTools("https://idp.example"))
    assert caught.value.code == "browser-profile-unusable"
    assert caught.value.hint == "use --fresh-browser, or make it a private directory"


@pytest.mark.parametrize(
    ("chosen", "names", "expected"),
    [
        (None, ["chromium"], "chromium"),
        (None, ["microsoft-edge", "brave-browser"], "microsoft-edge"),
        ("msedge", ["microsoft-edge", "chromium"], "microsoft-edge"),
        ("Chrome", ["google-chrome"], "google-chrome"),
        ("brave", ["chromium"], "browser-not-found"),
        ("/nowhere/browser", ["chromium"], "browser-not-found"),
        (None, [], "browser-missing"),
    ],
)
def test_the_browser_is_found_by_its_name_or_its_path(
    tmp_path: Path, chosen: str | None, names: list[str], expected: str
) -> None:
    for name in names:
        program(tmp_path / name, "")
    setting = Setting(chosen, "AUTH_BROWSER") if chosen else None
    try:
        assert find_program(setting, {"PATH": str(tmp_path)}, platform="linux") == str(tmp_path / expected)
    except AwsRunasError as error:
        assert error.code == expected  # noqa: PT017 - one table for both
