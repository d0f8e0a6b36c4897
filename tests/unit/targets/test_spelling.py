"""What the spelling of a target says by itself."""

from __future__ import annotations

import pytest

from aws_runas.errors import UsageError
from aws_runas.targets.by_dns import is_dns_name
from aws_runas.targets.by_tag import tag_pairs
from aws_runas.targets.spelling import ip_address, is_ecs, is_instance_id, split_port


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("i-deadbeef", True),
        ("mi-0123456789abcdef0", True),
        ("i-0123456789abcdef0", True),
        ("I-DEADBEEF", True),
        ("i-deadbee", False),
        ("i-deadbeeg", False),
        ("x-deadbeef", False),
        ("i-deadbeef ", False),
        ("i-deadbeef\n", False),
        ("web", False),
        ("", False),
    ],
)
def test_an_id_is_told_by_prefix_and_hex_digits(text: str, is_id: bool) -> None:
    assert is_instance_id(text) is is_id


@pytest.mark.parametrize(
    ("text", "default", "target", "port"),
    [
        ("i-deadbeef:9000", None, "i-deadbeef", 9000),
        ("i-deadbeef", 22, "i-deadbeef", 22),
        ("web:8080", None, "web", 8080),
        ("Name:web:8080", None, "Name:web", 8080),
        ("Name:web", 22, "Name:web", 22),
        ("10.0.0.1:65535", None, "10.0.0.1", 65535),
        ("[2001:db8::1]:443", None, "2001:db8::1", 443),
        ("[2001:db8::1]", 22, "2001:db8::1", 22),
        ("2001:db8::1", 22, "2001:db8::1", 22),
        ("2001:db8::22", 5, "2001:db8::22", 5),
        ("ecs:prod/web:80", None, "ecs:prod/web", 80),
        ("ecs:prod/web", 22, "ecs:prod/web", 22),
        ("ecs:prod_0123_0123-1:80", None, "ecs:prod_0123_0123-1", 80),
        ("host.example.:1", None, "host.example.", 1),
    ],
)
def test_the_port_is_split_off_the_right_end(text: str, default: int | None, target: str, port: int) -> None:
    assert split_port(text, default) == (target, port)


@pytest.mark.parametrize(
    ("text", "default", "code"),
    [
        ("i-deadbeef", None, "port-missing"),
        ("Name:web", None, "port-missing"),
        ("2001:db8::1", None, "port-missing"),
        ("i-deadbeef:", None, "port-invalid"),
        ("i-deadbeef:http", 22, "port-invalid"),
        ("web:0", None, "port-invalid"),
        ("web:65536", None, "port-invalid"),
        ("web:99999999999999999999", None, "port-invalid"),
        ("web:٣", None, "port-invalid"),
        (":22", None, "target-missing"),
        ("", 22, "target-missing"),
        ("[web]:22", None, "address-invalid"),
        ("[::1:22", None, "address-invalid"),
        ("[::1]22", None, "address-invalid"),
    ],
)
def test_what_has_no_good_port_is_refused_by_its_code(text: str, default: int | None, code: str) -> None:
    with pytest.raises(UsageError) as raised:
        split_port(text, default)
    assert raised.value.code == code
    if code == "port-invalid":
        assert raised.value.hint == "a port is a number from 1 to 65535"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[::1]", "::1"),
        ("10.0.0", None),
        ("010.0.0.1", None),
        ("1", None),
        ("web", None),
    ],
)
def test_an_address_is_put_in_its_canonical_form(text: str, address: str | None) -> None:
    assert ip_address(text) == address


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Name:web", [("Name", "web")]),
        ("env:blue:2", [("env", "blue:2"), ("env:blue", "2")]),
        ("aws:cloudformation:stack-name:web", [("aws:cloudformation:stack-name", "web")]),
        ("Name:", []),
        (":web", []),
        ("web", []),
    ],
)
def test_a_tag_and_its_value_are_parted_by_a_colon(text: str, pairs: list[tuple[str, str]]) -> None:
    assert tag_pairs(text) == pairs


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("web", True),
        ("web.example.com", True),
        ("web.example.com.", True),
        ("_ssm._tcp.example.com", True),
        ("bücher.example", True),
        ("web server", False),
        ("a:b", False),
        ("a..b", False),
        ("", False),
        (".", False),
        ("a" * 64, False),
        (".".join(["a" * 60] * 5), False),
    ],
)
def test_a_host_name_is_told_by_its_labels(text: str, is_name: bool) -> None:
    assert is_dns_name(text) is is_name


def test_an_ecs_target_is_told_by_its_prefix() -> None:
    assert is_ecs("ecs:prod/web")
    assert is_ecs("ecs:")  # which then is told how to be complete
    assert not is_ecs("web")
