"""Whatever a server answers, a file holds or a process prints: credentials or an error with a code, no traceback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aws_runas.aws import caller, ec2, ecr, ecs, resolvers, ssm, sts
from aws_runas.aws.access import Access
from aws_runas.aws.credentials import Credentials
from aws_runas.aws.iam import Holder, Iam
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import Profile, ResolverSource, Role, Setting
from aws_runas.config.resolve import load_files, resolve
from aws_runas.credentials.cache import decode
from aws_runas.credentials.credential_process import read_document
from aws_runas.errors import AwsRunasError, CredentialsError, SessionError
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.kms import generate_data_key
from tests.support.sts_server import Sts, running_sts, write_home

NOW = 1_800_000_000.0
KEYS = st.sampled_from(
    [
        "Version",
        "AccessKeyId",
        "SecretAccessKey",
        "SessionToken",
        "Token",
        "Expiration",
        "Issued",
        "AccountId",
        "Credentials",
        "Account",
        "Arn",
        "UserId",
        "Reservations",
        "Instances",
        "InstanceId",
        "Tags",
        "Key",
        "Value",
        "tasks",
        "taskArns",
        "containers",
        "taskArn",
        "name",
        "runtimeId",
        "lastStatus",
        "managedAgents",
        "networkInterfaces",
        "session",
        "sessionId",
        "streamUrl",
        "tokenValue",
        "SessionId",
        "StreamUrl",
        "TokenValue",
        "Sessions",
        "Target",
        "Status",
        "InstanceInformationList",
        "PingStatus",
        "LastPingDateTime",
        "Policy",
        "DefaultVersionId",
        "PolicyVersion",
        "Document",
        "PolicyDocument",
        "Groups",
        "GroupName",
        "PolicyNames",
        "MFADevices",
        "SerialNumber",
        "Plaintext",
        "CiphertextBlob",
        "ResponseMetadata",
        "HTTPHeaders",
        "date",
        "accessToken",
        "expiresAt",
        "startUrl",
        "region",
        "roleCredentials",
        "accessKeyId",
        "secretAccessKey",
        "sessionToken",
        "expiration",
        "authorizationData",
        "authorizationToken",
        "proxyEndpoint",
        "expiresAt",
        "Code",
        "Message",
    ]
)
TEXTS = st.sampled_from(
    ["", "ASIAX", "RUNNING", "i-0123456789abcdef0", "2099-01-01T00:00:00Z", "2099-01-01T00:00:00", "\ud800", "a\nb"]
) | st.text(max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=6),
    max_leaves=20,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=8)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))  # each asks a server


def answer_or_error(call: Callable[[], object]) -> object:
    """Call; an error of ours is an answer too, if it has a code and one line."""
    try:
        return call()
    except AwsRunasError as caught:
        error = caught
    assert error.code
    assert "\n" not in error.message
    return error


def credentials_or_reason(call: Callable[[], object]) -> None:
    """Call a reader; ValueError with one line is its way to refuse."""
    try:
        found = call()
    except ValueError as caught:
        reason = str(caught)
    else:
        assert isinstance(found, Credentials)
        return
    assert "\n" not in reason


# --- processes and files


@MANY
@given(VALUES)
@example({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "Expiration": "0001-01-01T00:00:00+23:59"})
@example({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "Expiration": "9999-12-31T23:59:59-23:59"})
def test_the_answer_of_a_process_is_credentials_or_a_reason(document: object) -> None:
    credentials_or_reason(lambda: read_document(json.dumps(document).encode(), NOW))


@MANY
@given(st.binary(max_size=64))
@example(b"[" * 100_000)
def test_bytes_of_a_process_are_credentials_or_a_reason(printed: bytes) -> None:
    with pytest.raises(ValueError, match=r"it printed|Version"):
        read_document(printed, NOW)


@MANY
@given(VALUES | MAPPINGS)
@example({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": 5, "Issued": 5})
def test_an_entry_of_the_cache_is_credentials_or_a_reason(entry: object) -> None:
    credentials_or_reason(lambda: decode(json.dumps(entry).encode()))


# --- replies, as botocore hands them on


class Replies:
    """Stands for every client: each call and each page is the same reply."""

    def __init__(self, reply: Mapping[str, Any]) -> None:
        self._reply = reply
        self.meta = self
        self.method_to_api_mapping = self

    def __getitem__(self, method: str) -> str:
        return method

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *_, **__: self._reply

    def get_paginator(self, _method: str) -> Any:
        return self

    def paginate(self, **_: object) -> list[Mapping[str, Any]]:
        return [self._reply]


class Asked(Access):
    """An access whose clients all answer alike."""

    def __init__(self, profile: Profile, reply: Mapping[str, Any]) -> None:
        self.profile = profile
        self._client_of_all = Replies(reply)

    def client(self, service: str, region: str | None = None, *, fips: bool = False) -> Any:
        return self._client_of_all

    def user_client(self, service: str) -> Any:
        return self._client_of_all

    def session_client(self) -> Any:
        return self._client_of_all


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    home = tmp_path_factory.mktemp("home")
    environ = write_home(home, "http://127.0.0.1:1")
    return resolve(load_files(environ, home), "plainrole", Overrides(), environ)


ROLE = Role("arn:aws:iam::123456789012:role/R", "p", "name", Setting(3600, "default"))
USER = Holder("user", "me")
CALLS: dict[str, Callable[[Access], object]] = {
    "AssumeRole": lambda access: sts.assume_role(access.client("sts"), ROLE, None, None, NOW),
    "GetSessionToken": lambda access: sts.get_session_token(access.client("sts"), 3600, None, None, NOW),
    "GetCallerIdentity": caller.caller_identity,
    "DescribeInstances": lambda access: ec2.describe_instances(access, {}),
    "DescribeInstanceInformation": lambda access: ssm.managed_node(access, "i-0123456789abcdef0"),
    "ListTasks": lambda access: ecs.list_tasks(access, "c", "s"),
    "DescribeTasks": lambda access: ecs.describe_containers(access, "c", ["t"]),
    "ExecuteCommand": lambda access: ecs.execute_command(access, ecs.Container("c", "t", "n", "r"), "sh"),
    "StartSession": lambda access: SsmApi(access).start_session("i-0123456789abcdef0"),
    "ResumeSession": lambda access: SsmApi(access).resume_session("s-1"),
    "DescribeSessions": lambda access: SsmApi(access).describe_session("s-1"),
    "GetAuthorizationToken": lambda access: ecr.registry_token(access, "eu-west-1", NOW),
    "GetAuthorizationToken of the public gallery": lambda access: ecr.public_registry_token(access, "us-east-1", NOW),
    "GenerateDataKey": lambda access: generate_data_key(access, "key", {}),
    "ListGroupsForUser": lambda access: Iam(access).groups("me"),
    "ListUserPolicies": lambda access: Iam(access).inline_names(USER),
    "GetUserPolicy": lambda access: Iam(access).inline_document(USER, "p"),
    "ListAttachedUserPolicies": lambda access: Iam(access).attached(USER),
    "GetPolicy": lambda access: Iam(access).default_version("arn"),
    "GetPolicyVersion": lambda access: Iam(access).version_document("arn", "v1"),
    "ListMFADevices": lambda access: Iam(access).mfa_devices(None),
    "ListAccountAliases": lambda access: Iam(access).account_alias(),
}


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(reply=MAPPINGS)
def test_a_reply_is_understood_or_an_error(profile: Profile, call: str, reply: dict[str, Any]) -> None:
    answer_or_error(lambda: CALLS[call](Asked(profile, reply)))


def test_a_reply_of_starting_a_session_without_its_id_is_an_error(profile: Profile) -> None:
    with pytest.raises(SessionError) as caught:
        SsmApi(Asked(profile, {"StreamUrl": "wss://x", "TokenValue": "t"})).start_session("i-0123456789abcdef0")
    assert caught.value.code == "session-without-stream"


# --- replies on the wire


@pytest.fixture(scope="module")
def sts_server() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


WHOLE = (
    '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
    "<AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
)


@FEW
@given(st.binary(max_size=40) | st.integers(0, len(WHOLE)).map(lambda end: WHOLE[:end].encode()))
@example(WHOLE.replace("<Expiration>2099-01-01T00:00:00Z</Expiration>", "").encode())
@example(WHOLE.replace("2099-01-01T00:00:00Z", "soon").encode())
@example(WHOLE.replace("2099-01-01T00:00:00Z", "").encode())
@example(WHOLE.replace("ASIAX", "\xff").encode("latin-1"))
@example(WHOLE.replace("<AccessKeyId>ASIAX</AccessKeyId>", "<AccessKeyId/>").encode())
def test_a_body_of_sts_is_credentials_or_an_error(
    sts_server: Sts, tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    from aws_runas.aws.client import Clients

    home = tmp_path_factory.mktemp("home")
    environ = write_home(home, sts_server.url)
    sts_server.body = body
    resolved = resolve(load_files(environ, home), "plainrole", Overrides(), environ)
    keys = Credentials("AKIAPLAINEXAMPLE", "secret-key-of-plain")
    client = Clients(resolved).client("sts", "us-east-1", lambda: keys)
    found = answer_or_error(lambda: sts.assume_role(client, ROLE, None, None, NOW))
    assert isinstance(found, (Credentials, CredentialsError))


# --- metadata servers


@contextmanager
def _answering() -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives the last body of a list to everybody; IMDS gets its token and its role's name."""
    bodies = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[-1]
            if self.path.endswith("/token"):
                body = b"token"
            elif self.path.endswith("/security-credentials/"):
                body = b"role"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("kind", ["EcsContainer", "Ec2InstanceMetadata"])
