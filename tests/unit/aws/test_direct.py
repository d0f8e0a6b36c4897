"""The session calls without botocore: its endpoints and signatures, and botocore itself for what is unusual."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.session
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.aws.access import Access
from aws_runas.aws.client import ProviderCredentials
from aws_runas.aws.client_settings import ssm_endpoint
from aws_runas.aws.credentials import Credentials
from aws_runas.aws.direct import MAX_IDLE, DirectSsm, ca_bundle, direct_endpoint
from aws_runas.aws.sigv4 import Request, sign
from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.signin.context import RunContext
from tests.support.certificates import Certificates

KEYS = Credentials("AKID", "SECRET", "TOK", None, datetime.now(UTC))
SESSION = botocore.session.Session()
REGIONS = sorted(
    {
        region
        for partition in SESSION.get_available_partitions()
        for region in SESSION.get_available_regions("ssm", partition, allow_non_regional=True)
        + SESSION.get_available_regions("ec2", partition)
    }
    | {"us-east-99", "eusc-de-east-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1"}
    | {"us-isof-south-1", "cn-north-1", "mx-central-1", "il-central-1"}
)


@pytest.mark.parametrize(("fips", "dual_stack"), [(False, False), (True, False), (False, True), (True, True)])
def test_endpoint_is_botocores_own_for_every_region(fips: bool, dual_stack: bool) -> None:
    config = botocore.config.Config(use_fips_endpoint=fips, use_dualstack_endpoint=dual_stack)
    client = SESSION.create_client("ssm", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b", config=config)
    resolve = client._ruleset_resolver._provider.resolve_endpoint
    assert len(REGIONS) > 40
    for region in REGIONS:
        ours = ssm_endpoint(region, fips=fips, dual_stack=dual_stack)
        theirs = resolve(Region=region, UseFIPS=fips, UseDualStack=dual_stack).url
        assert ours in (theirs, None)
        assert ours is not None or "global" in region or "fips" in region


def test_unknown_partition_is_left_to_botocore() -> None:
    assert ssm_endpoint("mars-north-1") is None
    assert ssm_endpoint("fips-us-east-1") is None
    assert ssm_endpoint("us-east-1.evil.example/") is None


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


@given(TEXT, st.one_of(st.none(), TEXT), st.binary(max_size=200))
def test_signature_is_botocores(secret: str, token: str | None, body: bytes) -> None:
    credentials = Credentials("AKID", secret, token, None, datetime.now(UTC))
    request = botocore.awsrequest.AWSRequest(
        method="POST",
        url="https://ssm.eu-west-1.amazonaws.com/",
        data=body,
        headers={"Host": "ssm.eu-west-1.amazonaws.com", "X-Amz-Target": "AmazonSSM.StartSession"},
    )
    frozen = ProviderCredentials(lambda: credentials).get_frozen_credentials()
    botocore.auth.SigV4Auth(frozen, "ssm", "eu-west-1").add_auth(request)
    ours = sign(
        Request("POST", {"host": "ssm.eu-west-1.amazonaws.com", "x-amz-target": "AmazonSSM.StartSession"}, body),
        credentials,
        service="ssm",
        region="eu-west-1",
        timestamp=request.headers["X-Amz-Date"],
    )
    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours.get("X-Amz-Security-Token") == request.headers.get("X-Amz-Security-Token")


def profile_with(tmp_path: Path, settings: str = "", **environ: str) -> Access:
    """An Access for a profile with these settings."""
    (tmp_path / "config").write_text(f"[profile p]\nregion = eu-west-1\n{settings}\n")
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id = AKIAX\naws_secret_access_key = s\n")
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    return open_access(
        "p",
        Overrides(),
        RunContext(environ=files | environ, home=tmp_path, now=lambda: 1.0, warn=print),
        Prompts(_nobody),
    )


def _nobody(_question: str) -> str:
    raise AssertionError("nobody is asked")


@pytest.mark.parametrize(
    ("settings", "environ", "expected"),
    [
        ("", {}, "https://ssm.eu-west-1.amazonaws.com"),
        ("use_fips_endpoint = true", {}, "https://ssm-fips.eu-west-1.amazonaws.com"),
        ("use_fips_endpoint = true", {"AWS_USE_FIPS_ENDPOINT": "false"}, "https://ssm.eu-west-1.amazonaws.com"),
        ("", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://ssm.eu-west-1.api.aws"),
        ("endpoint_url = https://vpce-1.example:8443", {}, "https://vpce-1.example:8443"),
        ("endpoint_url = https://vpce-1.example/prefix", {}, None),
        ("endpoint_url = https://vpce-1.example\nuse_fips_endpoint = true", {}, None),
        ("user_agent_appid = mine", {}, None),
        ("", {"AWS_SDK_UA_APP_ID": "mine"}, None),
        ("", {"https_proxy": "http://proxy:3128"}, None),
        ("", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None),
    ],
)
def test_usual_settings_need_no_botocore_and_unusual_ones_do(
    tmp_path: Path, settings: str, environ: dict[str, str], expected: str | None
) -> None:
    access = profile_with(tmp_path, settings, **environ)
    with patch.dict("os.environ", environ, clear=True):
        assert direct_endpoint(access.profile, "eu-west-1") == expected


@pytest.mark.parametrize(
    ("settings", "environ", "expected"),
    [
        ("", {}, None),
        ("ca_bundle = /profile.pem", {"REQUESTS_CA_BUNDLE": "/requests.pem"}, "/profile.pem"),
        ("ca_bundle = /profile.pem", {"AWS_CA_BUNDLE": "/variable.pem"}, "/variable.pem"),
        ("", {"REQUESTS_CA_BUNDLE": "/requests.pem"}, "/requests.pem"),
    ],
)
def test_certificates_are_those_of_botocore(
    tmp_path: Path, settings: str, environ: dict[str, str], expected: str | None
) -> None:
    access = profile_with(tmp_path, settings, **environ)
    with patch.dict("os.environ", environ, clear=True):
        assert ca_bundle(access.profile) == expected
        client = access.client("ssm")
        assert client._endpoint.http_session._verify == (expected or True)


def test_server_is_trusted_by_the_bundle_and_no_other_way(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    with serving(Service([(200, STARTED)]), certificates.server) as service:
        for bundle, calls in ((certificates.authority, 0), (other.authority, 1), (tmp_path / "missing.pem", 1)):
            fallback = Botocore()
            client = DirectSsm(service.url, "eu-west-1", lambda: KEYS, lambda: fallback, ca_bundle=str(bundle))  # noqa: B023
            client.start_session(Target="i-1")
            assert len(fallback.calls) == calls, bundle
    assert len(service.requests) == 1


def test_connection_opened_ahead_over_tls_is_used_by_the_next_call(tmp_path: Path) -> None:
    """Session tickets wait in the socket then; they are no end of the connection."""
    certificates = Certificates(tmp_path)
    with serving(Service([(200, STARTED)]), certificates.server) as service:
        client = DirectSsm(service.url, "eu-west-1", lambda: KEYS, Botocore, ca_bundle=str(certificates.authority))
        client.open_ahead()
        client.resume_session(SessionId="me-1")
        client.open_ahead()
        client.resume_session(SessionId="me-1")
        assert (service.connections, len(service.requests)) == (1, 2)


@dataclass
class Service:
    """Answers from a list, the last answer stays; ``close`` ends the connection after each reply, unannounced."""

    answers: list[tuple[int, bytes]]
    close: bool = False
    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0


@contextmanager
def serving(service: Service, tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            service.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.requests.append((self.path, dict(self.headers.items()), body))
            status, data = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = service.close

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    host = "http://127.0.0.1" if tls is None else "https://localhost"
    service.url = f"{host}:{server.server_port}"
    yield service
    server.shutdown()
    server.server_close()


class Botocore:
    """Stands for the client that is used for what is unusual."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def start_session(self, **request: Any) -> dict[str, Any]:
        self.calls.append(request)
        return {"SessionId": "by-botocore"}


