"""Systems Manager's answers, from a stand-in that speaks its protocol: values, and errors that say what to do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.errors import AwsRunasError, CredentialsError, SessionError, TargetError
from aws_runas.signin.context import RunContext
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.transport.interfaces import CredentialsRefused, ServiceUnavailable, SessionGone

STARTED = {"SessionId": "me-0123", "TokenValue": "the-token", "StreamUrl": "wss://h/x"}
Answer = tuple[int, dict[str, Any] | str]


def error(code: str, message: str = "because", status: int = 400) -> Answer:
    return status, {"__type": code, "message": message}


class StandIn:
    """Answers each call from a list; the last answer stays."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.headers["X-Amz-Target"].partition(".")[2], body))
                status, answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture(scope="module")
def served() -> Iterator[StandIn]:
    made = StandIn()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def stand_in(served: StandIn) -> StandIn:
    served.answers.clear()
    served.requests.clear()
    return served


@pytest.fixture(scope="module")
def api(served: StandIn, tmp_path_factory: pytest.TempPathFactory) -> SsmApi:
    return make_api(served.server.server_port, tmp_path_factory.mktemp("home"))


def make_api(port: int, home: Path) -> SsmApi:
    environ = {
        "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE000000000",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_SSM": f"http://127.0.0.1:{port}",
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
    }

    def nobody(_question: str) -> str:
        raise AssertionError

    access = open_access(
        None,
        Overrides(),
        RunContext(environ=environ, home=home, now=time.time, warn=lambda _line: None),
        Prompts(nobody),
    )
    return SsmApi(access)


def test_a_session_is_started_with_what_was_asked_for(api: SsmApi, stand_in: StandIn) -> None:
    stand_in.answers = [(200, STARTED)]
    started = api.start_session("i-deadbeef", "Doc", {"command": ["a", "b"]}, "because")
    assert (started.session_id, started.stream_url, started.token) == ("me-0123", "wss://h/x", "the-token")
    assert "the-token" not in repr(started)
    assert stand_in.requests == [
        (
            "StartSession",
            {
                "Target": "i-deadbeef",
                "DocumentName": "Doc",
                "Parameters": {"command": ["a", "b"]},
                "Reason": "because",
            },
        )
    ]


def test_throttling_is_waited_out(api: SsmApi, stand_in: StandIn) -> None:
    stand_in.answers = [error("ThrottlingException"), error("ThrottlingException"), (200, STARTED)]
    assert api.start_session("i-deadbeef").session_id == "me-0123"
    assert len(stand_in.requests) == 3


@pytest.mark.parametrize(
    ("code", "kind", "ours", "text"),
    [
        ("TargetNotConnected", TargetError, "target-not-connected", "i-deadbeef"),
        ("AccessDeniedException", SessionError, "session-denied", "ssm:StartSession"),
        ("InvalidDocument", SessionError, "document-invalid", "Doc"),
        ("ValidationException", SessionError, "session-invalid", "because"),
        ("ExpiredTokenException", CredentialsError, "credentials-expired", "expired"),
    ],
)
def test_a_refused_start_says_what_to_do(
    api: SsmApi, stand_in: StandIn, code: str, kind: type[AwsRunasError], ours: str, text: str
) -> None:
    stand_in.answers = [error(code)]
    with pytest.raises(kind) as caught:
        api.start_session("i-deadbeef", "Doc")
    assert caught.value.code == ours
    assert text in f"{caught.value.message} {caught.value.hint}"


def test_a_resume_returns_the_new_token_and_address(api: SsmApi, stand_in: StandIn) -> None:
    stand_in.answers = [(200, STARTED | {"TokenValue": "new"}), (200, {"SessionId": "me-0123", "TokenValue": "newer"})]
    assert api.resume_session("me-0123") == ("new", "wss://h/x")
    assert api.resume_session("me-0123") == ("newer", "")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((200, {"SessionId": "me-0123"}), SessionGone),
        ((200, "<html>please sign in</html>"), ServiceUnavailable),
        ((200, "{"), ServiceUnavailable),
        (error("DoesNotExistException"), SessionGone),
        (error("ValidationException", "Session is already terminated"), SessionGone),
        (error("InternalServerError", status=500), ServiceUnavailable),
        (error("AccessDeniedException"), CredentialsRefused),
        (error("SomethingNew"), CredentialsRefused),
        (error("ExpiredTokenException"), CredentialsError),
    ],
)
def test_a_failed_resume_is_gone_or_later_or_refused(
    api: SsmApi, stand_in: StandIn, answer: Answer, kind: type[AwsRunasError]
) -> None:
    stand_in.answers = [answer]
    with pytest.raises(kind):
        api.resume_session("me-0123")


def test_an_endpoint_that_is_gone_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable):
        make_api(1, tmp_path).resume_session("me-0123")


def test_ending_an_ended_session_is_no_error(api: SsmApi, stand_in: StandIn) -> None:
    stand_in.answers = [error("DoesNotExistException"), error("AccessDeniedException")]
    api.terminate_session("me-0123")
    with pytest.raises(AwsRunasError):
        api.terminate_session("me-0123")


def test_whether_a_session_is_active_is_asked_of_the_service(api: SsmApi, stand_in: StandIn) -> None:
    found = {"Sessions": [{"SessionId": "me-0123", "Target": "i-deadbeef", "Status": "Connected"}]}
    stand_in.answers = [(200, found), (200, {"Sessions": []}), error("AccessDeniedException")]
    assert [api.session_is_active("me-0123") for _ in range(3)] == [True, False, None]


@pytest.mark.parametrize(
    ("target", "version", "answer", "waits", "calls"),
    [
        ("i-deadbeef", "", "3.3.0.0", True, 1),
        ("i-deadbeef", "", "3.0.731.0", False, 1),
        ("i-deadbeef", "", "newest", False, 1),
        ("i-deadbeef", "", None, False, 1),  # refused
        ("i-deadbeef", "3.0.732.0", "2.0.0.0", True, 0),
        ("i-deadbeef", "2.3.0.0", "3.3.0.0", False, 0),
        ("ecs:web_0123_4567", "", "3.3.0.0", False, 0),  # the service does not know a container's agent
    ],
)
def test_agent_waits_for_acknowledgements_if_its_version_is_known_to(
    api: SsmApi, stand_in: StandIn, target: str, version: str, answer: str | None, waits: bool, calls: int
) -> None:
    known = {"InstanceInformationList": [{"InstanceId": target, "AgentVersion": answer}]}
    stand_in.answers = [(200, known) if answer is not None else error("AccessDeniedException")]
    assert api.agent_waits(target, version) is waits
    assert [name for name, _ in stand_in.requests] == ["DescribeInstanceInformation"] * calls
