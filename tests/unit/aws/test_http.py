"""Requests to identity providers: TLS, redirects, repeated cookies, and answers that are none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aws_runas.aws import http
from aws_runas.aws.http import HttpAnswer, HttpClient
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import Profile
from aws_runas.config.resolve import load_files, resolve
from aws_runas.errors import CredentialsError
from tests.support.certificates import Certificates


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/dribble"):
            self._dribble(chunked=self.path == "/dribble-chunked")
            return
        if self.path.startswith("/garbage"):
            self.wfile.write(b"\x00\xff not http\r\n\r\n")
            return
        if self.path == "/nothing":
            return
        self.send_response(302 if self.path in ("/redirect", "/nowhere") else 200)
        if self.path == "/nowhere":
            self.send_header("Location", "http://[::1/")
        if self.path == "/redirect":
            self.send_header("Location", "/elsewhere")
        if self.path == "/cookies":
            for value in ("id=old; Path=/", "id=new; Path=/", "other=1; Path=/"):
                self.send_header("Set-Cookie", value)
        body = {"/latin": "caf\xe9".encode("latin-1"), "/big": b"x" * 100}.get(self.path, self._echo())
        self.send_header("Content-Type", "text/html; charset=iso-8859-1" if self.path == "/latin" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["Content-Type"].encode() + b" " + self.rfile.read(length))

    def _dribble(self, *, chunked: bool) -> None:
        """Send a body that has no end, a byte at a time, until the client leaves."""
        if chunked:
            self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.stopping.wait(0.02):  # type: ignore[attr-defined]
                self.wfile.write(b"1\r\nx\r\n" if chunked else b"x")
        self.close_connection = True

    def _echo(self) -> bytes:
        return f"{self.path} {self.headers.get('Cookie')}".encode()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def serve(certificates: Certificates | None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.stopping = threading.Event()  # type: ignore[attr-defined]
    if certificates is not None:
        server.socket = certificates.server.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http{'s' if certificates else ''}://{'localhost' if certificates else '127.0.0.1'}:{server.server_port}"
    server.stopping.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    yield from serve(None)


@pytest.fixture(scope="module")
def secure(certificates: Certificates) -> Iterator[str]:
    yield from serve(certificates)


def profile(home: Path, *lines: str) -> Profile:
    (home / "config").write_text("\n".join(["[default]", "region = us-east-1", *lines]))
    environ = {"HOME": str(home), "AWS_CONFIG_FILE": str(home / "config")}
    return resolve(load_files(environ, home), None, Overrides(), environ)


@pytest.fixture
def client(tmp_path: Path) -> HttpClient:
    return HttpClient(profile(tmp_path), CookieJar())


def test_redirects_are_given_back(client: HttpClient, plain: str) -> None:
    answer = client.send("GET", f"{plain}/redirect")
    assert (answer.status, answer.headers["location"]) == (302, "/elsewhere")


def test_of_repeated_cookies_the_last_counts_and_all_names_are_kept(client: HttpClient, plain: str) -> None:
    client.send("GET", f"{plain}/cookies")
    assert client.send("GET", f"{plain}/x").text() in ("/x id=new; other=1", "/x other=1; id=new")


def test_addresses_are_escaped_as_browsers_do_it(client: HttpClient, plain: str) -> None:
    assert client.send("GET", f"{plain}/a b\xe9%20?c=d e").text() == "/a%20b%C3%A9%20?c=d%20e None"


def test_forms_are_posted(client: HttpClient, plain: str) -> None:
    assert client.send("POST", f"{plain}/x", form="a=b%20c").text() == "application/x-www-form-urlencoded a=b%20c"


def test_text_is_read_by_its_charset(client: HttpClient, plain: str) -> None:
    assert client.send("GET", f"{plain}/latin").text() == "caf\xe9"
    assert HttpAnswer(200, {"content-type": "text/html; charset=klingon"}, b"\xff").text() == "\ufffd"


def test_no_more_is_read_than_a_page_has(client: HttpClient, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BODY", 10)
    assert client.send("GET", f"{plain}/big").body == b"x" * 10


@pytest.mark.parametrize("path", ["/dribble", "/dribble-chunked"])
def test_a_body_that_dribbles_in_for_ever_is_given_up(
    client: HttpClient, plain: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(http, "BODY_TIMEOUT", 0.1)
    with pytest.raises(CredentialsError) as caught:
        client.send("GET", plain + path)
    assert caught.value.code == "endpoint-timeout"
    assert caught.value.hint == "check network and proxy"


def test_what_is_no_answer_is_an_error_with_a_code(client: HttpClient, plain: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        client.send("GET", f"{plain}/garbage?token=canary")
    assert caught.value.code in ("idp-answer-invalid", "endpoint-unreachable")
    assert "canary" not in caught.value.message
    with pytest.raises(CredentialsError) as caught:
        client.send("GET", "http://127.0.0.1:1/x?state=canary")
    assert (caught.value.code, "canary" in caught.value.message) == ("endpoint-unreachable", False)
    assert "canary" not in repr(caught.value.__cause__) + repr(caught.value.__context__)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nothing", "{} ended the connection without an answer"),
        ("/garbage", "{} ended the connection without an answer: \x00\xff not http"),
        ("/nowhere", "cannot reach {}: the answer leads to an invalid address"),
    ],
)
def test_a_failed_connection_is_explained_without_the_words_of_a_library(
    client: HttpClient, plain: str, path: str, reason: str
) -> None:
    with pytest.raises(CredentialsError) as caught:
        client.send("GET", plain + path)
    assert caught.value.message == f"sign-in at 127.0.0.1: {reason.format(plain)}"
    assert (caught.value.hint or "").startswith("check ")


def test_a_certificate_must_be_trusted(
    secure: str, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(CredentialsError) as caught:
        HttpClient(profile(tmp_path)).send("GET", f"{secure}/x")
    assert caught.value.code == "certificate-untrusted"
    trusting = profile(tmp_path, f"ca_bundle = {certificates.authority}")
    assert HttpClient(trusting).send("GET", f"{secure}/x").text() == "/x None"
