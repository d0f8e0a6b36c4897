"""What AWS and the network answer, in our words."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from aws_runas.aws.errors import translate
from aws_runas.config.resolve import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.errors import AwsRunasError
from aws_runas.signin.context import RunContext
from tests.support.sts_server import Sts, running_sts, write_home


@pytest.fixture
def sts() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


def _fail(
    environ: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch, name: str = "plainrole"
) -> AwsRunasError:
    for key in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "AWS_CA_BUNDLE", "AWS_MAX_ATTEMPTS"):
        monkeypatch.delenv(key, raising=False)
        monkeypatch.delenv(key.lower(), raising=False)
        if key in environ:
            monkeypatch.setenv(key, environ[key])
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    access = open_access(
        name,
        Overrides(),
        RunContext(environ=environ, home=home, now=lambda: 1e9, warn=pytest.fail),
        Prompts(lambda _: "123456"),
    )
    with pytest.raises(AwsRunasError) as caught:
        access.provider.credentials()
    assert "\n" not in caught.value.message
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in ("secret-key-of-plain", "secret-made", "token-made", "session-token-in-the-canonical-string"):
        assert secret not in text
    return caught.value


@pytest.mark.parametrize(
    ("aws", "message", "code", "says"),
    [
        (
            "AccessDenied",
            "User: x is not authorized to perform: sts:GetSessionToken",
            "access-denied",
            "sts:GetSessionToken",
        ),
        ("ExpiredToken", "The security token included in the request is expired", "credentials-expired", "expired"),
        (
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            "access-key-unknown",
            "access key",
        ),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z (20260101T011500Z - 15 min.)",
            "clock-skew",
            "clock",
        ),
        (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key. The Canonical String for this request should have been 'x-amz-security-token:"
            "session-token-in-the-canonical-string'",
            "signature-wrong",
            "secret access key",
        ),
        ("Throttling", "Rate exceeded", "throttled", "slow down"),
        ("RegionDisabledException", "STS is not activated in this region", "region-disabled", "not activated"),
        ("SomethingNew", "in AWS's words", "aws-error", "in AWS's words (SomethingNew)"),
    ],
)
def test_an_answer_of_sts_is_put_into_words(
    sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aws: str, message: str, code: str, says: str
) -> None:
    sts.errors["GetSessionToken"] = (403, aws, message)
    error = _fail(write_home(tmp_path, sts.url), tmp_path, monkeypatch)
    assert error.code == code
    assert says in error.message


@pytest.mark.parametrize(
    ("message", "code", "says"),
    [
        ("User: u is not authorized to perform: sts:AssumeRole on resource: r", "role-denied", "role/Plain"),
        (
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            "role-duration-refused",
            "1h (default)",
        ),
    ],
)
def test_a_refused_role_is_named(
    sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, code: str, says: str
) -> None:
    aws = "AccessDenied" if code == "role-denied" else "ValidationError"
    sts.errors["AssumeRole"] = (403, aws, message)
    error = _fail(write_home(tmp_path, sts.url), tmp_path, monkeypatch)
    assert (error.code, error.exit_status) == (code, 4)
    assert says in error.message


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"not xml", b"", b"{}"])
def test_what_is_not_aws_is_said_to_be_so(
    sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    sts.body = body
    assert _fail(write_home(tmp_path, sts.url), tmp_path, monkeypatch).code == "endpoint-not-aws"


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def test_a_dead_endpoint_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{_closed_port()}"
    error = _fail(write_home(tmp_path, url), tmp_path, monkeypatch)
    assert error.code == "endpoint-unreachable"
    assert url in error.message


def test_a_name_that_does_not_resolve_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = _fail(write_home(tmp_path, "https://sts.nowhere.invalid"), tmp_path, monkeypatch)
    assert error.code == "endpoint-unreachable"
    assert "sts.nowhere.invalid" in error.message


def test_a_dead_proxy_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = write_home(tmp_path, "https://sts.us-east-1.amazonaws.com")
    environ["HTTPS_PROXY"] = f"http://127.0.0.1:{_closed_port()}"
    error = _fail(environ, tmp_path, monkeypatch)
    assert error.code == "proxy-failed"
    assert "HTTPS_PROXY" in (error.hint or "")


def test_plain_http_behind_a_tls_address_is_not_blamed_on_the_certificate(
    sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = _fail(write_home(tmp_path, sts.url.replace("http:", "https:")), tmp_path, monkeypatch)
    assert (error.code, error.exit_status) == ("endpoint-unreachable", 4)
    assert "does not speak TLS" in error.message
    assert "http:// instead of https://" in (error.hint or "")


def test_a_ca_bundle_that_is_not_there_is_named(sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = write_home(tmp_path, sts.url.replace("http:", "https:")) | {"AWS_CA_BUNDLE": "/nowhere/bundle.pem"}
    error = _fail(environ, tmp_path, monkeypatch)
    assert (error.code, error.exit_status) == ("ca-bundle-invalid", 3)
    assert "AWS_CA_BUNDLE=/nowhere/bundle.pem cannot be used: no such file or directory" in error.message
    assert error.hint == "name a file with certificates in PEM form"


def test_a_ca_bundle_without_a_certificate_is_named(sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = write_home(tmp_path, sts.url.replace("http:", "https:")) | {"AWS_CA_BUNDLE": "/dev/null"}
    error = _fail(environ, tmp_path, monkeypatch)
    assert error.code == "ca-bundle-invalid"
    assert "AWS_CA_BUNDLE=/dev/null cannot be used: it holds no certificate" in error.message


@pytest.mark.parametrize("password", ["http", "tt", "p", "127"])
def test_no_part_of_a_proxy_s_password_is_shown(password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = _closed_port()
    environ = write_home(tmp_path, "https://sts.example.invalid") | {
        "HTTPS_PROXY": f"http://user:{password}@127.0.0.1:{port}"
    }
    error = _fail(environ, tmp_path, monkeypatch)
    assert f"the proxy http://127.0.0.1:{port} does not answer: connection refused" in error.message
    assert error.hint == "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"


@pytest.mark.parametrize(
    ("variable", "value", "says", "hint"),
    [
        ("AWS_MAX_ATTEMPTS", "abc", "max_attempts = 'abc' (AWS_MAX_ATTEMPTS) is not a whole number", "write 3"),
        ("AWS_MAX_ATTEMPTS", "0", "max_attempts = '0'", "write 3"),
        ("AWS_RETRY_MODE", "bad", "retry_mode = 'bad' (AWS_RETRY_MODE) is not one of legacy", "write legacy"),
        ("AWS_DEFAULTS_MODE", "x", "defaults_mode = 'x'", "write legacy"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "x", "is not one of legacy, regional", "write legacy"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "x", "is not one of when_supported", "write when_supported"),
        ("AWS_ACCOUNT_ID_ENDPOINT_MODE", "x", "is not one of preferred", "write preferred"),
        ("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", "x", "is not a whole number", "write 3"),
        ("AWS_CA_BUNDLE", "", "AWS_CA_BUNDLE is empty", "unset it"),
    ],
)
def test_a_client_setting_that_no_sdk_takes_is_named_with_its_values(
    variable: str, value: str, says: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aws_runas.aws.client import Clients

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv(variable, value)
    environ = write_home(tmp_path, "https://sts.example.invalid")
    access = open_access(
        "plainrole",
        Overrides(),
        RunContext(environ=environ, home=tmp_path, now=lambda: 1e9, warn=pytest.fail),
        Prompts(str),
    )
    with pytest.raises(AwsRunasError) as caught:
        Clients(access.profile).client("iam", "us-east-1", pytest.fail)
    assert caught.value.exit_status == 3
    assert says in caught.value.message
    assert hint in (caught.value.hint or "")


@contextlib.contextmanager
def _proxy(status: str) -> Iterator[int]:
    """The port of a proxy that refuses each CONNECT with a status line."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock:
                    sock.recv(65536)
                    sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)  # wakes the thread; a mere close leaves it to accept for another test's socket
    thread.join()
    listener.close()


