"""An address on loopback that leads a browser on, once."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aws_runas.signin.browser import Browser, is_apart
from aws_runas.signin.handover import Handover
from aws_runas.socket_owner import SocketOwners

TARGET = "https://x.example/federation?Action=login&SigninToken=secret"


@contextmanager
def _waiting() -> Iterator[tuple[Handover, list[bool]]]:
    """A handover that waits in a thread of its own."""
    found: list[bool] = []
    with Handover(TARGET) as handover:
        thread = threading.Thread(target=lambda: found.append(handover.wait(30)))
        thread.start()
        try:
            yield handover, found
        finally:
            thread.join()


def _ask(
    address: str, *, method: str = "GET", path: str | None = None, host: str | None = None, extra: str = ""
) -> bytes:
    parts = urlsplit(address)
    text = f"{method} {path or parts.path} HTTP/1.1\r\nHost: {host or parts.netloc}\r\n{extra}\r\n"
    with socket.create_connection(("127.0.0.1", parts.port or 0), timeout=30) as connection:
        connection.sendall(text.encode())
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_an_address_is_given_out_once_and_for_the_right_question_only() -> None:
    with _waiting() as (handover, found):
        address = handover.address
        idle = socket.create_connection(("127.0.0.1", urlsplit(address).port or 0))  # as browsers make in advance
        wrong = [
            _ask(address, path="/"),
            _ask(address, path=urlsplit(address).path[:-1]),
            _ask(address, method="POST"),
            _ask(address, method="HEAD"),
            _ask(address, host="evil.example"),
            _ask(address, extra="Host: evil.example\r\n"),
            _ask(address, host="[::1"),
            _ask(address, extra="X: " + "x" * 20000),
        ]
        right = _ask(address, host=f"localhost:{urlsplit(address).port}")
        idle.close()
    assert [answer.split(b"\r\n")[0] for answer in wrong] == [b"HTTP/1.1 404 Not Found"] * len(wrong)
    assert not any(b"secret" in answer for answer in wrong)
    assert right.startswith(f"HTTP/1.1 303 See Other\r\nLocation: {TARGET}\r\n".encode())
    assert b"no-store" in right
    assert b"no-referrer" in right
    assert found == [True]
    with pytest.raises(OSError):
        _ask(address)


def test_a_real_client_is_led_on() -> None:
    class Stop(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: object) -> None:
            targets.append(str(arguments[-1]))

    targets: list[str] = []
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stop())
    with _waiting() as (handover, found), pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(handover.address, timeout=30)
    caught.value.close()
    assert (targets, found) == ([TARGET], [True])


def test_a_browser_that_does_not_ask_ends_the_wait() -> None:
    moments = iter([0.0, 29.999, 31.0])
    with Handover(TARGET, clock=lambda: next(moments)) as handover:
        assert handover.wait(30) is False
    assert list(moments) == []


def test_another_user_gets_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def is_own(self: SocketOwners, peer: object, local: object) -> bool:
        asked.append(len(asked) > 0)
        return asked[-1]

    monkeypatch.setattr(SocketOwners, "is_own", is_own)
    refused = b""
    with _waiting() as (handover, found):
        with contextlib.suppress(OSError):
            refused = _ask(handover.address)
        assert b"303" in _ask(handover.address)
    assert refused == b""
    assert found == [True]


@pytest.mark.parametrize("name", ["VSCODE_IPC_HOOK_CLI", "CODESPACES", "WSL_INTEROP"])
def test_a_browser_elsewhere_cannot_read_our_files(name: str) -> None:
    browser = Browser((("xdg-open",),), "the system")
    assert is_apart(browser, {name: "x"}, which=lambda _: None)
    assert not is_apart(browser, {name: ""}, which=lambda _: None)


def test_a_browser_in_a_snap_cannot_read_our_files(tmp_path: Path) -> None:
    browser = Browser((("firefox",),), "--browser")
    link = tmp_path / "firefox"
    link.symlink_to("/usr/bin/snap")
    assert is_apart(browser, {}, which=lambda _: str(link))
    assert is_apart(browser, {}, which=lambda _: "/snap/bin/firefox")
    assert not is_apart(browser, {}, which=lambda _: "/usr/bin/firefox-esr")
