"""The agent's side of the handshake, for the sandbox and for tests that need a peer (spec 5)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.dataclass import dataclass
from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.events import ChannelFailed, DataKeyRequested, SessionStarted
from aws_runas.ssm.core.handshake import (
    CONTEXT_CHALLENGE,
    CONTEXT_SESSION,
    CONTEXT_TARGET,
    Emit,
    HandshakeState,
    Send,
)

if TYPE_CHECKING:
    from aws_runas.ssm.core.encryption import SessionCipher

HANDSHAKE_TIMEOUT = 15.0  # seconds for the client's response, and again for its response to the challenge; spec 5.5
_TIMEOUT_TEXT = (
    "the client did not answer the handshake within 15 seconds; an older session manager plugin may be at work"
)
_RANDOM_CHALLENGE_SIZE = 16  # bytes


@dataclass(frozen=True, slots=True)
class Announcement:
    """Announcement in an agent's handshake request."""

    agent_version: str
    session_type: str
    properties: dict[str, str] | None
    kms_key_id: str
    customer_message: str
    session_id: str
    target: str


class AgentHandshake:
    """Sends the request, checks the response, sends the challenge and completes the handshake.

    Args:
        announcement: see Announcement.
        random_bytes: n -> n random bytes, for challenges and nonces.
        send: queues a payload of the given type.
        emit: passes an event to the owner.
    """

    def __init__(
        self, announcement: Announcement, *, random_bytes: Callable[[int], bytes], send: Send, emit: Emit
    ) -> None:
        self.state = HandshakeState.BEGINNING
        self.cipher: SessionCipher | None = None
        self._announcement = announcement
        self._random_bytes = random_bytes
        self._send = send
        self._emit = emit
        self._random_challenge = ""
        self._challenge = b""
        self._client_version = ""
        self._began = 0.0
        self.deadline: float | None = None

    @property
    def peer_may_be_unready(self) -> bool:
        """False: a client is ready once it has responded."""
        return False

    def begin(self, now: float) -> None:
        """Send the request. Call it once."""
        if self.state is not HandshakeState.BEGINNING or self.deadline is not None:
            return
        announcement = self._announcement
        actions = [
            payloads.RequestedAction(
                payloads.ACTION_SESSION_TYPE,
                {"SessionType": announcement.session_type, "Properties": announcement.properties},
            )
        ]
        if announcement.kms_key_id:
            self._random_challenge = b64encode(self._random_bytes(_RANDOM_CHALLENGE_SIZE)).decode()
            actions.append(
                payloads.RequestedAction(
                    payloads.ACTION_KMS_ENCRYPTION,
                    {"KMSKeyId": announcement.kms_key_id, "Challenge": self._random_challenge},
                )
            )
        request = payloads.HandshakeRequest(announcement.agent_version, actions)
        self._send(payloads.HANDSHAKE_REQUEST, payloads.encode_handshake_request(request))
        self._began = now
        self.deadline = now + HANDSHAKE_TIMEOUT

    def handle_timer(self, now: float) -> None:
        """Check the deadline; see `Handshake.handle_timer`."""
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
            self.state = HandshakeState.FAILED
            raise RemoteProtocolError(_TIMEOUT_TEXT)

    def receive(self, payload_type: int, payload: bytes, now: float) -> None:
        """Process a handshake payload; see `Handshake.receive`."""
        if payload_type == payloads.HANDSHAKE_RESPONSE and self.state is HandshakeState.BEGINNING:
            self._check(payloads.decode_handshake_response(payload), now)
        elif payload_type == payloads.CHALLENGE_RESPONSE and self._challenge and self.cipher is not None:
            if self.cipher.decrypt(payloads.decode_challenge(payload)) != self._challenge:
                raise RemoteProtocolError("the client's answer to the encryption challenge is wrong")
            self._challenge = b""
            self._complete(now)

    def _check(self, response: payloads.HandshakeResponse, now: float) -> None:
        self._client_version = response.client_version
        for action in response.actions:
            if action.status != payloads.STATUS_SUCCESS:
                raise RemoteProtocolError(f"the client refused {action.action_type}: {action.error}")
        if not self._announcement.kms_key_id:
            self._complete(now)
            return
        results = [a.result for a in response.actions if a.action_type == payloads.ACTION_KMS_ENCRYPTION]
        if not results:
            raise RemoteProtocolError("the client did not answer the request for encryption")
        context = {CONTEXT_SESSION: self._announcement.session_id, CONTEXT_TARGET: self._announcement.target}
        if (results[0] or {}).get("ChallengeAcknowledgement") is True:
            context[CONTEXT_CHALLENGE] = self._random_challenge
        blob = payloads.ciphertext_blob_of(results[0])
        self.state = HandshakeState.WAITING_FOR_KEY
        self._emit(DataKeyRequested(self._announcement.kms_key_id, context, blob))

    def refuse_data_key(self, reason: str, now: float) -> None:  # noqa: ARG002 - part of the interface
        """End the handshake, because the data key could not be decrypted."""
        self.state = HandshakeState.FAILED
        self._emit(ChannelFailed(f"the data key could not be decrypted: {reason}"))

    def provide_data_key(self, plaintext: bytes, ciphertext_blob: bytes, now: float) -> None:  # noqa: ARG002
        """Challenge the client with the decrypted data key; see `Handshake.provide_data_key`."""
        from aws_runas.ssm.core.encryption import CHALLENGE_SIZE, SessionCipher, counting_nonces

        if self.state is not HandshakeState.WAITING_FOR_KEY:
            raise LocalProtocolError("no data key was requested")
        self.cipher = SessionCipher(plaintext, is_client=False, next_nonce=counting_nonces(self._random_bytes))
        self.state = HandshakeState.ANSWERED
        self.deadline = now + HANDSHAKE_TIMEOUT
        self._challenge = self._random_bytes(CHALLENGE_SIZE)
        self._send(payloads.CHALLENGE_REQUEST, payloads.encode_challenge(self.cipher.encrypt(self._challenge)))

    def _complete(self, now: float) -> None:
        announcement = self._announcement
        self.state = HandshakeState.COMPLETE
        self.deadline = None
        complete = payloads.HandshakeComplete(round((now - self._began) * 1e9), announcement.customer_message)
        self._send(payloads.HANDSHAKE_COMPLETE, payloads.encode_handshake_complete(complete))
        self._emit(
            SessionStarted(
                announcement.session_type,
                dict(announcement.properties or {}),
                announcement.agent_version,
                announcement.customer_message,
                encrypted=self.cipher is not None,
                client_version=self._client_version,
            )
        )
