"""Which proxy a connection goes through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as curl reads them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from aws_runas.errors import ConfigError
from aws_runas.ssm.transport.address import is_loopback


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that understands CONNECT.

    Args:
        secure: the way to the proxy itself is TLS.
        host, port: where it listens.
        authorization: value of Proxy-Authorization, "" for none; a secret.
    """

    secure: bool
    host: str
    port: int
    authorization: str = field(default="", repr=False)


def proxy_for(host: str, port: int, *, secure: bool, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a connection to host and port, None for the direct way.

    Args:
        secure: the connection will be TLS: HTTPS_PROXY counts, else HTTP_PROXY; lower case names go first.

    Raises:
        ConfigError: the variable holds no proxy address that can be used here.
    """
    if is_loopback(host) or _exempt(host, port, _variable(environ, "no_proxy")[1]):
        return None
    name, value = _variable(environ, "https_proxy" if secure else "http_proxy")
    if not value:
        name, value = _variable(environ, "all_proxy")
    return _parse(name, value) if value else None


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the name that is set, and its value. HTTP_PROXY is ignored in a CGI process, where a client sets it."""
    if environ.get(name):
        return name, environ[name].strip()
    upper = name.upper()
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
        return upper, ""
    return upper, environ.get(upper, "").strip()


def _parse(name: str, value: str) -> Proxy:
    bad = ConfigError(
        f"{name} is no HTTP proxy address that can be used",
        code="proxy-invalid",
        hint="it should look like http://host:port or http://user:password@host:port",
    )
    try:
        parts = urlsplit(value if "://" in value else "http://" + value)
        port = parts.port
    except ValueError:
        raise bad from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise bad
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode()
    return Proxy(
        parts.scheme == "https", parts.hostname, port or (443 if parts.scheme == "https" else 80), authorization
    )


def _exempt(host: str, port: int, no_proxy: str) -> bool:
    """Return True if NO_PROXY names host: ``*``, a domain, an address or a network, with or without a port."""
    name = host.lower().rstrip(".")
    try:
        address = ip_address(name)
    except ValueError:
        address = None
    for raw in no_proxy.replace(",", " ").split():
        entry = raw.lower()
        if entry == "*":
            return True
        if entry.count(":") == 1:
            entry, _, entry_port = entry.partition(":")
            if entry_port != str(port):
                continue
        entry = entry.strip("[]")
        if address is not None:
            try:
                if address in ip_network(entry, strict=False):
                    return True
            except ValueError:
                pass
        entry = entry.removeprefix("*").strip(".")
        if entry and (name == entry or name.endswith("." + entry)):
            return True
    return False
