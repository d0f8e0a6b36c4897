"""The stream's address, taken apart and judged."""

from __future__ import annotations

import pytest

from aws_runas.errors import SessionError
from aws_runas.ssm.transport.address import is_loopback, parse_stream_url

REAL = (
    "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/me@x.com-0abc"
    "?role=publish_subscribe&cell-number=AAEAATf2ktZ+bs/0f=="
)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        (REAL, "ssmmessages.eu-west-1.amazonaws.com", 443, REAL[42 + len("wss://") - 7 :], None),
        ("wss://h:8443/a?b=%2F", "h", 8443, "/a?b=%2F", "h:8443"),
        ("ws://127.0.0.1:9/x?y=a+b==", "127.0.0.1", 9, "/x?y=a+b==", "127.0.0.1:9"),
        ("ws://[::1]:9/x", "::1", 9, "/x", "[::1]:9"),
        ("wss://h", "h", 443, "/", "h"),
        ("wss://h?q=1", "h", 443, "/?q=1", "h"),
        ("WSS://H/x#fragment", "H", 443, "/x", "H"),
    ],
)
def test_path_and_query_stay_as_they_are(url: str, host: str, port: int, target: str, authority: str | None) -> None:
    address = parse_stream_url(url)
    assert (address.host, address.port) == (host, port)
    assert url.partition("#")[0].endswith(address.target) or address.target in ("/", "/?q=1")
    if authority is not None:
        assert (address.target, address.authority) == (target, authority)


def test_a_replaced_host_leaves_everything_else() -> None:
    address = parse_stream_url(REAL, host_override="vpce-1.ssmmessages.eu-west-1.vpce.amazonaws.com")
    assert address.url == REAL.replace("ssmmessages.eu", "vpce-1.ssmmessages.eu").replace(
        "amazonaws.com/", "vpce.amazonaws.com/"
    )


@pytest.mark.parametrize(
    "url",
    ["", "http://h/", "wss://", "wss:///x", "wss://user@h/", "wss://h:0/", "wss://h:x/", "wss://[::1/", "wss://h/a b"],
)
def test_what_is_no_stream_address_is_an_error_of_ours(url: str) -> None:
    with pytest.raises(SessionError) as caught:
        parse_stream_url(url)
    assert caught.value.code == "stream-address-invalid"


@pytest.mark.parametrize(
    "host", ["example.com", "10.0.0.1", "127.0.0.1.example.com", "localhost.evil.test", "0.0.0.0", "[fe80::1]"]
)
def test_clear_text_over_a_network_is_refused(host: str) -> None:
    with pytest.raises(SessionError) as caught:
        parse_stream_url(f"ws://{host}/x")
    assert caught.value.code == "stream-not-encrypted"


def test_loopback_by_name_and_by_number() -> None:
    assert all(map(is_loopback, ("localhost", "LOCALHOST", "127.0.0.1", "127.255.0.3", "::1")))
    assert not any(map(is_loopback, ("local", "128.0.0.1", "::2", "")))