@pytest.mark.parametrize(
    ("status", "hint"),
    [("407 Proxy Authentication Required", "HTTPS_PROXY=http://USER:PASSWORD@"), ("403 Forbidden", "NO_PROXY")],
)
def test_what_a_proxy_answers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, hint: str) -> None:
    with _proxy(status) as port:
        environ = write_home(tmp_path, "https://sts.us-east-1.amazonaws.com")
        environ["HTTPS_PROXY"] = f"http://user:secret-of-the-proxy@127.0.0.1:{port}"
        error = _fail(environ, tmp_path, monkeypatch)
    assert (error.code, error.exit_status) == ("proxy-refused", 4)
    assert status in error.message
    assert hint in (error.hint or "")
    assert "secret-of-the-proxy" not in f"{error.message} {error.hint}"


def test_a_socks_proxy_is_said_not_to_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = write_home(tmp_path, "https://sts.us-east-1.amazonaws.com")
    environ["HTTPS_PROXY"] = "socks5://user:secret-of-the-proxy@127.0.0.1:1"
    error = _fail(environ, tmp_path, monkeypatch)
    assert (error.code, error.exit_status) == ("proxy-invalid", 3)
    assert "HTTPS_PROXY=socks5://127.0.0.1:1" in error.message


@pytest.mark.parametrize(
    ("value", "shown"), [("http://[::1", "http://[::1"), ("http://user:secret-of-the-proxy@", "http://")]
)
def test_a_proxy_that_is_no_address_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, shown: str
) -> None:
    environ = write_home(tmp_path, "https://sts.us-east-1.amazonaws.com")
    environ["HTTPS_PROXY"] = value
    error = _fail(environ, tmp_path, monkeypatch)
    assert (error.code, error.exit_status) == ("proxy-invalid", 3)
    assert f"HTTPS_PROXY={shown} is not the address of an HTTP proxy" in error.message
    assert "secret-of-the-proxy" not in f"{error.message} {error.hint}"


