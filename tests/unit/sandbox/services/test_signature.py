"""Signatures judged: botocore signs, the sandbox checks; and the three canonical forms of the data channel's query."""

from __future__ import annotations

import calendar
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from aws_runas.sandbox.services import signature
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.requests import Request

SECRET = "SECRET"
SPEC_TIME = calendar.timegm(time.strptime("20231114T221320Z", "%Y%m%dT%H%M%SZ"))
QUERY = "role=publish_subscribe&cell-number=AA+b/c=="
FORMS = {
    "as the official plugin signs": "98b7ac7b2ca1b4a9e4f0316e9c1e2bfb1ecc8156819a5c36fe7648c1f67b20f3",
    "verbatim": "e5e622d2daa06d4cc1b0dd1bb8cdd4e67005a709cde5706967f52058a17c83ae",
    "percent-encoded": "f94ddd7d3e1f21f8d4d038f033ea5f3d1bee72c620bb0b266aa6e0cda3e5a64b",
}


def data_channel_request(value: str) -> Request:
    scope = "AKID/20231114/us-east-1/ssmmessages/aws4_request"
    headers = {
        "host": "ssmmessages.us-east-1.amazonaws.com",
        "x-amz-date": "20231114T221320Z",
        "x-amz-security-token": "TOK",
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, "
        f"SignedHeaders=host;x-amz-date;x-amz-security-token, Signature={value}",
    }
    return Request("GET", "/v1/data-channel/me@x.com-0abc", QUERY, headers)


def judge(request: Request, *, any_query_form: bool = True, secret: str = SECRET, now: float = SPEC_TIME) -> None:
    signed = signature.read(request)
    assert signed is not None
    signature.check(request, signed, secret, now, any_query_form=any_query_form)


@pytest.mark.parametrize("form", FORMS)
def test_each_canonical_form_of_the_stream_address_is_accepted(form: str) -> None:
    judge(data_channel_request(FORMS[form]))


def test_wrong_signature_wrong_secret_and_changed_address_are_refused() -> None:
    good = FORMS["as the official plugin signs"]
    request = data_channel_request(good)
    for wrong, secret in (
        (data_channel_request("0" * 64), SECRET),
        (request, "OTHER"),
        (replace(request, query=QUERY + "x"), SECRET),
        (replace(request, path="/v1/data-channel/other"), SECRET),
    ):
        with pytest.raises(ServiceError) as caught:
            judge(wrong, secret=secret)
        assert caught.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("seconds", [-301, 301])
def test_signature_is_good_for_five_minutes_either_way(seconds: int) -> None:
    request = data_channel_request(FORMS["verbatim"])
    judge(request, now=SPEC_TIME + seconds // 2)
    with pytest.raises(ServiceError, match=r"SignatureDoesNotMatch: Signature (expired|not yet current)"):
        judge(request, now=SPEC_TIME + seconds)


def signed_by_botocore(url: str, body: bytes, auth: type = SigV4Auth) -> Request:
    request = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/x-amz-json-1.1"})
    auth(Credentials("AKID", SECRET, "TOK"), "ssm", "eu-west-1").add_auth(request)
    parts = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers.items()} | {"host": parts.netloc}
    return Request("POST", parts.path or "/", parts.query, headers, body)


def test_request_signed_by_botocore_is_accepted_and_a_changed_body_is_not() -> None:
    request = signed_by_botocore("http://127.0.0.1:4566/", b'{"Target": "i-deadbeef"}')
    signed = signature.read(request)
    assert signed is not None
    assert (signed.access_key_id, signed.service, signed.region, signed.session_token) == (
        "AKID",
        "ssm",
        "eu-west-1",
        "TOK",
    )
    judge(request, any_query_form=False, now=time.time())
    with pytest.raises(ServiceError):
        judge(replace(request, body=b"{}"), any_query_form=False, now=time.time())


def test_signature_in_the_query_is_read_and_judged() -> None:
    request = signed_by_botocore(
        "http://127.0.0.1:4566/?Action=GetCallerIdentity&Version=2011-06-15", b"", SigV4QueryAuth
    )
    assert "authorization" not in request.headers
    judge(request, any_query_form=False, now=time.time())
    with pytest.raises(ServiceError):
        judge(replace(request, query=request.query.replace("GetCaller", "SetCaller")), now=time.time())


def test_unsigned_request_has_no_signature() -> None:
    assert signature.read(Request("GET", "/", "", {})) is None


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=1",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, Signature=1",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host",
    ],
)
def test_half_a_signature_is_an_incomplete_one(header: str) -> None:
    with pytest.raises(ServiceError, match="IncompleteSignature"):
        signature.read(Request("GET", "/", "", {"authorization": header}))
