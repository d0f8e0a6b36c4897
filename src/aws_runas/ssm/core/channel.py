"""The data channel, both roles, without I/O and without a clock. INTERFACE: the bodies follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from aws_runas.ssm.core.events import Event


class Role(Enum):
    """Which end of the channel this is."""

    CLIENT = "client"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What a channel may do; the defaults are those for the real service (spec 13.2).

    Args:
        payload_size: bytes of stream data in one message.
        frame_rate: frames a second over everything sent, None for no pacing.
        window_bytes: unacknowledged payload bytes at most, while paced.
        acknowledge_delay: seconds to hold acknowledgements of output back (spec 14.1).
        agent_version, session_type, properties, kms_key_id, handshake, customer_message: what the role AGENT announces.
    """

    payload_size: int = 1024
    frame_rate: float | None = 900.0
    window_bytes: int | None = 256 * 1024
    acknowledge_delay: float = 0.005
    client_version: str = "1.2.764.0"
    agent_version: str = "3.3.0.0"
    session_type: str = "Standard_Stream"
    properties: dict[str, str] | None = None
    kms_key_id: str = ""
    handshake: bool = True
    customer_message: str = ""


class Channel:
    """One data channel that outlives its connections.

    Args:
        role: CLIENT or AGENT.
        session_id, target: for the encryption context.
        settings: see ChannelSettings.
        random_bytes: n -> n random bytes; message ids, nonces and challenges come from here.
        wall_clock: milliseconds since the epoch, for CreatedDate and nothing else.
    """

    def __init__(
        self,
        role: Role,
        *,
        session_id: str,
        target: str,
        settings: ChannelSettings,
        random_bytes: Callable[[int], bytes],
        wall_clock: Callable[[], int],
    ) -> None:
        raise NotImplementedError

    # connections
    def connect(self, token: str, now: float) -> None:
        """A new connection is open: queue the opening text frame, then whatever was not acknowledged."""

    def receive_disconnect(self, now: float) -> None:
        """The connection is gone; state and buffers live on until connect is called again."""

    # receiving
    def receive_message(self, data: bytes | str, now: float) -> None:
        """Take one whole WebSocket message. Raises nothing: what is wrong is ignored or becomes ChannelFailed."""

    def events(self) -> list[Event]:
        """Everything that happened since the last call, in order."""
        raise NotImplementedError

    # sending
    def send_capacity(self) -> int:
        """Bytes that send_data takes now; 0: wait for SendingUnblocked."""
        raise NotImplementedError

    def send_data(self, data: bytes, now: float, payload_type: int = 1) -> None:
        """Queue stream data, cut into messages. Raises LocalProtocolError beyond send_capacity."""

    def send_size(self, columns: int, rows: int, now: float) -> None:
        """Tell the agent the terminal's size."""

    def send_flag(self, flag: int, now: float) -> None:
        """Send 1 DisconnectToPort, 2 TerminateSession or, as agent, 3 ConnectToPortError; behind earlier data."""

    def send_exit_code(self, exit_code: int, now: float) -> None:
        """Role AGENT: tell the command's status."""

    def provide_data_key(self, plaintext: bytes, ciphertext_blob: bytes, now: float) -> None:
        """Answer DataKeyRequested: 64 bytes of key, and as client what goes to the agent."""

    def refuse_data_key(self, reason: str, now: float) -> None:
        """Answer DataKeyRequested when KMS would not."""

    # output and time
    def messages_to_send(self, now: float) -> list[bytes | str]:
        """WebSocket messages due now, as far as pacing allows; str is a text frame, bytes a binary one."""
        raise NotImplementedError

    def next_timer(self) -> float | None:
        """When handle_timer wants to be called, in the same seconds as now; None while there is nothing to wait for."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """Time has passed: resends, late acknowledgements, tokens of the pacer."""

    # inspection
    def unacknowledged(self) -> int:
        """Messages sent or queued that the peer has not acknowledged; 0: everything arrived."""
        raise NotImplementedError
