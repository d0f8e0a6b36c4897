"""Addresses that a browser opens: sign-in, sign-out before it, the portal's shortcut, containers."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from aws_runas.console.links import (
    PARTITIONS,
    container_address,
    federation_address,
    firefox_color,
    login_address,
    portal_address,
    signin_override,
    with_logout,
)
from aws_runas.errors import ConfigError, UsageError

DESTINATION = "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1#Instances:a&b=c"
PORTAL = {"sso_start_url": "https://corp.awsapps.com/start", "sso_account_id": "123456789012", "sso_role_name": "Dev"}


@pytest.mark.parametrize(
    ("name", "region", "address"),
    [
        ("aws", None, "https://signin.aws.amazon.com/federation"),
        ("aws", "us-east-1", "https://signin.aws.amazon.com/federation"),
        ("aws", "eu-west-1", "https://eu-west-1.signin.aws.amazon.com/federation"),
        ("aws-us-gov", "us-gov-east-1", "https://signin.amazonaws-us-gov.com/federation"),
        ("aws-cn", "cn-northwest-1", "https://signin.amazonaws.cn/federation"),
        ("aws-eusc", "eusc-de-east-1", "https://signin.amazonaws-eusc.eu/federation"),
    ],
)
def test_each_partition_has_its_sign_in(name: str, region: str | None, address: str) -> None:
    assert federation_address(PARTITIONS[name], region, None) == address
    assert federation_address(PARTITIONS[name], region, "http://127.0.0.1:1") == "http://127.0.0.1:1/federation"


def test_the_login_address_carries_its_values_whole() -> None:
    address = login_address("https://signin.aws.amazon.com/federation", DESTINATION, "a+b/c=&d")
    parts = urlsplit(address)
    assert (parts.netloc, parts.path, parts.fragment) == ("signin.aws.amazon.com", "/federation", "")
    assert parse_qs(parts.query) == {
        "Action": ["login"],
        "Issuer": ["aws-runas"],
        "Destination": [DESTINATION],
        "SigninToken": ["a+b/c=&d"],
    }


def test_the_sign_out_holds_the_login_address_escaped_once() -> None:
    login = login_address("https://signin.aws.amazon.com/federation", DESTINATION, "token")
    address = with_logout(login, PARTITIONS["aws"], None)
    front, _, target = address.partition("&redirect_uri=")
    assert front == "https://us-east-1.signin.aws.amazon.com/oauth?Action=logout"
    assert unquote(target) == login
    assert not set("&=?#/:") & set(target)


@pytest.mark.parametrize("name", ["aws-us-gov", "aws-cn", "aws-eusc"])
def test_the_sign_out_is_refused_where_it_is_not_known_to_work(name: str) -> None:
    with pytest.raises(UsageError, match="--logout-first does not work"):
        with_logout("https://x", PARTITIONS[name], None)


@pytest.mark.parametrize("end", ["", "/", "#", "/#", "#/", "/#/"])
def test_the_portal_address_has_one_form(end: str) -> None:
    settings = PORTAL | {"sso_start_url": PORTAL["sso_start_url"] + end}
    base = "https://corp.awsapps.com/start/#/console?account_id=123456789012&role_name=Dev"
    assert portal_address(settings, "profile p", None) == base
    address = portal_address(settings, "profile p", DESTINATION)
    assert address.startswith(f"{base}&destination=")
    assert parse_qs(address.partition("?")[2])["destination"] == [DESTINATION]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sso_role_name": ""}, "profile p has no sso_role_name"),
        ({"sso_start_url": "http://corp.awsapps.com/start"}, "is not an https address"),
        ({"sso_start_url": "javascript:alert(1)"}, "is not an https address"),
        ({"sso_start_url": "https://[x/"}, "is not an https address"),
    ],
)
def test_a_portal_that_cannot_be_opened_is_an_error(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        portal_address(PORTAL | change, "profile p", None)


@pytest.mark.parametrize(
    "url", ["https://signin.example.com", "http://127.0.0.1:8080/", "http://localhost", "http://[::1]:1"]
)
def test_another_sign_in_can_be_named(url: str) -> None:
    assert signin_override({"RUNAS_SIGNIN_URL": url}) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://signin.example.com",
        "http://127.0.0.1.evil.example",
        "ftp://x",
        "x",
        "https://",
        "https://a?b",
        "http://[x",
    ],
)
def test_a_sign_in_in_clear_text_is_for_this_machine_only(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        signin_override({"RUNAS_SIGNIN_URL": url})
    assert caught.value.code == "signin-url-invalid"


def test_each_add_on_gets_its_form() -> None:
    granted = container_address("https://x/?a=b&c", "my & profile", "#ff0000", "granted")
    assert granted == (
        "ext+granted-containers:name=my%20%26%20profile&url=https%3A%2F%2Fx%2F%3Fa%3Db%26c&color=red&icon=fingerprint"
    )
    assert container_address("https://x", "p", None, "open-url") == "ext+container:name=p&url=https%3A%2F%2Fx"
    with pytest.raises(ConfigError, match="console_container = other"):
        container_address("https://x", "p", None, "other")


def test_a_color_is_the_nearest_that_firefox_has() -> None:
    assert firefox_color("#50d000", "p") == "green"
    assert firefox_color("Purple", "p") == "purple"
    assert firefox_color("FF9E01", "p") == "orange"
    for odd in (None, "", "#12", "zzzzzz", "é"):
        assert firefox_color(odd, "prod") == firefox_color(None, "prod")
    assert len({firefox_color(None, f"profile-{number}") for number in range(40)}) > 4
