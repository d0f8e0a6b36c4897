"""-p and -L as users write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.cli.commands.forward.spec import ForwardSpec, parse_forward, parse_local
from aws_runas.errors import UsageError
from aws_runas.ssm.forward.destination import LocalAddress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5432:db.internal:5432", ForwardSpec(LocalAddress("127.0.0.1", 5432), "db.internal", 5432)),
        ("0:localhost:80", ForwardSpec(LocalAddress("127.0.0.1", 0), "localhost", 80)),
        ("0.0.0.0:8080:10.0.0.7:80", ForwardSpec(LocalAddress("0.0.0.0", 8080), "10.0.0.7", 80)),
        ("*:8080:web:80", ForwardSpec(LocalAddress("0.0.0.0", 8080), "web", 80)),
        ("[::1]:8080:web:80", ForwardSpec(LocalAddress("::1", 8080), "web", 80)),
        ("8080:[fd00::7]:80", ForwardSpec(LocalAddress("127.0.0.1", 8080), "fd00::7", 80)),
        ("[::]:8080:[fd00::7]:80", ForwardSpec(LocalAddress("::", 8080), "fd00::7", 80)),
        ("/run/db.sock:db:5432", ForwardSpec(LocalAddress(path="/run/db.sock"), "db", 5432)),
        ("~/db.sock:[fd00::7]:5432", ForwardSpec(LocalAddress(path="~/db.sock"), "fd00::7", 5432)),
    ],
)
def test_forwards_are_read_as_ssh_reads_them(text: str, expected: ForwardSpec) -> None:
    assert parse_forward(text) == expected


def test_bind_counts_where_the_text_names_no_address() -> None:
    assert parse_forward("1:h:2", "::1").local == LocalAddress("::1", 1)
    assert parse_forward("127.0.0.9:1:h:2", "::1").local == LocalAddress("127.0.0.9", 1)


@pytest.mark.parametrize(
    "text",
    ["", "80", "80:80", "1:h:2:3:4", "1:h:", "1:h:0", "1:h:65536", "x:h:2", "[::1:1:h:2", "[::1]x:1:h:2", "/sock:2"],
)
def test_what_is_no_forward_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_forward(text)
    assert repr(text) in caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8888", LocalAddress("127.0.0.1", 8888)), ("0", LocalAddress()), ("./x.sock", LocalAddress(path="./x.sock"))],
)
def test_local_end_is_a_port_or_a_path(text: str, expected: LocalAddress) -> None:
    assert parse_local(text) == expected


@pytest.mark.parametrize("text", ["65536", "-1", "http", "", "8 8", "٣"])
def test_ports_out_of_range_are_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_local(text)
    assert repr(text) in caught.value.message


@given(st.text(max_size=30))
def test_any_text_is_a_forward_or_a_usage_error(text: str) -> None:
    for parse in (parse_forward, parse_local):
        with contextlib.suppress(UsageError):
            parse(text)


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("5432:rds:orders", "rds:orders"),
        ("127.0.0.1:5432:rds:orders/reader", "rds:orders/reader"),
        ("/run/db.sock:cache:sessions", "cache:sessions"),
        ("6379:cache:6379", "cache:6379"),
    ],
)
def test_database_in_place_of_host_and_port(text: str, database: str) -> None:
    assert parse_forward(text).database == database
