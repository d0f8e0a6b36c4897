"""Settings of a channel and, for the role AGENT, of its announcement."""

from __future__ import annotations

from enum import Enum

from aws_runas.dataclass import dataclass


class Role(Enum):
    """End of the channel."""

    CLIENT = "client"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Limits and pace of a channel; the defaults are those for the real service (spec 14).

    Args:
        payload_size: bytes of stream data in one message, 1 to 65,536.
        frame_rate: frames per second, counting everything sent; None for no pacing.
        window_bytes: maximum unacknowledged payload bytes, None for no limit other than the delivery window.
        acknowledge_delay: seconds a CLIENT holds acknowledgements of output back (spec 8.3); an AGENT never does.
        assume_started_after: CLIENT: seconds of silence on a connection after which the session is assumed to have no
            handshake, so that input reaches a command that prints nothing; None to never assume this (spec 5.7).
        client_version: version that a CLIENT reports.
        agent_version, session_type, properties, kms_key_id, handshake, customer_message: announcement of an AGENT.
    """

    payload_size: int = 1024
    frame_rate: float | None = 925.0
    window_bytes: int | None = 256 * 1024
    acknowledge_delay: float = 0.005
    assume_started_after: float | None = None
    client_version: str = "1.2.764.0"
    agent_version: str = "3.3.0.0"
    session_type: str = "Standard_Stream"
    properties: dict[str, str] | None = None
    kms_key_id: str = ""
    handshake: bool = True
    customer_message: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.payload_size <= 65_536:
            raise ValueError(f"a payload size of {self.payload_size} bytes; it must be 1 to 65536")
        if self.frame_rate is not None and self.frame_rate < 1:
            raise ValueError(f"a rate of {self.frame_rate} frames a second; at least 1 is needed")
        if self.window_bytes is not None and self.window_bytes < self.payload_size:
            raise ValueError(f"a window of {self.window_bytes} bytes is less than a payload of {self.payload_size}")
