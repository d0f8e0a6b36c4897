"""Destination of a connection: the stream URL, and the proxy in front of it.

The URL is split without changing a byte, and checked before anything is sent. HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
NO_PROXY select the proxy, with the same rules as in curl.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, SessionError


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """Address of the data channel.

    Args:
        secure: True for wss, False for ws.
        host: host as written, without brackets.
        port: port; 443 or 80 if the URL has none.
        target: path and query, byte for byte: the query contains raw base64 that a parser would change (spec 13.1).
    """

    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Value of the Host header, without the default port of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The complete URL."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{self.target}"


def is_loopback(host: str) -> bool:
    """Return True for a loopback address or ``localhost``; no other name is resolved."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def parse_stream_url(url: str, *, host_override: str | None = None) -> StreamAddress:
    """Split a StreamUrl.

    Args:
        url: StreamUrl from StartSession or ResumeSession.
        host_override: ``host`` or ``host:port`` to dial instead (an interface endpoint); the rest is unchanged.

    Raises:
        SessionError: the URL is not a WebSocket URL, or it would send the session in clear text over a network.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("ws", "wss"):
        raise SessionError(
            f"the service returned no WebSocket address: {url[:80]!r}",
            code="stream-address-invalid",
            hint="check AWS_ENDPOINT_URL and --stream-host",
        )
    end = min((rest.find(c) for c in "/?#" if c in rest), default=len(rest))
    authority, target = rest[:end], rest[end:].partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    secure = scheme == "wss"
    host, port = _split_authority(host_override or authority, 443 if secure else 80, url)
    if any(c <= " " or c == "\x7f" for c in target + host):
        raise SessionError(
            "the stream's address holds a control character",
            code="stream-address-invalid",
            hint="check AWS_ENDPOINT_URL and --stream-host",
        )
    if not secure and not is_loopback(host):
        raise SessionError(
            f"the stream's address is not encrypted and not on this machine: ws://{host}",
            code="stream-not-encrypted",
            hint="only wss:// is used over a network; ws:// is for the sandbox on loopback",
        )
    return StreamAddress(secure, host, port, target)


def _split_authority(authority: str, default_port: int, url: str) -> tuple[str, int]:
    """Return host and port of ``host``, ``host:port`` or ``[v6]:port``; refuse user information."""
    bad = SessionError(
        f"cannot read the stream's address: {url[:80]!r}",
        code="stream-address-invalid",
        hint="check AWS_ENDPOINT_URL and --stream-host",
    )
    if "@" in authority:
        raise bad
    if authority.startswith("["):
        host, bracket, tail = authority[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise bad
        port_text = tail[1:]
    else:
        host, _, port_text = authority.partition(":")
    if not host:
        raise bad
    if not port_text:
        return host, default_port
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65536):
        raise bad
    return host, int(port_text)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that supports CONNECT.

    Args:
        secure: True if the connection to the proxy itself uses TLS.
        host, port: address of the proxy.
        authorization: value of Proxy-Authorization, "" for none; a secret.
    """

    secure: bool
    host: str
    port: int
    authorization: str = field(default="", repr=False)


def proxy_for(host: str, port: int, *, secure: bool, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a connection to host and port, None for a direct connection.

    Args:
        host, port: destination of the connection.
        secure: use HTTPS_PROXY, for a TLS connection; otherwise HTTP_PROXY. Lower-case names take precedence.
        environ: environment variables.

    Raises:
        ConfigError: the value of the variable is not a usable proxy address.
    """
    if is_loopback(host) or _exempt(host, port, _variable(environ, "no_proxy")[1]):
        return None
    name, value = _variable(environ, "https_proxy" if secure else "http_proxy")
    if not value:
        name, value = _variable(environ, "all_proxy")
    return _parse(name, value) if value else None


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the variable that is set, and its value. HTTP_PROXY is ignored in CGI, where clients can set it."""
    if environ.get(name):
        return name, environ[name].strip()
    upper = name.upper()
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
        return upper, ""
    return upper, environ.get(upper, "").strip()


def _parse(name: str, value: str) -> Proxy:
    bad = ConfigError(
        f"{name}={value.rpartition('@')[2]} is not the address of an HTTP proxy",  # without user and password
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
