"""Handshake before data flows: session type, versions, encryption (spec 5). Also the opening messages (spec 1).

`Handshake` has the same methods for both roles; client_handshake.py and agent_handshake.py implement it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from aws_runas.ssm.core.events import Event
from aws_runas.ssm.core.message import AGENT_SESSION_STATE, Message, encode_message

if TYPE_CHECKING:
    from aws_runas.ssm.core.encryption import SessionCipher

CONTEXT_SESSION = "aws:ssm:SessionId"
CONTEXT_TARGET = "aws:ssm:TargetId"
CONTEXT_CHALLENGE = "aws:ssm:RandomChallenge"

CONNECTED = "Connected"  # session states that an agent reports
TERMINATING = "Terminating"

Send = Callable[[int, bytes], None]  # payload type, payload
Emit = Callable[[Event], None]


class HandshakeState(Enum):
    """The progress of a handshake."""

    BEGINNING = auto()  # nothing was received
    WAITING_FOR_KEY = auto()  # the owner has been asked for the data key
    ANSWERED = auto()  # this side has responded and waits for the peer
    COMPLETE = auto()
    FAILED = auto()


class Handshake(Protocol):
    """One side of the handshake.

    Attributes:
        state: progress of the handshake.
        cipher: encrypts and decrypts once the keys are known; None before, and in sessions without encryption.
        deadline: when to call `handle_timer`, monotonic seconds; None if nothing is awaited.
        peer_may_be_unready: the handshake is complete, and the peer may drop the first data (spec 5.6).
    """

    state: HandshakeState
    cipher: SessionCipher | None
    deadline: float | None

    @property
    def peer_may_be_unready(self) -> bool: ...

    def begin(self, now: float) -> None:
        """Send the first payload of this role, if it has one. Call it once.

        Args:
            now: monotonic seconds.
        """

    def receive(self, payload_type: int, payload: bytes, now: float) -> None:
        """Process a handshake payload that is next in order.

        Args:
            payload_type: payload type of the message, spec 4.
            payload: JSON, or the encrypted challenge.
            now: monotonic seconds.

        Raises:
            RemoteProtocolError: the handshake cannot continue.
        """

    def provide_data_key(self, plaintext: bytes, ciphertext_blob: bytes, now: float) -> None:
        """Answer DataKeyRequested.

        Args:
            plaintext: the 64-byte key; a secret.
            ciphertext_blob: the same key, encrypted by KMS.
            now: monotonic seconds.

        Raises:
            LocalProtocolError: no key was requested.
        """

    def refuse_data_key(self, reason: str, now: float) -> None:
        """Answer DataKeyRequested if KMS refused.

        Raises:
            LocalProtocolError: no key was requested.
        """

    def handle_timer(self, now: float) -> None:
        """Check the deadline.

        Raises:
            RemoteProtocolError: the deadline has passed.
        """


def client_opening(token: str, request_id: str, client_id: str, client_version: str) -> str:
    """Return OpenDataChannelInput of a client: a text frame that contains a secret (spec 1.2).

    Args:
        token: token from StartSession or ResumeSession; a secret that is valid for one connection.
        request_id: UUID, new for each connection.
        client_id: UUID of the channel, the same for all its connections.
        client_version: version that the client reports.
    """
    return _dump(
        {
            "MessageSchemaVersion": "1.0",
            "RequestId": request_id,
            "TokenValue": token,
            "ClientId": client_id,
            "ClientVersion": client_version,
        }
    )


def agent_opening(token: str, request_id: str, client_id: str, instance_id: str) -> str:
    """Return OpenDataChannelInput of an agent; see `client_opening`.

    Args:
        token: token of the agent's connection; a secret.
        request_id: UUID, new for each connection.
        client_id: UUID of the channel, the same for all its connections.
        instance_id: instance on which the agent runs.
    """
    return _dump(
        {
            "MessageSchemaVersion": "1.0",
            "RequestId": request_id,
            "TokenValue": token,
            "ClientInstanceId": instance_id,
            "ClientId": client_id,
        }
    )


def session_state(state: str, session_id: str, message_id: bytes, created_date: int) -> bytes:
    """Return an agent_session_state message, which the service does not forward to the client (spec 3.4).

    Args:
        state: such as ``Connected`` or ``Terminating``.
        session_id: id of the session.
        message_id: UUID, 16 bytes.
        created_date: milliseconds since the epoch.
    """
    payload = _dump({"SchemaVersion": 1, "SessionState": state, "SessionId": session_id}).encode()
    return encode_message(
        Message(AGENT_SESSION_STATE, payload=payload, message_id=message_id, created_date=created_date)
    )


def _dump(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
