"""A login page, a proxy or anything else answers in place of Systems Manager: the session survives, and it is said."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Final

import pytest

from aws_runas.cli.session.open import RecordingApi
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.records import SessionRecords
from aws_runas.ssm.transport.interfaces import AnsweredByAnother, SessionGone
from tests.unit.ssm.test_api import STARTED, make_api

GOOD: Final = json.dumps(STARTED).encode()
FROM_AWS: Final = "x-amzn-RequestId: 11111111-2222-3333-4444-555555555555"


def http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An answer; its length may be a lie."""
    lines = [
        f"HTTP/1.1 {status}",
        *headers,
        "Connection: close",
        f"Content-Length: {len(body) if length is None else length}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


ANSWERS: dict[str, bytes] = {
    "nothing": http("200 OK"),
    "an object": http("200 OK", b'{"status": "please sign in"}'),
    "an object that claims a request id": http("200 OK", b'{"ResponseMetadata": {"RequestId": "1"}}'),
    "an empty object": http("200 OK", b"{}"),
    "a list": http("200 OK", b"[]"),
    "a text": http("200 OK", b'"sign in"'),
    "a number": http("200 OK", b"5"),
    "null": http("200 OK", b"null"),
    "deep": http("200 OK", b"[" * 100_000),
    "members of other types": http("200 OK", b'{"SessionId": 5, "TokenValue": ["x"], "StreamUrl": {}}'),
    "a page": http("200 OK", b"<html>Sign in</html>", "Content-Type: text/html"),
    "not UTF-8": http("200 OK", b"\xff\xfe{}"),
    "204": http("204 No Content"),
    "301": http("301 Moved Permanently", b"", "Location: http://login.example/"),
    "302 with a page": http("302 Found", b"<html>moved</html>", "Location: http://login.example/"),
    "307": http("307 Temporary Redirect", b"", "Location: http://login.example/"),
    "403 with a page": http("403 Forbidden", b"<html>no</html>"),
    "403 with a reason": http("403 Forbidden", b'{"message": "blocked: session terminated, timed out"}'),
    "404": http("404 Not Found"),
    "407": http("407 Proxy Authentication Required", b"<html>"),
    "511": http("511 Network Authentication Required", b"<html>"),
    "an error of no type": http("400 Bad Request", b'{"__type": 5}'),
    "a list as error": http("400 Bad Request", b"[]"),
    "half an answer": http("200 OK", GOOD[:20], length=len(GOOD)),
    "a length that is too short": http("200 OK", GOOD, length=20),
    "compressed": http("200 OK", gzip.compress(b"<html>"), "Content-Encoding: gzip"),
    "compressed, it says": http("200 OK", b"<html>", "Content-Encoding: gzip"),
}


class Another:
    """Answers every request with the same bytes and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError):
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as stream:
            length = 0
            while (line := stream.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            if length and len(stream.read(length)) == length:
                self.requests += 1
                client.sendall(self.answer)
                client.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def another() -> Iterator[Another]:
    server = Another()
    yield server
    server.close()


@pytest.fixture(scope="module", params=["direct", "botocore"])
def api(another: Another, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> SsmApi:
    home = tmp_path_factory.mktemp("home")
    (home / "config").write_text("[default]\nmax_attempts = 1\n")
    api = make_api(another.port, home)
    api._access._traced = request.param == "botocore"
    return api


def failure(api: SsmApi, call: str) -> AwsRunasError:
    calls: dict[str, Callable[[str], object]] = {"StartSession": api.start_session, "ResumeSession": api.resume_session}
    with pytest.raises(AwsRunasError) as caught:
        calls.get(call, api.terminate_session)("me-0123")
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_of_another_never_ends_a_session_and_never_counts_as_its_end(
    api: SsmApi, another: Another, name: str
) -> None:
    another.answer = ANSWERS[name]
    assert isinstance(failure(api, "ResumeSession"), AnsweredByAnother)
    error = failure(api, "TerminateSession")
    assert isinstance(error, SessionError)
    assert "TerminateSession" in error.message


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_of_another_starts_no_session(api: SsmApi, another: Another, name: str) -> None:
    another.answer = ANSWERS[name]
    error = failure(api, "StartSession")
    assert isinstance(error, SessionError)
    assert "StartSession" in error.message


def test_answer_of_the_service_itself_is_believed(api: SsmApi, another: Another) -> None:
    another.answer = http("200 OK", b"{}", FROM_AWS)
    assert isinstance(failure(api, "ResumeSession"), SessionGone)
    api.terminate_session("me-0123")
    assert failure(api, "StartSession").code == "session-without-stream"
    another.answer = http("200 OK", b'{"SessionId": "me-0123"}')  # an imitation of the service without request ids
    assert isinstance(failure(api, "ResumeSession"), SessionGone)
    api.terminate_session("me-0123")


def test_session_that_another_claims_to_have_ended_stays_on_record_and_the_user_is_told_once(
    api: SsmApi, another: Another, tmp_path: Path
) -> None:
    told: list[str] = []
    records = SessionRecords(tmp_path)
    recording = RecordingApi(api._access, None, records, told.append)
    another.answer = http("200 OK", GOOD, FROM_AWS)
    recording.start_session("i-1")
    another.answer = ANSWERS["a page"]
    for _ in range(2):
        with pytest.raises(SessionError):
            recording.terminate_session("me-0123")
    assert list(records.read()) == ["me-0123"]
    (line,) = told
    assert "me-0123 may still be open" in line
    assert "not from AWS" in line
    another.answer = http("200 OK", GOOD, FROM_AWS)
    recording.terminate_session("me-0123")
    assert list(records.read()) == []


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "ended the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "ended the connection without an answer: SSH-2.0-OpenSSH_9.2"),
        (b"HTTP/1.1 200 OK\r\nConte", "not from AWS"),
        (http("200 OK", GOOD, length=1000), "ended the connection without an answer"),
        (http("200 OK", GOOD, length=20), "not from AWS"),
    ],
)
def test_session_is_requested_once_if_the_answer_is_lost(
    another: Another, tmp_path: Path, answer: bytes, text: str
) -> None:
    """The service may have opened one; botocore, asked again, would open up to five more."""
    another.answer = answer
    api, before = make_api(another.port, tmp_path), another.requests
    error = failure(api, "StartSession")
    assert another.requests == before + 1
    assert text in error.message
    assert error.hint
