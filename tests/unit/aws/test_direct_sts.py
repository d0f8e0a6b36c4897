"""The STS calls without botocore: botocore writes and reads the same, and is asked where something is unusual."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch
from urllib.parse import parse_qsl

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.aws.direct import direct_endpoint
from aws_runas.aws.direct_sts import DirectSts, is_usual
from aws_runas.aws.sts import assume_role
from aws_runas.config.profile import Role, Setting
from aws_runas.credentials.sts_clients import StsClients
from aws_runas.errors import CredentialsError
from tests.unit.aws.test_direct import KEYS, Breaking, Service, profile_with, serving

MODEL = botocore.session.Session().get_service_model("sts")
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
GOOD = f"""<AssumeRoleResponse xmlns="{NAMESPACE}"><AssumeRoleResult>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/R/me</Arn></AssumedRoleUser>
<Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>a&amp;b/+=</SecretAccessKey>
<SessionToken>t&#43;oken</SessionToken><Expiration>2030-01-02T03:04:05Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>""".encode()
REFUSED = f"""<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>AccessDenied</Code>
<Message>MultiFactorAuthentication failed with &lt;invalid&gt; MFA one time pass code. </Message></Error>
<RequestId>x</RequestId></ErrorResponse>""".encode()


class Botocore:
    """Stands for the client that is used for what is unusual."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def assume_role(self, **request: Any) -> dict[str, Any]:
        self.calls.append(request)
        return {"Credentials": "by-botocore"}


def direct(url: str) -> tuple[DirectSts, Botocore]:
    fallback = Botocore()
    return DirectSts(url, "eu-west-1", lambda: KEYS, lambda: fallback), fallback


@given(
    st.fixed_dictionaries(
        {"RoleArn": TEXT, "RoleSessionName": TEXT, "DurationSeconds": st.integers(900, 43200)},
        optional={
            "ExternalId": TEXT,
            "Policy": TEXT,
            "SerialNumber": TEXT,
            "TokenCode": TEXT,
            "Tags": st.lists(st.fixed_dictionaries({"Key": TEXT, "Value": TEXT}), min_size=1, max_size=3),
            "TransitiveTagKeys": st.lists(TEXT, min_size=1, max_size=3),
            "PolicyArns": st.lists(st.fixed_dictionaries({"arn": TEXT}), min_size=1, max_size=2),
        },
    )
)
def test_a_request_is_botocores(parameters: dict[str, Any]) -> None:
    serializer = botocore.serialize.create_serializer("query", include_validation=False)
    theirs = serializer.serialize_to_request(parameters, MODEL.operation_model("AssumeRole"))["body"]
    headers, body = direct("http://127.0.0.1:1")[0].encode("AssumeRole", parameters)
    ours = parse_qsl(body.decode(), keep_blank_values=True)
    assert dict(ours) == {name: str(value) for name, value in theirs.items()}
    assert len(ours) == len(theirs)
    assert headers == {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


def test_a_reply_is_read_as_botocore_reads_it() -> None:
    parser = botocore.parsers.create_parser("query")
    response = {"status_code": 200, "headers": {}, "body": GOOD}
    theirs = parser.parse(response, MODEL.operation_model("AssumeRole").output_shape)["Credentials"]
    with serving(Service([(200, GOOD)])) as service:
        client, fallback = direct(service.url)
        ours = client.assume_role(RoleArn="r")["Credentials"]
        assert ours == theirs
        assert ours["Expiration"] == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
        client.get_session_token(DurationSeconds=900)
    assert (fallback.calls, service.connections) == ([], 1)
    bodies = [body for _, _, body in service.requests]
    assert bodies[1] == b"Action=GetSessionToken&Version=2011-06-15&DurationSeconds=900"
    assert "/eu-west-1/sts/aws4_request" in service.requests[0][1]["Authorization"]


def test_a_refusal_is_botocores_exception_and_a_code_is_spent_once() -> None:
    parser = botocore.parsers.create_parser("query")
    theirs = parser.parse({"status_code": 403, "headers": {}, "body": REFUSED}, None)["Error"]
    with serving(Service([(403, REFUSED)])) as service:
        client, fallback = direct(service.url)
        with pytest.raises(ClientError) as caught:
            client.assume_role(RoleArn="r", TokenCode="123456")
    ours = caught.value.response["Error"]
    assert ours["Code"] == theirs["Code"]
    assert ours["Message"].strip() == theirs["Message"].strip()
    assert (len(service.requests), fallback.calls) == (1, [])


@pytest.mark.parametrize(
    "answer",
    [
        (500, REFUSED),
        (503, b"<html>"),
        (400, REFUSED.replace(b"AccessDenied", b"Throttling")),
        (403, b"{}"),
        (403, b""),
        (200, b""),
        (200, GOOD[:-20]),
        (200, GOOD.replace(b"2030-01-02T03:04:05Z", b"soon")),
        (200, GOOD.replace(b"<SessionToken>t&#43;oken</SessionToken>", b"")),
        (200, b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + GOOD),
        (200, ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + GOOD.decode()).encode("utf-16")),
        (200, b'<?xml version="1.0" encoding="nothing"?><a/>'),
    ],
)
def test_what_is_odd_is_left_to_botocore(answer: tuple[int, bytes]) -> None:
    with serving(Service([answer])) as service:
        client, fallback = direct(service.url)
        assert client.assume_role(RoleArn="r") == {"Credentials": "by-botocore"}
    assert fallback.calls == [{"RoleArn": "r"}]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n<"])
def test_code_is_sent_once_even_if_the_answer_is_lost_and_the_user_is_told_to_wait_for_the_next(answer: bytes) -> None:
    service = Breaking(answer, end=b"TokenCode=123456")
    client, fallback = direct(service.url)
    role = Role("arn:aws:iam::123456789012:role/R", "p", "me", Setting(3600, "default"))
    with pytest.raises(CredentialsError) as caught:
        assume_role(client, role, "arn:aws:iam::123456789012:mfa/me", "123456", now=0)
    assert (service.requests, fallback.calls) == (1, [])
    assert "without an answer" in caught.value.message
    assert "next MFA code" in (caught.value.hint or "")
    service.close()


@pytest.mark.parametrize(
    ("settings", "environ", "expected"),
    [
        ("", {}, "https://sts.eu-west-1.amazonaws.com"),
        ("use_fips_endpoint = true", {}, "https://sts-fips.eu-west-1.amazonaws.com"),
        ("endpoint_url = https://vpce-1.example:8443", {}, "https://vpce-1.example:8443"),
        ("sts_regional_endpoints = regional", {}, "https://sts.eu-west-1.amazonaws.com"),
        ("sts_regional_endpoints = legacy", {}, None),
        ("", {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, None),
        ("retry_mode = adaptive", {}, None),
        ("", {"AWS_MAX_ATTEMPTS": "1"}, None),
        ("", {"HTTPS_PROXY": "http://proxy:3128"}, None),
        ("", {"AWS_SDK_UA_APP_ID": "mine"}, None),
    ],
)
def test_settings_of_sts_decide_who_asks(
    tmp_path: Path, settings: str, environ: dict[str, str], expected: str | None
) -> None:
    profile = profile_with(tmp_path, settings, **environ).profile
    made: list[str] = []

    class Made:
        def __init__(self) -> None:
            made.append("botocore")

        def client(self, *_: object) -> str:
            return "by botocore"

    with patch.dict("os.environ", environ, clear=True):
        found = direct_endpoint(profile, "eu-west-1", "sts") if is_usual(profile) else None
        assert found == expected
        for direct_profile in (profile, None):
            client = StsClients(cast(Any, Made), "eu-west-1", direct_profile).signed_by(KEYS)
            assert isinstance(client, DirectSts) is (expected is not None and direct_profile is not None)
    assert len(made) == (1 if expected else 2)


def test_sts_addresses_are_botocores_for_every_region() -> None:
    from aws_runas.aws.client_settings import regional_endpoint
    from tests.unit.aws.test_direct import REGIONS, SESSION

    client = SESSION.create_client("sts", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    resolve = client._ruleset_resolver._provider.resolve_endpoint
    for region in REGIONS:
        theirs = resolve(Region=region, UseFIPS=False, UseDualStack=False, UseGlobalEndpoint=False).url
        assert regional_endpoint("sts", region) in (theirs, None), region
