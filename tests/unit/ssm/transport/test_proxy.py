"""Which proxy a connection goes through."""

from __future__ import annotations

from base64 import b64encode

import pytest

from aws_runas.errors import ConfigError
from aws_runas.ssm.transport.address import proxy_for

HOST = "ssmmessages.eu-west-1.amazonaws.com"


def found(environ: dict[str, str], host: str = HOST, port: int = 443, *, secure: bool = True) -> str | None:
    proxy = proxy_for(host, port, secure=secure, environ=environ)
    return None if proxy is None else f"{'https' if proxy.secure else 'http'}://{proxy.host}:{proxy.port}"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, "http://lower:1"),
        ({"HTTP_PROXY": "http://p:3128"}, None),
        ({"ALL_PROXY": "p:3128"}, "http://p:3128"),
        ({"HTTPS_PROXY": "https://p"}, "https://p:443"),
        ({"HTTPS_PROXY": "http://[::1]:9"}, "http://::1:9"),
        ({"HTTPS_PROXY": "  "}, None),
    ],
)
def test_the_variables_of_curl_decide(environ: dict[str, str], expected: str | None) -> None:
    assert found(environ) == expected


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("*", True),
        ("amazonaws.com", True),
        (".amazonaws.com", True),
        ("*.amazonaws.com", True),
        ("other.test, eu-west-1.amazonaws.com", True),
        ("naws.com", False),
        ("amazonaws.com:443", True),
        ("amazonaws.com:8443", False),
        (HOST.upper(), True),
        ("", False),
    ],
)
def test_no_proxy_names_hosts_and_what_lies_below(no_proxy: str, direct: bool) -> None:
    assert (found({"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}) is None) is direct


def test_no_proxy_names_networks() -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8 192.168.1.7"}
    assert found(environ, "10.1.2.3") is None
    assert found(environ, "192.168.1.7") is None
    assert found(environ, "192.168.1.8") == "http://p:1"


def test_this_machine_is_never_behind_a_proxy() -> None:
    environ = {"ALL_PROXY": "http://p:1"}
    assert found(environ, "127.0.0.1", secure=False) is None
    assert found(environ, "localhost") is None


def test_a_password_goes_into_the_header_and_nowhere_else() -> None:
    proxy = proxy_for(HOST, 443, secure=True, environ={"HTTPS_PROXY": "http://me:p%3Ass@p:1"})
    assert proxy is not None
    assert proxy.authorization == "Basic " + b64encode(b"me:p:ss").decode()
    assert "p:ss" not in repr(proxy)
    assert proxy.authorization not in repr(proxy)


@pytest.mark.parametrize("value", ["socks5://p:1", "http://", "http://p:port", "http://secret-word@:1"])
def test_what_cannot_be_used_is_named_without_its_value(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found({"HTTPS_PROXY": value})
    assert caught.value.message.startswith("HTTPS_PROXY")
    assert "secret-word" not in caught.value.message