def test_a_metadata_answer_is_credentials_or_an_error(
    profile: Profile, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    source = ResolverSource(kind, None, (), "the test")
    fine = {"AccessKeyId": "A", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
    monkeypatch.setattr("botocore.utils.time.sleep", lambda _: None)  # between botocore's attempts
    with _answering() as (url, bodies):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url + "/credentials")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        bodies.append(json.dumps(fine | {"Code": "Success"}).encode())
        assert isinstance(answer_or_error(lambda: resolvers.fetch(profile, source, NOW)), Credentials)

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(VALUES.map(json.dumps).map(str.encode) | MAPPINGS.map(lambda found: json.dumps(fine | found).encode()))
        @example(b"null")
        @example(b"[]")
        @example(b"\xff")
        @example(json.dumps(fine | {"Expiration": None}).encode())
        @example(json.dumps(fine | {"Expiration": "2020-01-01T00:00:00Z"}).encode())
        def ask(body: bytes) -> None:
            bodies.append(body)
            found = answer_or_error(lambda: resolvers.fetch(profile, source, NOW))
            assert isinstance(found, (Credentials, CredentialsError))

        ask()


# --- settings


@pytest.mark.parametrize("line", ["s3 =", "api_versions = x", "retry_mode =\n  a = b", "max_attempts = \n  x = y"])
def test_a_setting_of_another_shape_is_passed_over_or_an_error(tmp_path: Path, line: str) -> None:
    from aws_runas.aws.client import Clients

    environ = write_home(
        tmp_path, "http://127.0.0.1:1", more=f"[profile odd]\nregion = us-east-1\n{line}\noutput = json\n"
    )
    resolved = resolve(load_files(environ, tmp_path), "odd", Overrides(), environ)
    made = answer_or_error(lambda: Clients(resolved).client("sts", "us-east-1", lambda: Credentials("A", "s")))
    if line.startswith(("s3", "api")):
        assert not isinstance(made, AwsRunasError)
