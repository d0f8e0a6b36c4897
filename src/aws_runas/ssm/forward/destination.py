"""Where a forward leads: a port of the instance, or of a host behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_runas.ssm.forward.address import LocalAddress, join

PORT_DOCUMENT: Final = "AWS-StartPortForwardingSession"
REMOTE_HOST_DOCUMENT: Final = "AWS-StartPortForwardingSessionToRemoteHost"
_INSTANCE_ITSELF: Final = ("", "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Destination:
    """The far end.

    Args:
        target: instance or task id, as StartSession takes it.
        port: 1 to 65535.
        host: behind the instance; "" for the instance itself.
    """

    target: str
    port: int
    host: str = ""

    def __str__(self) -> str:
        if self.remote_host:
            return f"{join(self.host, self.port)} via {self.target}"
        return join(self.target, self.port)

    @property
    def remote_host(self) -> bool:
        """Whether it takes an agent that connects to other hosts."""
        return self.host not in _INSTANCE_ITSELF

    @property
    def document(self) -> str:
        """The session document."""
        return REMOTE_HOST_DOCUMENT if self.remote_host else PORT_DOCUMENT

    @property
    def parameters(self) -> dict[str, list[str]]:
        """Of the document. The local port is ours to choose, so none is named."""
        parameters = {"portNumber": [str(self.port)]}
        if self.remote_host:
            parameters["host"] = [self.host]
        return parameters


@dataclass(frozen=True, slots=True)
class Forward:
    """One listener and where it leads."""

    local: LocalAddress
    destination: Destination
