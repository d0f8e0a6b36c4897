"""Where a forward listens. Nothing heavy is imported: the command line is read with this."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where to listen.

    Args:
        host: an address or a name; all its addresses are used.
        port: 0 for one that the system picks.
        path: of a unix socket, instead of both.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or join(self.host, self.port)


def join(host: str, port: int) -> str:
    """Write host and port as one, IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(address: LocalAddress) -> bool:
    """Whether only programs of this machine can connect."""
    if address.path or address.host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(address.host.partition("%")[0]).is_loopback
    except ValueError:
        return False
