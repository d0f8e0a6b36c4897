"""The data channel's door, met with a WebSocket client that is not ours: tokens, signatures, service frames."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from aws_runas.sandbox.fixtures import role_arn
from aws_runas.sandbox.services.service_messages import publication
from aws_runas.sandbox.world import Sandbox
from aws_runas.ssm.core.message import Message, decode_message, encode_message, message_type_of

from .clients import client, refusal, user_client
from .conftest import Faulty

TIMEOUT = 20.0  # seconds
PORT_80 = {"DocumentName": "AWS-StartPortForwardingSession", "Parameters": {"portNumber": ["9000"]}}
Dial = Callable[..., ClientConnection]


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connect to a stream address byte for byte."""
    with ExitStack() as stack:

        def to(url: str, **headers: str) -> ClientConnection:
            connection = connect(url, additional_headers=headers, compression=None, proxy=None, open_timeout=TIMEOUT)
            return stack.enter_context(connection)

        yield to


def opening(token: str) -> str:
    return json.dumps({"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "TokenValue": token})


def frames_until(connection: ClientConnection, message_type: str) -> list[bytes]:
    """Binary frames up to the first one of that type."""
    frames: list[bytes] = []
    while not frames or message_type_of(frames[-1]) != message_type:
        frame = connection.recv(timeout=TIMEOUT)
        assert isinstance(frame, bytes)
        frames.append(frame)
    return frames


def send_many(connection: ClientConnection, count: int) -> None:
    frame = publication("start_publication", "s", "json")  # means nothing to an agent that is not paused
    for _ in range(count):
        connection.send(frame)


def start(sandbox: Sandbox, **more: Any) -> dict[str, str]:
    reply: dict[str, str] = user_client(sandbox, "ssm").start_session(Target="i-deadbeef", **(PORT_80 | more))
    return reply


def status_of(dial: Dial, url: str, **headers: str) -> int:
    with pytest.raises(InvalidStatus) as caught:
        dial(url, **headers)
    return int(caught.value.response.status_code)


def signed(
    url: str,
    query_form: str,
    keys: dict[str, str],
    service: str = "ssmmessages",
    method: str = "GET",
    body: bytes = b"",
) -> dict[str, str]:
    """Headers of a signed request for that address, with the query canonicalised in one of the forms."""
    parts = urlsplit(url)
    query = parts.query
    if query_form == "plugin":
        pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query))
        query = "&".join(f"{k}={v}" for k, v in pairs)
    request = AWSRequest(method, f"http://{parts.netloc}{parts.path}{'?' if query else ''}{query}", data=body)
    SigV4Auth(
        Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]), service, "us-east-1"
    ).add_auth(request)
    return {name: value for name, value in request.headers.items() if name.lower() != "host"}


def session_keys(sandbox: Sandbox) -> dict[str, str]:
    keys: dict[str, str] = user_client(sandbox, "sts").get_session_token()["Credentials"]
    return keys


def test_first_frames_are_those_of_the_service_and_the_agents_handshake(sandbox: Sandbox, dial: Dial) -> None:
    reply = start(sandbox)
    connection = dial(reply["StreamUrl"])
    connection.send(opening(reply["TokenValue"]))
    frames = frames_until(connection, "output_stream_data")
    assert {message_type_of(frame) for frame in frames[:-1]} <= {"start_publication", "pause_publication"}
    request = decode_message(frames[-1])
    assert (request.sequence_number, request.payload_type, request.flags) == (0, 5, 1)
    action = json.loads(request.payload)["RequestedClientActions"][0]
    assert action["ActionParameters"]["Properties"] == {
        "portNumber": "9000",
        "localPortNumber": "0",
        "type": "LocalPortForwarding",
    }


def test_terminate_is_heard_as_channel_closed(sandbox: Sandbox, dial: Dial) -> None:
    reply = start(sandbox)
    connection = dial(reply["StreamUrl"])
    connection.send(opening(reply["TokenValue"]))
    frames_until(connection, "output_stream_data")
    user_client(sandbox, "ssm").terminate_session(SessionId=reply["SessionId"])
    closed = decode_message(frames_until(connection, "channel_closed")[-1])
    assert (closed.header_length, closed.padding) == (112, b"\0")
    assert json.loads(closed.payload)["SessionId"] == reply["SessionId"]


