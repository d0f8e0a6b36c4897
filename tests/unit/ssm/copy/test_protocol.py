"""Replies of the instance: any bytes are replies or one error; pieces make no difference."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.ssm.copy import file_server
from aws_runas.ssm.copy.protocol import CopyError, Reply, ReplyParser, encode_request


def _reply(values: object, data: bytes) -> bytes:
    header = json.dumps(values).encode()
    return b"%d %d\n%b%b" % (len(header), len(data), header, data)


@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=5), st.integers()), st.binary(max_size=50)), max_size=4))
def test_replies_pass_in_any_pieces(replies: list[tuple[dict[str, int], bytes]]) -> None:
    data = b"".join(_reply(*reply) for reply in replies)
    parser = ReplyParser()
    parsed = [reply for at in range(len(data)) for reply in parser.receive_data(data[at : at + 1])]
    assert parsed == replies


@given(st.binary(max_size=200))
def test_any_bytes_are_replies_or_the_one_error(data: bytes) -> None:
    parser = ReplyParser()
    try:
        replies: list[Reply] = parser.receive_data(data)
    except CopyError as error:
        assert error.code == "helper-failed"  # noqa: PT017 - the error is the expectation
    else:
        assert all(isinstance(values, dict) for values, _ in replies)


@pytest.mark.parametrize("data", [b"x 1\n", b"1\n", b"99999999999 0\n", b"1" * 70, b"2 0\n[]", b"2 0\n{x"])
def test_a_damaged_reply_is_an_error(data: bytes) -> None:
    with pytest.raises(CopyError):
        ReplyParser().receive_data(data)


@given(
    st.dictionaries(
        st.sampled_from(["op", "path", "files", "size", "part", "token"]), st.none() | st.text() | st.integers()
    )
)
def test_any_request_gets_a_reply(request: dict[str, object]) -> None:
    values, data = file_server.handle({**request, "op": "stat"}, b"")
    assert "entry" in values or "error" in values
    assert data == b""
    unknown, _ = file_server.handle({"op": "no-such"}, b"")
    assert unknown["error"] == "invalid"
    assert encode_request("stat", {"path": "\udcff"}).isascii()
