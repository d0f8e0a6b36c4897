"""The audit against an index of our own, asked by the real pip."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from release.audit import audit

from tests.support.loopback import Quiet, serving

WHEEL = "old-1.0-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: old\nVersion: 1.0\n"
KIND = b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(path: Path) -> bytes:
    """A package without modules."""
    files = {"old-1.0.dist-info/METADATA": METADATA, "old-1.0.dist-info/WHEEL": KIND}
    sums = {name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode() for name, data in files.items()}
    record = "".join(f"{name},sha256={sums[name].rstrip('=')},{len(data)}\n" for name, data in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("old-1.0.dist-info/RECORD", record + "old-1.0.dist-info/RECORD,,\n")
    return path.read_bytes()


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], int]]:
    """Audit a lock file of one package; given are the attributes of its link in the index, and its hash."""
    content = wheel(tmp_path / WHEEL)
    attributes: list[str] = []

    class Index(Quiet):
        def do_GET(self) -> None:  # noqa: N802
            link = f'<a href="/{WHEEL}" {attributes[-1]}>{WHEEL}</a>'.encode()
            is_file = self.path == f"/{WHEEL}"
            self.answer(
                200, content if is_file else link, Content_Type="text/html" if not is_file else "application/zip"
            )

    def run(link: str, sha256: str) -> int:
        attributes.append(link)
        lock = tmp_path / "lock.txt"
        lock.write_text(f"old==1.0 --hash=sha256:{sha256 or hashlib.sha256(content).hexdigest()}\n")
        return audit(str(lock))

    with serving(Index) as address:
        for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        yield run


def test_release_in_order_is_no_finding(audited: Callable[[str, str], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert audited("", "") == 0
    assert "withdrawn releases and changed files: none in 1 packages" in capsys.readouterr().out


def test_withdrawn_release_is_a_finding(audited: Callable[[str, str], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert audited('data-yanked="loses data"', "") == 1
    assert "warning: old 1.0: withdrawn by its authors" in capsys.readouterr().err


def test_other_bytes_are_a_finding(audited: Callable[[str, str], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert audited("", "0" * 64) == 1
    assert "warning: the index has other bytes than the lock file: old==1.0" in capsys.readouterr().err


def test_who_cannot_be_asked_is_a_warning(
    audited: Callable[[str, str], int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert audited("", "") == 0
    assert "warning: nobody was asked for withdrawn releases" in capsys.readouterr().err