def test_token_is_good_for_one_connection_and_a_resume_brings_another(sandbox: Sandbox, dial: Dial) -> None:
    reply = start(sandbox)
    first = dial(reply["StreamUrl"])
    first.send(opening(reply["TokenValue"]))
    frames_until(first, "output_stream_data")
    second = dial(reply["StreamUrl"])
    second.send(opening(reply["TokenValue"]))
    with pytest.raises(ConnectionClosed):
        second.recv(timeout=TIMEOUT)
    resumed = user_client(sandbox, "ssm").resume_session(SessionId=reply["SessionId"])
    assert resumed["TokenValue"] != reply["TokenValue"]
    third = dial(resumed["StreamUrl"])
    third.send(opening(resumed["TokenValue"]))
    frames_until(third, "output_stream_data")  # the handshake request again: nobody has acknowledged it


@pytest.mark.parametrize("frame", ["", "{}", "[]", '{"TokenValue": 1}', '{"TokenValue": "x"}', b"\x00\x01"])
def test_first_frame_that_is_no_opening_ends_the_connection(sandbox: Sandbox, dial: Dial, frame: str | bytes) -> None:
    connection = dial(start(sandbox)["StreamUrl"])
    connection.send(frame)
    with pytest.raises(ConnectionClosed):
        connection.recv(timeout=TIMEOUT)


def test_unknown_session_and_a_path_that_is_none_are_not_found(sandbox: Sandbox, dial: Dial) -> None:
    base = sandbox.endpoint.replace("http", "ws")
    for path in ("/v1/data-channel/nobody-0?role=publish_subscribe", "/", "/v1/control-channel/i-deadbeef"):
        assert status_of(dial, base + path) == 404


def test_session_that_is_over_is_gone_and_cannot_be_resumed(sandbox: Sandbox, dial: Dial) -> None:
    reply = start(sandbox)
    sandbox.end_sessions(session_id=reply["SessionId"])
    assert status_of(dial, reply["StreamUrl"]) == 410
    resumed = user_client(sandbox, "ssm").resume_session(SessionId=reply["SessionId"])
    assert "TokenValue" not in resumed