def test_a_refused_connection_is_told_in_the_system_s_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{_closed_port()}"
    environ = write_home(tmp_path, url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    error = _fail(environ, tmp_path, monkeypatch)
    assert error.message == f"sts GetSessionToken: cannot reach {url} (AWS_ENDPOINT_URL_STS): connection refused"


def test_a_name_that_is_not_in_dns_asks_for_network_and_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    error = _fail(write_home(tmp_path, "https://sts.nowhere.invalid"), tmp_path, monkeypatch)
    assert error.message == "sts GetSessionToken: cannot resolve sts.nowhere.invalid"
    assert error.hint == "is this machine online, and is the region right?"


def test_a_name_from_a_variable_is_not_blamed_on_the_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://sts.nowhere.invalid")
    error = _fail(write_home(tmp_path, "https://sts.nowhere.invalid"), tmp_path, monkeypatch)
    assert error.message == "sts GetSessionToken: cannot resolve sts.nowhere.invalid (AWS_ENDPOINT_URL)"
    assert error.hint == "is this machine online, and is the name in AWS_ENDPOINT_URL right?"


@pytest.mark.parametrize(
    ("code", "offset", "expected"),
    [
        ("ValidationException", -600, ("clock-skew", "set the clock; AWS allows five minutes")),
        ("ValidationException", 600, ("clock-skew", "set the clock; AWS allows five minutes")),
        ("ValidationException", 60, ("aws-error", None)),
        ("ThrottlingException", 600, ("throttled", "try again in a moment")),
    ],
)
def test_a_refusal_with_another_time_in_its_answer_blames_the_clock(
    code: str, offset: int, expected: tuple[str, str | None]
) -> None:
    header = formatdate(time.time() + offset, usegmt=True)
    response = {
        "Error": {"Code": code, "Message": "The DPoP proof is too old."},
        "ResponseMetadata": {"HTTPHeaders": {"date": header}, "HTTPStatusCode": 400},
    }
    with pytest.raises(AwsRunasError) as caught, translate("signin", "CreateOAuth2Token"):
        raise ClientError(response, "CreateOAuth2Token")
    assert (caught.value.code, caught.value.hint) == expected
    assert ("10 minutes" in caught.value.message) == (expected[0] == "clock-skew")
