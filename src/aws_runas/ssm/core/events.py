"""Events of a channel, named in the past tense. Match on them and end in ``assert_never``."""

from __future__ import annotations

from dataclasses import field

from aws_runas.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class DataKeyRequested:
    """The agent wants an encrypted session. Answer with Channel.provide_data_key or Channel.refuse_data_key (spec 7).

    Args:
        kms_key_id: from the agent's request.
        encryption_context: for GenerateDataKey (client) or Decrypt (agent).
        ciphertext_blob: role AGENT only: the key to decrypt.
    """

    kms_key_id: str
    encryption_context: dict[str, str]
    ciphertext_blob: bytes = b""


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """Data may flow: the handshake is complete or, in plain shells without one, the first output has arrived.

    Args:
        session_type: ``Port``, ``Standard_Stream``, ``InteractiveCommands``, ``NonInteractiveCommands``.
        properties: properties of the document; all values are strings.
        agent_version: dotted version, "" without a handshake.
        customer_message: message to show to the user, "" for none.
        encrypted: True if the session uses KMS encryption.
        client_version: role AGENT only, "" without a handshake.
    """

    session_type: str
    properties: dict[str, str]
    agent_version: str
    customer_message: str = ""
    encrypted: bool = False
    client_version: str = ""


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes of the stream, in order and without duplicates.

    Args:
        data: decrypted bytes.
        payload_type: 1 output (or input, for the role AGENT), 11 standard error.
    """

    data: bytes = field(repr=False)
    payload_type: int = 1


@dataclass(frozen=True, slots=True)
class ExitCodeReceived:
    """The remote command ended with this status."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class SizeReceived:
    """The size of the client's terminal (role AGENT only)."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class FlagReceived:
    """1 DisconnectToPort, 2 TerminateSession (both to the agent), 3 ConnectToPortError (to the client)."""

    flag: int


@dataclass(frozen=True, slots=True)
class PublicationPaused:
    """The service paused the channel: the other side is away or accepts no more data."""


@dataclass(frozen=True, slots=True)
class PublicationResumed:
    """The other side is back."""


@dataclass(frozen=True, slots=True)
class SendingUnblocked:
    """Channel.send_capacity() was 0 and is above 0 again."""


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """The service has ended the session.

    Args:
        output: reason from the service, "" at a regular end.
        end_may_be_missing: a connection was lost shortly before, and no later message shows that the agent has resent
            everything.
        did_not_wait: the agent ended the session so soon that all of its messages must have been acknowledged, unless
            it is an agent that does not wait for acknowledgements (spec 8.10).
    """

    output: str
    end_may_be_missing: bool = False
    did_not_wait: bool = False


@dataclass(frozen=True, slots=True)
class ChannelFailed:
    """The session cannot continue: a protocol error, a limit or a wrong key. Nothing is delivered after it.

    Args:
        reason: one line for the user.
    """

    reason: str


Event = (
    DataKeyRequested
    | SessionStarted
    | DataReceived
    | ExitCodeReceived
    | SizeReceived
    | FlagReceived
    | PublicationPaused
    | PublicationResumed
    | SendingUnblocked
    | ChannelClosed
    | ChannelFailed
)
