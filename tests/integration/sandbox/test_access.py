"""Who can reach a sandbox: attacks of another user of this machine, of a web page, and of unsigned requests."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from aws_runas.sandbox.fixtures import role_arn
from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox
from tests.support import requires

from .clients import client, refusal, user_client

TIMEOUT = 20  # seconds
TARGET = "i-deadbeef"
WEB_IDENTITY = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleSessionName": "web",
    "WebIdentityToken": "header.payload.signature",
}


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def exchange(port: int, request: bytes) -> bytes:
    """Status line of the answer to raw bytes."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.sendall(request)
        return connection.makefile("rb").readline()


def as_nobody(port: int, request: bytes) -> bytes:
    """The same from another user of this machine."""
    if os.geteuid() != 0:
        requires.missing("needs root to become another user")
    setpriv = requires.program("setpriv", package="util-linux")
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf %b {shlex.quote(octal(request))} >&3; head -n 1 <&3"
    words = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "/bin/bash", "-c", script]
    return subprocess.run(words, capture_output=True, timeout=TIMEOUT, check=False, cwd="/").stdout


def octal(data: bytes) -> str:
    return "".join(f"\\0{octet:03o}" for octet in data)


def get(port: int, path: str = "/", host: str = "", **headers: str) -> bytes:
    lines = {"Host": host or f"127.0.0.1:{port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value != "-")
    return f"GET {path} HTTP/1.1\r\n{text}Connection: close\r\n\r\n".encode()


def greeting_port(sandbox: Sandbox) -> int:
    return cast(int, sandbox.control("greeting-port"))


@pytest.mark.parametrize("listener", ["services", "greeting"])
def test_another_user_is_refused(sandbox: Sandbox, listener: str) -> None:
    port = port_of(sandbox.endpoint) if listener == "services" else greeting_port(sandbox)
    assert exchange(port, get(port)).split()[1] in (b"200", b"403")  # unsigned, and understood
    assert as_nobody(port, get(port)) == b"HTTP/1.1 403 Forbidden\r\n"


def test_another_user_is_refused_a_web_socket(sandbox: Sandbox) -> None:
    reply = user_client(sandbox, "ssm").start_session(Target=TARGET)
    parts = urllib.parse.urlsplit(reply["StreamUrl"])
    port, path = parts.port, f"{parts.path}?{parts.query}"
    assert port is not None
    upgrade = {
        "Upgrade": "websocket",
        "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec_WebSocket_Version": "13",
    }
    request = get(port, path, **upgrade).replace(b"Connection: close", b"Connection: Upgrade")
    assert b" 101 " in exchange(port, request)
    assert b" 403 " in as_nobody(port, request)


HOSTS = [
    ("attacker.example", b"421"),
    ("attacker.example:{port}", b"421"),
    ("127.0.0.1:1", b"421"),
    ("127.0.0.1", b"421"),
    ("localhost.attacker.example:{port}", b"421"),
    ("-", b"400"),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_host_must_be_a_loopback_name_with_the_port(sandbox: Sandbox, host: str, status: bytes) -> None:
    port = port_of(sandbox.endpoint)
    assert exchange(port, get(port, host=host.format(port=port))).split()[1] == status


def test_web_socket_with_a_foreign_host_is_refused(sandbox: Sandbox) -> None:
    port = port_of(sandbox.endpoint)
    request = get(port, "/v1/data-channel/x-0?role=publish_subscribe", host="attacker.example", Upgrade="websocket")
    assert exchange(port, request).split()[1] == b"421"


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_loopback_names_are_accepted(sandbox: Sandbox, host: str) -> None:
    port = port_of(sandbox.endpoint)
    assert exchange(port, get(port, host=host.format(port=port))).split()[1] == b"403"  # missing signature


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-origin"},
    ],
)
@pytest.mark.parametrize("listener", ["services", "greeting"])
def test_requests_of_web_pages_are_refused(sandbox: Sandbox, headers: dict[str, str], listener: str) -> None:
    port = port_of(sandbox.endpoint) if listener == "services" else greeting_port(sandbox)
    assert exchange(port, get(port, **headers)) == b"HTTP/1.1 403 Forbidden\r\n"


def test_greeting_answers_behind_a_forward_and_not_under_a_foreign_name(sandbox: Sandbox) -> None:
    port = greeting_port(sandbox)
    assert exchange(port, get(port, host="127.0.0.1:8888")).split()[1] == b"200"
    assert exchange(port, get(port, host="attacker.example:8888")).split()[1] == b"421"