STARTED = json.dumps({"SessionId": "me-1", "TokenValue": "t", "StreamUrl": "wss://x"}).encode()


def direct(url: str) -> tuple[DirectSsm, Botocore]:
    fallback = Botocore()
    return DirectSsm(url, "eu-west-1", lambda: KEYS, lambda: fallback), fallback


def test_reply_is_returned_and_the_connection_is_used_again() -> None:
    with serving(Service([(200, STARTED)])) as service:
        client, fallback = direct(service.url)
        assert client.start_session(Target="i-1", Parameters={"portNumber": ["22"]})["TokenValue"] == "t"
        assert client.resume_session(SessionId="me-1")["StreamUrl"] == "wss://x"
        assert fallback.calls == []
        assert service.connections == 1
    path, headers, body = service.requests[0]
    assert (path, headers["x-amz-target"]) == ("/", "AmazonSSM.StartSession")
    assert json.loads(body) == {"Target": "i-1", "Parameters": {"portNumber": ["22"]}}


def test_connection_that_was_closed_while_idle_is_replaced() -> None:
    with serving(Service([(200, STARTED)], close=True)) as service:
        client, fallback = direct(service.url)
        for _ in range(3):
            client.resume_session(SessionId="me-1")
        assert (len(service.requests), fallback.calls) == (3, [])


def test_connection_opened_ahead_is_used_by_the_next_call() -> None:
    with serving(Service([(200, STARTED)])) as service:
        client, fallback = direct(service.url)
        for _ in range(3):
            client.open_ahead()
        client.resume_session(SessionId="me-1")
        client.open_ahead()
        client.resume_session(SessionId="me-1")
        assert (service.connections, len(service.requests), fallback.calls) == (1, 2, [])


def test_connection_that_cannot_be_opened_ahead_is_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    client, _ = direct(f"http://127.0.0.1:{port}")
    client.open_ahead()


