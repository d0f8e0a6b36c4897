"""Both ends of a forward: the local address to listen on, and the port on the instance or on a host behind it.

Imports nothing expensive, because the command-line parser imports this module.
"""

from __future__ import annotations

from typing import Final

from aws_runas.dataclass import dataclass

PORT_DOCUMENT: Final = "AWS-StartPortForwardingSession"
REMOTE_HOST_DOCUMENT: Final = "AWS-StartPortForwardingSessionToRemoteHost"
_INSTANCE_ITSELF: Final = ("", "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """A local address to listen on.

    Args:
        host: an address or a name; all addresses of a name are used.
        port: 0 for a port that the system picks.
        path: path of a unix socket, instead of host and port.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or join_host_port(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Destination:
    """The remote end of a forward.

    Args:
        target: instance or task id, as StartSession accepts it.
        port: 1 to 65535.
        host: a host behind the instance; "" for the instance itself.
    """

    target: str
    port: int
    host: str = ""

    def __str__(self) -> str:
        if self.remote_host:
            return f"{join_host_port(self.host, self.port)} via {self.target}"
        return join_host_port(self.target, self.port)

    @property
    def remote_host(self) -> bool:
        """True if the agent must connect to a host other than its own instance."""
        return self.host not in _INSTANCE_ITSELF

    @property
    def document(self) -> str:
        """Name of the session document."""
        return REMOTE_HOST_DOCUMENT if self.remote_host else PORT_DOCUMENT

    @property
    def parameters(self) -> dict[str, list[str]]:
        """Parameters of the session document, without a local port: the client chooses that itself."""
        parameters = {"portNumber": [str(self.port)]}
        if self.remote_host:
            parameters["host"] = [self.host]
        return parameters


@dataclass(frozen=True, slots=True)
class Forward:
    """A local address and the destination of its connections."""

    local: LocalAddress
    destination: Destination


def join_host_port(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(address: LocalAddress) -> bool:
    """Return True if only programs of this machine can connect to the address."""
    if address.path or address.host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(address.host.partition("%")[0]).is_loopback
    except ValueError:
        return False
