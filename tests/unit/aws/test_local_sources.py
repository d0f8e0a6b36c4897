"""Container endpoints and instance metadata that are badly named, do not answer or refuse: in our words."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aws_runas.aws import local_sources, resolvers
from aws_runas.config.files import load_files
from aws_runas.config.profile import Profile, ResolverSource
from aws_runas.config.resolve import Overrides, resolve
from aws_runas.errors import AwsRunasError

FULL, RELATIVE = local_sources.FULL, local_sources.RELATIVE
FOREIGN_WORDS = ("Errno", "Error when", "Unsupported", "endpoint URL", "metadata service", "None", "invalid literal")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (FULL, RELATIVE, local_sources.TOKEN, local_sources.TOKEN_FILE, local_sources.METADATA):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.RETRY_ATTEMPTS", 1)  # else it sleeps a second
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)


def _error(kind: str, tmp_path: Path, **settings: str) -> AwsRunasError:
    config = tmp_path / "config"
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    config.write_text(f"[profile p]\nrole_arn = arn:aws:iam::123456789012:role/r\ncredential_source = {kind}\n{lines}")
    environ = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    files = load_files(environ, tmp_path)
    profile: Profile = resolve(files, "p", Overrides(), environ)
    assert isinstance(profile.source, ResolverSource)
    with pytest.raises(AwsRunasError) as caught:
        resolvers.fetch(profile, profile.source, 0.0)
    text = f"{caught.value.message} {caught.value.hint}"
    assert [words for words in FOREIGN_WORDS if words in text] == []
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("variable", "value", "says", "hint"),
    [
        (FULL, "not a url", f"{FULL}=not a url is not an http or https address", "http://127.0.0.1:"),
        (FULL, "http://", "is not an http or https address", "http://127.0.0.1:"),
        (FULL, "http://[::1", "is not an http or https address", "http://127.0.0.1:"),
        (FULL, "http://127.0.0.1:99999/x", "is not an http or https address", "http://127.0.0.1:"),
        (FULL, "ftp://127.0.0.1/x", "is not an http or https address", "http://127.0.0.1:"),
        (FULL, "/relative", "is not an http or https address", "http://127.0.0.1:"),
        (FULL, "http://example.com/x", "without encryption", "use https"),
        (RELATIVE, "v2/x", f"{RELATIVE}=v2/x is not a path", "begins with /"),
        (RELATIVE, "/x\ny", "is not a path", "begins with /"),
    ],
)
def test_an_address_of_a_container_endpoint_that_cannot_be_used_is_named(
    variable: str, value: str, says: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    error = _error("EcsContainer", tmp_path)
    assert (error.code, error.exit_status) == ("endpoint-invalid", 3)
    assert says in error.message
    assert hint in str(error.hint)


def test_without_an_address_both_variables_are_named(tmp_path: Path) -> None:
    error = _error("EcsContainer", tmp_path)
    assert (error.code, error.exit_status) == ("source-failed", 4)
    assert f"neither {RELATIVE} nor {FULL} is set" in error.message
    assert "ECS task" in str(error.hint)


@pytest.mark.parametrize("kind", ["missing", "directory", "binary", "broken"])
def test_a_token_that_cannot_be_sent_is_named_with_its_origin(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    if kind == "directory":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(b"\xff" if kind == "binary" else b"a\nb")
    monkeypatch.setenv(FULL, "http://127.0.0.1:1/x")
    monkeypatch.setenv(local_sources.TOKEN_FILE, str(path))
    error = _error("EcsContainer", tmp_path)
    assert (error.code, error.exit_status) == ("container-token-invalid", 3)
    assert local_sources.TOKEN_FILE in error.message


def test_a_container_endpoint_where_nothing_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FULL, "http://127.0.0.1:1/x")
    error = _error("EcsContainer", tmp_path)
    assert f"cannot reach http://127.0.0.1:1: connection refused ({FULL})" in error.message
    assert FULL in str(error.hint)


@contextmanager
def _answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [(403, b"no\n\x1b[2Jtoken", "answers 403: no \\x1b[2Jtoken"), (500, b"", "answers 500"), (200, b"<p>", "not JSON")],
)
def test_what_a_container_endpoint_answers_is_shown(
    status: int, body: bytes, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _answering(status, body) as address:
        monkeypatch.setenv(FULL, f"{address}/x")
        error = _error("EcsContainer", tmp_path)
    assert error.code == "source-failed"
    assert says in error.message
    assert f"{address}/x ({FULL})" in error.message


@pytest.mark.parametrize(
    ("settings", "variables", "says", "status"),
    [
        ({}, {"AWS_EC2_METADATA_DISABLED": "true"}, "AWS_EC2_METADATA_DISABLED is set", 4),
        ({}, {local_sources.METADATA: "x y"}, f"{local_sources.METADATA}=x y is not", 3),
        ({}, {"AWS_METADATA_SERVICE_TIMEOUT": "abc"}, "metadata_service_timeout = 'abc' (AWS_METADATA_", 3),
        ({"metadata_service_num_attempts": "0"}, {}, "metadata_service_num_attempts = '0' ([profile p]", 3),
        ({}, {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv9"}, "is not one of ipv4, ipv6", 3),
        ({}, {local_sources.METADATA: "http://127.0.0.1:1"}, f"http://127.0.0.1:1 ({local_sources.METADATA})", 4),
    ],
)
def test_instance_metadata_that_cannot_be_asked_is_explained(
    settings: dict[str, str],
    variables: dict[str, str],
    says: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    error = _error("Ec2InstanceMetadata", tmp_path, **settings)
    assert says in error.message
    assert error.exit_status == status