def test_connection_opened_ahead_and_closed_by_the_service_is_replaced_before_the_call() -> None:
    """Nothing is sent on a dead connection: the service would be asked twice if its end came late."""
    with serving(Service([(200, STARTED)])) as service:
        client, fallback = direct(service.url)
        with socket.create_server(("127.0.0.1", 0)) as other:
            client._host, client._port = other.getsockname()
            client.open_ahead()
            accepted, _ = other.accept()
            accepted.close()
        client._host, client._port = "127.0.0.1", int(service.url.rpartition(":")[2])
        client.open_ahead()
        client.resume_session(SessionId="me-1")
        assert (service.connections, len(service.requests), fallback.calls) == (1, 1, [])


def test_connection_that_has_died_while_idle_is_replaced_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of network nothing arrives on it, and nobody says so."""
    monkeypatch.setattr("aws_runas.aws.direct.IDLE_TIMEOUT", 0.02)
    with serving(Service([(200, STARTED)])) as service, socket.create_server(("127.0.0.1", 0)) as silent:
        client, fallback = direct(service.url)
        client._host, client._port = silent.getsockname()
        client.open_ahead()
        client._host, client._port = "127.0.0.1", int(service.url.rpartition(":")[2])
        assert client.resume_session(SessionId="me-1")["TokenValue"] == "t"
        assert (service.connections, len(service.requests), fallback.calls) == (1, 1, [])


def test_call_that_must_arrive_once_gets_a_new_connection_and_no_more_than_some_are_kept() -> None:
    """Nobody could tell whether it arrived on one that the service closed at the same moment."""
    with serving(Service([(200, STARTED)])) as service:
        client, fallback = direct(service.url)
        for count in range(1, 8):
            client.start_session(Target="i-1")
            assert (service.connections, len(service.requests), fallback.calls) == (count, count, [])
        assert len(client._idle) == MAX_IDLE
        client.resume_session(SessionId="me-1")
        assert service.connections == 7


class Breaking:
    """Reads one request, sends some bytes and hangs up, or says nothing more."""

    def __init__(self, answer: bytes, *, hang: bool = False, end: bytes = b"}") -> None:
        self.answer, self.hang, self.end = answer, hang, end
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.requests = 0
        self.held: list[socket.socket] = []
        Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            received = b""
            while self.end not in received and (data := client.recv(65536)):
                received += data
            self.requests += 1
            client.sendall(self.answer)
            if self.hang:
                self.held.append(client)
            else:
                client.close()

    def close(self) -> None:
        for client in self.held:
            client.close()
        self.listener.close()


@pytest.mark.parametrize(
    ("answer", "hang", "error"),
    [
        (b"", False, ConnectionClosedError),
        (b"HTTP/1.1 20", False, ConnectionClosedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", False, ConnectionClosedError),
        (b"", True, ReadTimeoutError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", True, ReadTimeoutError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", False, ValueError),
    ],
)
def test_call_that_must_arrive_once_is_not_sent_again_after_it_was_sent(
    answer: bytes, hang: bool, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aws_runas.aws.direct.READ_TIMEOUT", 0.05)
    service = Breaking(answer, hang=hang)
    client, fallback = direct(service.url)
    with pytest.raises(error):
        client.start_session(Target="i-1")
    assert (service.requests, fallback.calls) == (1, [])
    service.close()


def test_call_that_must_arrive_once_is_left_to_botocore_if_its_request_could_not_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError

    with serving(Service([(200, STARTED)])) as service:
        client, fallback = direct(service.url)
        monkeypatch.setattr("http.client.HTTPConnection.request", broken)
        assert client.start_session(Target="i-1") == {"SessionId": "by-botocore"}
    assert fallback.calls == [{"Target": "i-1"}]


def test_refusal_is_botocores_exception_and_not_asked_again() -> None:
    refusal = json.dumps({"__type": "com.amazon#TargetNotConnected:x", "message": "i-1 is not connected."}).encode()
    with serving(Service([(400, refusal)])) as service:
        client, fallback = direct(service.url)
        with pytest.raises(ClientError) as caught:
            client.start_session(Target="i-1")
    assert caught.value.response["Error"] == {"Code": "TargetNotConnected", "Message": "i-1 is not connected."}
    assert (len(service.requests), fallback.calls) == (1, [])


@pytest.mark.parametrize(
    "answer",
    [
        (500, b'{"__type": "InternalServerError"}'),
        (400, b'{"__type": "ThrottlingException"}'),
        (503, b"<html>"),
        (400, b"{}"),
    ],
)
def test_trouble_of_the_service_is_left_to_botocores_retries(answer: tuple[int, bytes]) -> None:
    with serving(Service([answer])) as service:
        client, fallback = direct(service.url)
        assert client.start_session(Target="i-1") == {"SessionId": "by-botocore"}
    assert fallback.calls == [{"Target": "i-1"}]


def test_service_that_cannot_be_reached_is_left_to_botocore() -> None:
    client, fallback = direct("http://127.0.0.1:1")
    assert client.start_session(Target="i-1") == {"SessionId": "by-botocore"}
    assert len(fallback.calls) == 1
