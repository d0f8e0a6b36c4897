"""The page that leads a browser to an address: private, escaped, and removed by a process of its own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from aws_runas.console import page
from aws_runas.console.page import redirect_page, write_page

ADDRESS = "https://x.example/federation?Action=login&SigninToken=secret-token"


class Addresses(HTMLParser):
    """Collects where a page leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if values.get("http-equiv") == "refresh":
            self.found.append((values["content"] or "").removeprefix("0;url="))
        if tag == "a":
            self.found.append(values["href"] or "")


@pytest.mark.parametrize(
    "address", [ADDRESS, "ext+container:name=a&url=b", "https://x/?\"><script>alert(1)</script>'&amp;"]
)
def test_the_page_leads_to_the_address_and_holds_nothing_else(address: str) -> None:
    found = Addresses(redirect_page(address))
    assert found.found == [address, address]
    assert found.tags == ["html", "head", "meta", "title", "meta", "meta", "meta", "body", "p", "a"]


def test_the_page_is_this_users_alone_and_is_removed_by_a_process_that_does_not_know_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    environments: list[object] = []
    real = subprocess.Popen

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        assert list(tmp_path.rglob("*.html")) == [], "the remover is there before the page"
        environments.append(options["env"])
        started.append(real(command, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    path = write_page(ADDRESS, {"XDG_RUNTIME_DIR": str(tmp_path)}, lifetime=0.5)
    (process,) = started
    assert path.parent.parent == tmp_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "secret-token" in path.read_text()
    assert str(path) in repr(process.args)
    assert "secret-token" not in repr(process.args) + repr(environments)
    if hasattr(os, "getsid"):
        assert os.getsid(process.pid) == process.pid, "it outlives our terminal"
    assert process.wait(60) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_remover_takes_a_page_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "directory" / "gone.html"
    path.parent.mkdir()
    subprocess.run([sys.executable, "-I", "-S", "-c", page._REMOVER, str(path), "0"], check=True)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_the_page_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(subprocess, "Popen", fail)
    with pytest.raises(OSError, match="No space"):
        write_page(ADDRESS, {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