def web_identity(sandbox: Sandbox, **more: str) -> int:
    """Status of the unsigned call that AWS itself leaves unsigned."""
    body = urllib.parse.urlencode(WEB_IDENTITY | {"RoleArn": role_arn("my-role")} | more).encode()
    try:
        with urllib.request.urlopen(sandbox.endpoint, body, TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def web_identity_token(sandbox: Sandbox) -> str:
    return (sandbox.directory / "home" / "web-identity-token").read_text()


def test_web_identity_needs_the_token_of_the_sandbox(sandbox: Sandbox) -> None:
    assert web_identity(sandbox) == 400
    assert web_identity(sandbox, WebIdentityToken=web_identity_token(sandbox)) == 200


def test_one_role_trusts_web_identities(sandbox: Sandbox) -> None:
    token = web_identity_token(sandbox)
    for name in ("my-role-mfa", "my-role-reader", "deploy-test"):
        assert web_identity(sandbox, WebIdentityToken=token, RoleArn=role_arn(name)) == 403


def test_web_identity_token_is_private(sandbox: Sandbox) -> None:
    path = sandbox.directory / "home" / "web-identity-token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text()) >= 32


@pytest.mark.parametrize("action", ["ResumeSession", "TerminateSession"])
def test_session_calls_are_signed_and_check_the_owner(sandbox: Sandbox, action: str) -> None:
    session_id = user_client(sandbox, "ssm").start_session(Target=TARGET)["SessionId"]
    body = json.dumps({"SessionId": session_id}).encode()
    headers = {"X-Amz-Target": f"AmazonSSM.{action}", "Content-Type": "application/x-amz-json-1.1"}
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(sandbox.endpoint, body, headers), timeout=TIMEOUT)
    with caught.value as answer:
        assert answer.code == 403
    sts = user_client(sandbox, "sts")
    own = {"Effect": "Allow", "Action": "ssm:*", "Resource": "arn:aws:ssm:*:*:session/other-*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [own]})
    keys = sts.assume_role(RoleArn=role_arn("my-role"), RoleSessionName="other", Policy=policy)["Credentials"]
    other = client(sandbox, "ssm", keys=keys)
    call: Any = other.resume_session if action == "ResumeSession" else other.terminate_session
    with pytest.raises(ClientError) as refused:
        call(SessionId=session_id)
    assert refusal(refused.value)[0] == "AccessDeniedException"
    assert [each["ended"] for each in sandbox.sessions() if each["session_id"] == session_id] == [False]


def test_session_of_another_principal_is_never_resumed(sandbox: Sandbox) -> None:
    session_id = user_client(sandbox, "ssm").start_session(Target=TARGET)["SessionId"]
    keys = user_client(sandbox, "sts").assume_role(RoleArn=role_arn("my-role"), RoleSessionName="other")["Credentials"]
    with pytest.raises(ClientError) as refused:
        client(sandbox, "ssm", keys=keys).resume_session(SessionId=session_id)
    assert refusal(refused.value)[0] == "AccessDeniedException"


def test_same_role_in_another_role_session_owns_its_sessions(sandbox: Sandbox) -> None:
    sts = user_client(sandbox, "sts")
    names = ("first", "second")
    keys = [sts.assume_role(RoleArn=role_arn("my-role"), RoleSessionName=n)["Credentials"] for n in names]
    first, second = (client(sandbox, "ssm", keys=each) for each in keys)
    session_id = first.start_session(Target=TARGET)["SessionId"]
    assert second.resume_session(SessionId=session_id)["TokenValue"]
    second.terminate_session(SessionId=session_id)


def create_data_channel(sandbox: Sandbox, session_id: str, *, signed: bool) -> int:
    address = f"{sandbox.endpoint}/v1/data-channel/{session_id}"
    request = AWSRequest("POST", address, data=b"{}")
    if signed:
        keys = user_client(sandbox, "sts").get_session_token()["Credentials"]
        credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        SigV4Auth(credentials, "ssmmessages", "us-east-1").add_auth(request)
    plain = urllib.request.Request(address, b"{}", dict(request.headers.items()))
    try:
        with urllib.request.urlopen(plain, timeout=TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_agent_from_outside_signs_and_needs_the_option(sandbox: Sandbox, make_sandbox: MakeSandbox) -> None:
    session_id = user_client(sandbox, "ssm").start_session(Target=TARGET)["SessionId"]
    assert create_data_channel(sandbox, session_id, signed=True) == 403
    other = make_sandbox(external_agents=(TARGET,))
    session_id = user_client(other, "ssm").start_session(Target=TARGET)["SessionId"]
    assert create_data_channel(other, session_id, signed=False) == 403
    assert create_data_channel(other, session_id, signed=True) == 201


@pytest.mark.parametrize("size", ["-6", "+5", "0x5", " 5", "5 ", "1_0", "", "ffffffffffffffff", "9" * 400, "\u0665"])
def test_chunk_size_that_is_no_number_is_refused(sandbox: Sandbox, size: str) -> None:
    port = port_of(sandbox.endpoint)
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n".encode()
    assert exchange(port, head + b"0\r\n\r\n").split()[1] == b"400"
    assert user_client(sandbox, "sts").get_caller_identity()["Account"] == "123456789012"


def test_module_of_the_current_directory_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "moto.py").write_text("raise SystemExit('the wrong moto')\n")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    code = "import os, sys; sys.path.remove('') if '' in sys.path else None; os.chdir(sys.argv[1])\n"
    code += "from aws_runas.sandbox.world import start_sandbox\nwith start_sandbox() as box: print(box.count('x'))\n"
    words = [sys.executable, "-P", "-c", code, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr
