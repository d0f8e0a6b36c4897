"""The client side of the handshake (spec 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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

SESSION_TYPES = ("Standard_Stream", "InteractiveCommands", "NonInteractiveCommands", "Port")


class ClientHandshake:
    """Answers one handshake request, once; a second one is acknowledged and ignored (spec 5.2).

    Args:
        session_id, target: for the encryption context.
        client_version: version reported to the agent.
        random_bytes: n -> n random bytes, for nonces.
        send: queues a payload of the given type.
        emit: passes an event to the owner.
    """

    deadline: float | None = None  # the timeouts of the agent end a handshake that stalls

    def __init__(
        self,
        *,
        session_id: str,
        target: str,
        client_version: str,
        random_bytes: Callable[[int], bytes],
        send: Send,
        emit: Emit,
    ) -> None:
        self.state = HandshakeState.BEGINNING
        self.cipher: SessionCipher | None = None
        self._context = {CONTEXT_SESSION: session_id, CONTEXT_TARGET: target}
        self._client_version = client_version
        self._random_bytes = random_bytes
        self._send = send
        self._emit = emit
        self._processed: list[payloads.ProcessedAction] = []
        self._errors: list[str] = []
        self._key_action = 0
        self._challenged = False
        self._acknowledge_challenge = False
        self._session_type = ""
        self._properties: dict[str, str] = {}
        self._agent_version = ""

    @property
    def peer_may_be_unready(self) -> bool:
        """True once the handshake is complete: the agent may drop the first data."""
        return self.state is HandshakeState.COMPLETE

    def begin(self, now: float) -> None:
        """Do nothing: the agent sends first."""

    def handle_timer(self, now: float) -> None:
        """Do nothing: a client has no deadline."""

    def receive(self, payload_type: int, payload: bytes, now: float) -> None:  # noqa: ARG002 - part of the interface
        """Process a handshake payload; see `Handshake.receive`."""
        if payload_type == payloads.HANDSHAKE_REQUEST:
            if self.state is HandshakeState.BEGINNING:
                self._answer(payloads.decode_handshake_request(payload))
        elif payload_type == payloads.CHALLENGE_REQUEST:
            self._answer_challenge(payload)
        elif payload_type == payloads.HANDSHAKE_COMPLETE:
            self._complete(payloads.decode_handshake_complete(payload))

    def _answer(self, request: payloads.HandshakeRequest) -> None:
        self._agent_version = request.agent_version
        key_request: DataKeyRequested | None = None
        for action in request.actions:
            if action.action_type == payloads.ACTION_SESSION_TYPE:
                self._processed.append(self._accept_session_type(action))
            elif action.action_type == payloads.ACTION_KMS_ENCRYPTION and key_request is None:
                key_request = self._request_key(action)
                self._key_action = len(self._processed)
                self._processed.append(payloads.ProcessedAction(action.action_type, payloads.STATUS_FAILED))
            else:
                self._refuse(
                    action.action_type, payloads.STATUS_UNSUPPORTED, f"unsupported action {action.action_type}"
                )
        if key_request is not None and not self._errors:
            self.state = HandshakeState.WAITING_FOR_KEY
            self._emit(key_request)
            return
        self._respond()

    def _accept_session_type(self, action: payloads.RequestedAction) -> payloads.ProcessedAction:
        session_type, properties = payloads.session_type_of(action)
        if session_type not in SESSION_TYPES:
            error = f"unknown session type {session_type}"
            self._errors.append(error)
            return payloads.ProcessedAction(action.action_type, payloads.STATUS_FAILED, None, error)
        self._session_type, self._properties = session_type, properties
        return payloads.ProcessedAction(action.action_type, payloads.STATUS_SUCCESS)

    def _request_key(self, action: payloads.RequestedAction) -> DataKeyRequested:
        context = dict(self._context)
        challenge = payloads.text_parameter(action.parameters, "Challenge")
        if challenge:
            context[CONTEXT_CHALLENGE] = challenge  # the base64 text itself; spec 7.2
            self._acknowledge_challenge = True
        return DataKeyRequested(payloads.text_parameter(action.parameters, "KMSKeyId"), context)

    def _refuse(self, action_type: str, status: int, error: str) -> None:
        self._processed.append(payloads.ProcessedAction(action_type, status, None, error))
        self._errors.append(error)

    def _respond(self) -> None:
        response = payloads.HandshakeResponse(self._client_version, self._processed, self._errors)
        self._send(payloads.HANDSHAKE_RESPONSE, payloads.encode_handshake_response(response))
        self.state = HandshakeState.ANSWERED
        if self._errors:
            # the agent ends the session at any status other than success; report the reason instead of waiting
            self.state = HandshakeState.FAILED
            self._emit(
                ChannelFailed(
                    "the agent requested actions that this client does not support: " + "; ".join(self._errors)
                )
            )

    def provide_data_key(self, plaintext: bytes, ciphertext_blob: bytes, now: float) -> None:  # noqa: ARG002
        """Answer the agent with the encrypted data key; see `Handshake.provide_data_key`."""
        from aws_runas.ssm.core.encryption import SessionCipher, random_nonces

        if self.state is not HandshakeState.WAITING_FOR_KEY:
            raise LocalProtocolError("no data key was requested")
        self.cipher = SessionCipher(plaintext, is_client=True, next_nonce=random_nonces(self._random_bytes))
        self._processed[self._key_action] = payloads.kms_action(
            ciphertext_blob, acknowledge_challenge=self._acknowledge_challenge
        )
        self._respond()

    def refuse_data_key(self, reason: str, now: float) -> None:  # noqa: ARG002
        """Report to the agent that there is no key, and end the handshake; see `Handshake.refuse_data_key`."""
        if self.state is not HandshakeState.WAITING_FOR_KEY:
            raise LocalProtocolError("no data key was requested")
        error = f"no data key for this encrypted session: {reason}"
        self._processed[self._key_action] = payloads.ProcessedAction(
            payloads.ACTION_KMS_ENCRYPTION, payloads.STATUS_FAILED, None, error
        )
        self._errors.append(error)
        self._respond()

    def _answer_challenge(self, payload: bytes) -> None:
        if self.cipher is None:
            raise RemoteProtocolError("the agent sent an encryption challenge before the keys were settled")
        plaintext = self.cipher.decrypt(payloads.decode_challenge(payload))
        self._challenged = True
        self._send(payloads.CHALLENGE_RESPONSE, payloads.encode_challenge(self.cipher.encrypt(plaintext)))

    def _complete(self, complete: payloads.HandshakeComplete) -> None:
        if self.state is HandshakeState.COMPLETE:
            return
        if self.state is not HandshakeState.ANSWERED:
            raise RemoteProtocolError("the agent ended the handshake before it had received our answer")
        if self.cipher is not None and not self._challenged:
            raise RemoteProtocolError("the agent ended the handshake without proving that it has the data key")
        self.state = HandshakeState.COMPLETE
        self._emit(
            SessionStarted(
                self._session_type,
                self._properties,
                self._agent_version,
                complete.customer_message,
                encrypted=self.cipher is not None,
            )
        )
