"""Is there a newer release: comparison, and a release page on loopback that behaves well, badly or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from aws_runas import __version__
from aws_runas.errors import AwsRunasError, ConfigError
from aws_runas.release import PROJECT_URL, RELEASES_URL, is_newer, latest, page_address
from tests.support.loopback import Quiet, serving


@pytest.mark.parametrize(
    "chain",
    [
        # the example of semantic versioning 2.0.0, section 11
        [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
        ],
        ["1.0.0", "2.0.0", "2.1.0", "2.1.1", "2.1.10", "2.10.0", "10.0.0"],
        ["3.5.2", "4.0.0.dev1", "4.0.0"],
        ["4.0.0rc1", "4.0.0"],
        ["v3.9", "4.0"],
    ],
)
def test_versions_are_ordered_by_precedence(chain: list[str]) -> None:
    for at, one in enumerate(chain):
        assert not is_newer(one, one)
        for later in chain[at + 1 :]:
            assert is_newer(later, one)
            assert not is_newer(one, later)


def test_build_metadata_and_the_letter_v_do_not_count() -> None:
    assert not is_newer("v1.0.0+build.5", "1.0.0")
    assert not is_newer("1.0.0", "v1.0.0+build.5")


@pytest.mark.parametrize("text", ["", "latest", "1", "1.2.3.4.5.", "1.0.0 beta"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        is_newer(text, "1.0.0")


@contextlib.contextmanager
def page(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    class Handler(Quiet):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            status, headers, body = answers.get(self.path, (404, {}, b""))
            self.answer(status, body, **headers)

    with serving(Handler) as url:
        yield url


def redirect(to: str) -> tuple[int, dict[str, str], bytes]:
    return 302, {"Location": to}, b""


def test_a_redirect_to_the_tag_tells_the_release() -> None:
    with page({"/latest": redirect("/tag/v9.1.0")}) as url:
        found = latest(f"{url}/latest")
        assert (found.version, found.url) == ("9.1.0", f"{url}/tag/v9.1.0")


def test_other_redirects_are_followed() -> None:
    with page({"/old": redirect("/latest"), "/latest": redirect("/tag/9.1.0")}) as url:
        assert latest(f"{url}/old").version == "9.1.0"


def test_an_answer_in_json_tells_the_release() -> None:
    body = json.dumps({"tag_name": "v9.2.0-rc.1", "html_url": "https://example.com/9"}).encode()
    with page({"/api": (200, {"Content_Type": "application/json"}, body)}) as url:
        found = latest(f"{url}/api")
        assert (found.version, found.url) == ("9.2.0-rc.1", "https://example.com/9")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, {}, b"<html>"), "names no release"),
        ((200, {}, b"[]"), "names no release"),
        ((200, {}, b'{"tag_name": "nightly"}'), "names no release"),
        ((404, {}, b""), r"there is no release yet \(status 404\)"),
        ((200, {}, b'{"info": {"name": "aws-runas", "version": "9.0.0"}}'), "about the package aws-runas, not"),
        ((200, {}, b'{"info": {"name": "aws-runas-py"}}'), "names no release"),
        ((500, {}, b""), "status 500"),
        ((302, {}, b""), "status 302"),
        (redirect("/x"), "too many redirects"),
        (redirect("file:///etc/passwd"), "redirects to file:"),
        (redirect("http://ho st/x"), "is not HTTP: InvalidURL"),
        (redirect("http://[::1/x"), "Invalid IPv6"),
        ((200, {}, b"[" * 100_000), "nested too deeply"),
        ((200, {}, b'{"tag_name": "v%s.0.0"}' % (b"9" * 5000)), "names no release"),
        ((200, {}, b'{"tag_name": "v4.0.0-rc.%s"}' % (b"9" * 5000)), "names no release"),
        ((200, {}, '{"tag_name": "v\u0664.\u0660.\u0669"}'.encode()), "names no release"),
    ],
)
def test_what_tells_no_release_is_an_error_that_says_why(
    answer: tuple[int, dict[str, str], bytes], reason: str
) -> None:
    with page({"/x": answer}) as url, pytest.raises(AwsRunasError, match=reason) as raised:
        latest(f"{url}/x")
    assert (raised.value.code, raised.value.exit_status) == ("update-unknown", 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff\xfe" * 50,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"\r\n",
        b"",
    ],
    ids=["ssh", "garbage", "chunk", "long", "many", "nothing"],
)
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_no_http_is_an_error_without_a_traceback(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(AwsRunasError, match="is not HTTP: " if answer else "ended without an answer") as raised:
            latest(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=60)
        thread.join()
    assert raised.value.code == "update-unknown"


def test_a_page_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(AwsRunasError) as raised:
            latest(url, timeout=0.2)
    assert raised.value.code == "update-unknown"


def test_the_address_stands_in_one_place_and_can_be_overridden() -> None:
    def nothing() -> None:
        return None

    def configured() -> tuple[str, str]:
        return "https://mirror.example/y", "config, line 3"

    assert page_address({"RUNAS_RELEASES_URL": "https://mirror.example/x"}, configured) == "https://mirror.example/x"
    assert page_address({}, configured) == "https://mirror.example/y"
    for url in ("file:///etc/passwd", "https://", "http://[::1", "example.com"):
        with pytest.raises(ConfigError, match="RUNAS_RELEASES_URL"):
            page_address({"RUNAS_RELEASES_URL": url}, nothing)
    with pytest.raises(ConfigError, match="config, line 3"):
        page_address({}, lambda: ("ftp://x", "config, line 3"))


def test_without_a_page_nothing_is_asked_and_the_flag_says_so() -> None:
    with pytest.raises(AwsRunasError, match="names no release page") as raised:
        page_address({}, lambda: None)
    assert (raised.value.code, raised.value.exit_status) == ("releases-url-missing", 1)
    assert RELEASES_URL.startswith(PROJECT_URL)


def test_an_answer_of_a_package_index_tells_the_release() -> None:
    body = json.dumps({"info": {"name": "aws-runas-py", "version": "9.3.0", "release_url": "https://x.example/9"}})
    with page({"/json": (200, {}, body.encode())}) as url:
        found = latest(f"{url}/json")
    assert (found.version, found.url) == ("9.3.0", "https://x.example/9")


def asked(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aws_runas", *words],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "RUNAS_RELEASES_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("version", "words"), [("99.0.0", "99.0.0 is available"), (__version__, "is the latest"), ("0.1.0", "newer than")]
)
def test_the_flag_exits_0_whether_there_is_one_or_not(version: str, words: str) -> None:
    with page({"/latest": redirect(f"/tag/v{version}")}) as url:
        found = asked(f"{url}/latest", "-u")
    assert (found.returncode, found.stderr) == (0, "")
    assert words in found.stdout


def test_the_flag_tells_a_pre_release_and_escapes_what_the_page_says() -> None:
    body = json.dumps({"tag_name": "v99.0.0-rc1", "html_url": "https://x\x1b[31m\n\ud800"}).encode()
    with page({"/latest": (200, {}, body)}) as url:
        found = asked(f"{url}/latest", "-u")
    assert found.stdout == (
        f"aws-runas 99.0.0-rc1 is available as a pre-release, this is {__version__}: https://x\\x1b[31m\\n\\ud800\n"
    )


def test_the_flag_answers_programs_in_json() -> None:
    with page({"/latest": redirect("/tag/v99.0.0")}) as url:
        found = asked(f"{url}/latest", "-u", "-O", "json")
        assert json.loads(found.stdout) == {
            "version": __version__, "latest": "99.0.0", "newer": True, "url": f"{url}/tag/v99.0.0",
        }  # fmt: skip


def test_offline_the_flag_says_so_and_exits_1() -> None:
    found = asked("http://127.0.0.1:9/latest", "--update")
    assert (found.returncode, found.stdout) == (1, "")
    assert "cannot determine the latest release" in found.stderr
