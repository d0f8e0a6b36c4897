"""The stream's address: split without changing a byte of it, and checked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from aws_runas.errors import SessionError


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """Address of the data channel.

    Args:
        secure: wss, else ws.
        host: without brackets, as it was written.
        port: 443 and 80 where the address names none.
        target: path and query, byte for byte: the query holds raw base64 that a parser would change (spec 13.1).
    """

    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Value of the Host header, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole address again."""
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
        url: as StartSession or ResumeSession returned it.
        host_override: ``host`` or ``host:port`` to dial instead (an interface endpoint); everything else stays.

    Raises:
        SessionError: it is not a WebSocket address, or it would send the session in clear text over a network.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("ws", "wss"):
        raise SessionError(f"the service returned no WebSocket address: {url[:80]!r}", code="stream-address-invalid")
    end = min((rest.find(c) for c in "/?#" if c in rest), default=len(rest))
    authority, target = rest[:end], rest[end:].partition("#")[0]
    if not target.startswith("/"):
        target = "/" + target
    secure = scheme == "wss"
    host, port = _split_authority(host_override or authority, 443 if secure else 80, url)
    if any(c <= " " or c == "\x7f" for c in target + host):
        raise SessionError("the stream's address holds a control character", code="stream-address-invalid")
    if not secure and not is_loopback(host):
        raise SessionError(
            f"the stream's address is not encrypted and not on this machine: ws://{host}",
            code="stream-not-encrypted",
            hint="only wss:// is used over a network; ws:// is for the sandbox on loopback",
        )
    return StreamAddress(secure, host, port, target)


def _split_authority(authority: str, default_port: int, url: str) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[v6]:port``; user information is refused."""
    bad = SessionError(f"cannot read the stream's address: {url[:80]!r}", code="stream-address-invalid")
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
