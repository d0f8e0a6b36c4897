"""Requests out of bytes: the same however the bytes are cut, and nothing else than HTTP."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.serve.http import (
    MAX_BODY,
    MAX_HEAD,
    MAX_HEADERS,
    BadRequest,
    Request,
    RequestReader,
    Response,
    render,
)

GET = b"GET /latest/meta-data/?x=1 HTTP/1.1\r\nHost: localhost\r\nX-One: a\r\nx-one:  b \r\n\r\n"
POST = b"POST /profile HTTP/1.1\r\nhost:127.0.0.1:80\r\nContent-Length: 5\r\n\r\nadmin"


def _read(data: bytes, *, step: int = 0) -> list[Request]:
    reader, requests = RequestReader(), []
    for start in range(0, len(data), step or len(data) or 1):
        reader.receive(data[start : start + (step or len(data))])
        while (request := reader.next_request()) is not None:
            requests.append(request)
    return requests


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
def test_requests_are_the_same_however_the_bytes_are_cut(step: int) -> None:
    get, post, again = _read(GET + POST + b"\r\n" + GET, step=step)
    assert (get.method, get.path, get.body) == ("GET", "/latest/meta-data/", b"")
    assert get.header("x-one") == "a, b"
    assert (post.method, post.path, post.body) == ("POST", "/profile", b"admin")
    assert again == get


def test_a_reader_is_idle_between_requests_only() -> None:
    reader = RequestReader()
    assert reader.is_idle
    reader.receive(GET[:5])
    assert not reader.is_idle
    reader.receive(GET[5:])
    assert reader.next_request()
    assert reader.is_idle


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("//latest//meta-data", "/latest/meta-data"),
        ("/credentials/my%20team", "/credentials/my team"),
        ("/credentials/arn:aws:iam::1:role/x", "/credentials/arn:aws:iam::1:role/x"),
        ("/credentials/caf%C3%A9", "/credentials/café"),
        ("/?a=/../b", "/"),
        ("/a#b", "/a"),
        ("/%2e%2e/x", "/../x"),
    ],
)
def test_paths_are_decoded_once(path: str, read: str) -> None:
    (request,) = _read(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert request.path == read


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n", 400),  # bare line feeds
        (b"GET /\r\n\r\n", 400),  # HTTP/0.9
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),  # a proxy's form
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /% HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%0d%0aX HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * MAX_HEADERS + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"1" * MAX_HEAD + b"\r\n\r\n", 431),
        (b"G" * (MAX_HEAD + 1), 431),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_what_is_no_plain_request_is_refused_with_a_status(data: bytes, status: int, step: int) -> None:
    if step and len(data) > MAX_HEAD:
        step = 1000
    with pytest.raises(BadRequest) as refusal:
        _read(data, step=step)
    assert refusal.value.status == status


@settings(max_examples=300)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([GET, POST, b"\r\n", b"Host: a\r\n", b"GET / "]))))
def test_any_bytes_make_requests_or_a_refusal(parts: list[bytes]) -> None:
    reader = RequestReader()
    with contextlib.suppress(BadRequest):
        for part in parts:
            reader.receive(part)
            while (request := reader.next_request()) is not None:
                assert request.path.startswith("/")


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "Connection: Keep-Alive\r\n", True),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
def test_connections_are_kept_as_the_client_says(version: str, connection: str, kept: bool) -> None:
    (request,) = _read(f"GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n".encode())
    assert request.keep_alive is kept


def test_a_response_to_head_says_the_length_and_holds_no_body() -> None:
    whole = render(Response(200, b"hello"), keep_alive=True)
    head = render(Response(200, b"hello"), keep_alive=True, head=True)
    assert whole == head + b"hello"
    assert b"\r\nContent-Length: 5\r\n" in head
    assert b"\r\nCache-Control: no-store\r\n" in head


def test_a_header_cannot_break_the_response() -> None:
    with pytest.raises(ValueError):
        render(Response(200, headers=(("X", "a\r\nSet-Cookie: b"),)), keep_alive=True)


def test_requests_and_responses_show_no_secret() -> None:
    request = Request("POST", "/mfa", (("authorization", "hush"),), b"123456")
    assert "hush" not in repr(request)
    assert "123456" not in repr(request)
    assert "hush" not in repr(Response(200, b"hush"))