def test_each_canonical_form_of_the_signature_is_let_in(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(signature="required")
    url, keys = start(sandbox)["StreamUrl"], session_keys(sandbox)
    assert "+" in url
    assert "/" in urlsplit(url).query
    for form in ("plugin", "verbatim"):
        dial(url, **signed(url, form, keys))


def test_wrong_and_missing_signatures_are_forbidden(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(signature="required")
    url, keys = start(sandbox)["StreamUrl"], session_keys(sandbox)
    assert status_of(dial, url) == 403
    assert status_of(dial, url, **signed(url, "plugin", keys | {"SecretAccessKey": "x"})) == 403
    assert status_of(dial, url, **signed(url, "plugin", keys | {"SessionToken": "x"})) == 403
    assert status_of(dial, url, **signed(url, "plugin", keys, service="ssm")) == 403
    assert status_of(dial, url, **signed(url + "x", "plugin", keys)) == 403


def test_signature_of_somebody_without_the_permission_is_forbidden(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play()
    url = start(sandbox)["StreamUrl"]
    role = user_client(sandbox, "sts").assume_role(RoleArn=role_arn("my-role-reader"), RoleSessionName="me")
    assert status_of(dial, url, **signed(url, "plugin", role["Credentials"])) == 403
    dial(url)


def test_signature_may_not_be_served_at_all(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(signature="refused")
    url = start(sandbox)["StreamUrl"]
    assert status_of(dial, url, **signed(url, "plugin", session_keys(sandbox))) == 403
    dial(url)


def test_presigned_address_is_used_as_it_is(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(presign=True)
    url = start(sandbox)["StreamUrl"]
    assert "X-Amz-Signature=" in url
    dial(url)
    assert status_of(dial, url + "0") == 403
    assert status_of(dial, url, **signed(url, "plugin", session_keys(sandbox))) == 403


def test_new_cell_refuses_the_old_address(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(new_cell=True)
    reply = start(sandbox)
    dial(reply["StreamUrl"])
    resumed = user_client(sandbox, "ssm").resume_session(SessionId=reply["SessionId"])
    assert resumed["StreamUrl"] != reply["StreamUrl"]
    assert status_of(dial, reply["StreamUrl"]) == 404
    dial(resumed["StreamUrl"])


def test_connection_is_closed_with_bye_and_the_session_goes_on(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(close_after=0.2)
    reply = start(sandbox)
    connection = dial(reply["StreamUrl"])
    connection.send(opening(reply["TokenValue"]))
    with pytest.raises(ConnectionClosed) as caught:
        frames_until(connection, "never")
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1000, "Bye")
    assert not sandbox.sessions()[-1]["ended"]


def test_service_ends_a_session_with_its_reason(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(end_after=0.2, end_output="the instance is going away")
    reply = start(sandbox)
    connection = dial(reply["StreamUrl"])
    connection.send(opening(reply["TokenValue"]))
    closed = decode_message(frames_until(connection, "channel_closed")[-1])
    assert json.loads(closed.payload)["Output"] == "the instance is going away"


def test_agent_that_is_away_is_a_pause_until_it_comes(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(away=0.5, pause_undeliverable=True)
    reply = start(sandbox)
    connection = dial(reply["StreamUrl"])
    connection.send(opening(reply["TokenValue"]))
    connection.send(b"lost")
    frames = [message_type_of(frame) for frame in frames_until(connection, "output_stream_data")]
    assert frames[:2] == ["pause_publication", "pause_publication"]
    assert frames[-2] == "start_publication"


def test_too_many_frames_end_the_connection(faulty: Faulty, dial: Dial) -> None:
    sandbox = faulty.play(frame_limit=1000)
    reply = start(sandbox)
    connection = dial(reply["StreamUrl"])
    connection.send(opening(reply["TokenValue"]))
    frames_until(connection, "output_stream_data")
    with pytest.raises(ConnectionClosed):
        send_many(connection, 100_000)
    assert not sandbox.sessions()[-1]["ended"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"Target": "i-00000000"}, "TargetNotConnected", "i-00000000 is not connected."),
        ({"Target": "i-0ccccccccccccccc1"}, "TargetNotConnected", "i-0ccccccccccccccc1 is not connected."),
        ({"Target": ""}, "ValidationException", "length greater than or equal to 1"),
        ({"Target": "x" * 401}, "ValidationException", "length less than or equal to 400"),
        ({"Target": "i-deadbeef", "Reason": "x" * 257}, "ValidationException", "less than or equal to 256"),
        ({"Target": "i-deadbeef", "DocumentName": "No"}, "InvalidDocument", "No does not exist"),
        ({}, "ValidationException", "Member must not be null"),
    ],
)
def test_start_session_refuses_in_awss_words(
    sandbox: Sandbox, arguments: dict[str, str], code: str, message: str
) -> None:
    with pytest.raises(ClientError) as caught:
        user_client(sandbox, "ssm").start_session(**arguments)
    assert refusal(caught.value)[0] == code
    assert message in refusal(caught.value)[1]


def test_instance_of_another_region_is_not_connected(sandbox: Sandbox) -> None:
    keys = session_keys(sandbox)
    elsewhere = client(sandbox, "ssm", keys=keys, region="eu-west-1")
    with pytest.raises(ClientError, match="TargetNotConnected"):
        elsewhere.start_session(Target="i-deadbeef")
    assert elsewhere.describe_instance_information()["InstanceInformationList"] == []


def test_start_session_that_fails_or_is_forbidden_says_so(faulty: Faulty) -> None:
    sandbox = faulty.play(start_fails="ThrottlingException")
    with pytest.raises(ClientError, match="ThrottlingException"):
        start(sandbox)
    sandbox.set_faults(start_fails="")
    start(sandbox)
    role = user_client(sandbox, "sts").assume_role(RoleArn=role_arn("my-role-reader"), RoleSessionName="me")
    ssm = client(sandbox, "ssm", keys=role["Credentials"])
    with pytest.raises(ClientError, match="AccessDeniedException") as caught:
        ssm.start_session(Target="i-deadbeef")
    assert "ssm:StartSession on resource: arn:aws:ec2:us-east-1:123456789012:instance/i-deadbeef" in str(caught.value)


def test_sessions_are_described_while_they_live_and_after(make_sandbox: Any) -> None:
    sandbox = make_sandbox()
    ssm = user_client(sandbox, "ssm")
    ids = [start(sandbox, Reason=f"number {n}")["SessionId"] for n in range(3)]
    sandbox.end_sessions(session_id=ids[0])
    pages = ssm.get_paginator("describe_sessions").paginate(State="Active", PaginationConfig={"PageSize": 1})
    assert [each["SessionId"] for page in pages for each in page["Sessions"]] == ids[1:]
    history = ssm.describe_sessions(State="History")["Sessions"]
    assert [(each["SessionId"], each["Reason"]) for each in history] == [(ids[0], "number 0")]
    found = ssm.describe_sessions(State="Active", Filters=[{"key": "SessionId", "value": ids[2]}])["Sessions"]
    assert [each["SessionId"] for each in found] == ids[2:]


def test_instances_tell_their_agent_and_whether_they_are_online(make_sandbox: Any) -> None:
    sandbox = make_sandbox(agent_version="3.0.100.0")
    ssm = user_client(sandbox, "ssm")
    wanted = [{"Key": "InstanceIds", "Values": ["i-deadbeef"]}]
    row = ssm.describe_instance_information(Filters=wanted)["InstanceInformationList"][0]
    assert (row["AgentVersion"], row["PingStatus"]) == ("3.0.100.0", "Online")
    sandbox.set_away("i-deadbeef", away=True)
    row = ssm.describe_instance_information(Filters=wanted)["InstanceInformationList"][0]
    assert row["PingStatus"] == "ConnectionLost"
    assert ssm.get_connection_status(Target="i-deadbeef")["Status"] == "notconnected"


def test_unsigned_api_call_is_refused(sandbox: Sandbox) -> None:
    request = urllib.request.Request(sandbox.endpoint, b"{}", {"X-Amz-Target": "AmazonSSM.StartSession"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=TIMEOUT)
    with caught.value as answer:
        assert answer.code == 403


def test_control_address_wants_its_token(sandbox: Sandbox) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(sandbox.endpoint + "/_sandbox/mfa-code", timeout=TIMEOUT)
    with caught.value as answer:
        assert answer.code == 401


def test_agent_from_outside_joins_with_a_token_of_its_own(make_sandbox: Any, dial: Dial) -> None:
    sandbox = make_sandbox(external_agents=("i-deadbeef",))
    reply = start(sandbox)
    connection = dial(reply["StreamUrl"])
    connection.send(opening(reply["TokenValue"]))
    assert message_type_of(connection.recv(timeout=TIMEOUT)) == "pause_publication"  # type: ignore[arg-type]
    address = f"{sandbox.endpoint}/v1/data-channel/{reply['SessionId']}"
    headers = signed(address, "verbatim", session_keys(sandbox), method="POST", body=b"{}")
    with urllib.request.urlopen(urllib.request.Request(address, b"{}", headers), timeout=TIMEOUT) as answer:
        assert answer.status == 201
        token = answer.read().decode().partition("<TokenValue>")[2].partition("</TokenValue>")[0]
    agent = dial(address.replace("http", "ws", 1))
    agent.send(json.dumps(json.loads(opening(token)) | {"ClientInstanceId": "i-deadbeef"}))
    assert message_type_of(connection.recv(timeout=TIMEOUT)) == "start_publication"  # type: ignore[arg-type]
    assert message_type_of(agent.recv(timeout=TIMEOUT)) == "start_publication"  # type: ignore[arg-type]
    said = encode_message(Message("output_stream_data", flags=1, payload_type=1, payload=b"# ", created_date=1))
    agent.send(said)
    assert connection.recv(timeout=TIMEOUT) == said
    connection.send(b"typed")
    assert agent.recv(timeout=TIMEOUT) == b"typed"
    sandbox.end_sessions()
    frames_until(agent, "channel_closed")


def test_tokens_do_not_serve_the_other_side(sandbox: Sandbox, dial: Dial) -> None:
    reply = start(sandbox)
    connection = dial(reply["StreamUrl"])
    connection.send(json.dumps(json.loads(opening(reply["TokenValue"])) | {"ClientInstanceId": "i-deadbeef"}))
    with pytest.raises(ConnectionClosed):
        connection.recv(timeout=TIMEOUT)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n: no name\r\n\r\n",
        b"GET /v1/data-channel/x HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSSM.StartSession\r\nContent-Length: 3\r\n\r\n{[}",
        b"POST / HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x\r\nContent-Length: 0\r\n\r\n",
        b"GET /" + b"a" * 100_000,
    ],
)
def test_garbage_at_the_door_is_refused_and_nobody_else_notices(sandbox: Sandbox, garbage: bytes) -> None:
    address = ("127.0.0.1", int(sandbox.endpoint.rpartition(":")[2]))
    with socket.create_connection(address, TIMEOUT) as connection, suppress(ConnectionError):
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
        assert answer == b"" or answer.split()[1] in (b"400", b"403", b"404")
    assert user_client(sandbox, "sts").get_caller_identity()["Account"] == "123456789012"
