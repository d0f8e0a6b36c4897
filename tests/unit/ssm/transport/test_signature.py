"""The signature of the stream's request, by the vector of the specification."""

from __future__ import annotations

import datetime

from aws_runas.aws.credentials import Credentials
from aws_runas.aws.sigv4 import is_signed, sign_stream_request

URL = "wss://ssmmessages.us-east-1.amazonaws.com/v1/data-channel/me@x.com-0abc?role=publish_subscribe&cell-number=AA+b/c=="
KEYS = Credentials("AKID", "SECRET", "TOK")


NOW = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC).timestamp()


def test_the_vector_of_the_specification() -> None:
    headers = dict(sign_stream_request(URL, KEYS, "us-east-1", NOW))
    assert headers == {
        "X-Amz-Date": "20231114T221320Z",
        "X-Amz-Security-Token": "TOK",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKID/20231114/us-east-1/ssmmessages/aws4_request, "
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=98b7ac7b2ca1b4a9e4f0316e9c1e2bfb1ecc8156819a5c36fe7648c1f67b20f3",
    }


def test_keys_of_a_user_need_no_token() -> None:
    headers = dict(sign_stream_request(URL, Credentials("AKID", "SECRET"), "us-east-1", NOW))
    assert "SignedHeaders=host;x-amz-date," in headers["Authorization"]


def test_an_address_that_is_signed_already_is_not_signed_again() -> None:
    signed = URL + "&X-Amz-Signature=00ff"
    assert is_signed(signed)
    assert not is_signed(URL)
    assert sign_stream_request(signed, KEYS, "us-east-1", NOW) == []
