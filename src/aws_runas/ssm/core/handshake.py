"""What the two ends settle before data flows: session type, versions, encryption (spec 5): the client's side."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.events import ChannelFailed, DataKeyRequested, Event, SessionStarted

if TYPE_CHECKING:
    from aws_runas.ssm.core.encryption import SessionCipher

SESSION_TYPES = ("Standard_Stream", "InteractiveCommands", "NonInteractiveCommands", "Port")
CONTEXT_SESSION = "aws:ssm:SessionId"
CONTEXT_TARGET = "aws:ssm:TargetId"
CONTEXT_CHALLENGE = "aws:ssm:RandomChallenge"

Send = Callable[[int, bytes], None]
Emit = Callable[[Event], None]


class State(Enum):
    """How far a handshake is."""

    BEGINNING = auto()  # nothing was said yet
    WAITING_FOR_KEY = auto()  # our owner has been asked for the data key
    ANSWERED = auto()  # the client's answer is on its way
    COMPLETE = auto()
    FAILED = auto()


class ClientHandshake:
    """Answers one handshake request, once; a second one is none of its business (spec 5.2).

    Args:
        send: queues a payload of a type; emit: tells the owner.
    """

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
        self.state = State.BEGINNING
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
    def done(self) -> bool:
        """Whether there was a handshake and it is complete."""
        return self.state is State.COMPLETE

    def receive(self, payload_type: int, payload: bytes) -> None:
        """Take a handshake payload that is next in order.

        Raises:
            RemoteProtocolError: the handshake cannot go on.
        """
        if payload_type == payloads.HANDSHAKE_REQUEST:
            if self.state is State.BEGINNING:
                self._answer(payloads.decode_handshake_request(payload))
        elif payload_type == payloads.CHALLENGE_REQUEST:
            self._meet_challenge(payload)
        elif payload_type == payloads.HANDSHAKE_COMPLETE:
            self._complete(payloads.decode_handshake_complete(payload))

    def _answer(self, request: payloads.HandshakeRequest) -> None:
        self._agent_version = request.agent_version
        key_request: DataKeyRequested | None = None
        for action in request.actions:
            if action.action_type == payloads.ACTION_SESSION_TYPE:
                self._processed.append(self._take_session_type(action))
            elif action.action_type == payloads.ACTION_KMS_ENCRYPTION and key_request is None:
                key_request = self._ask_for_key(action)
                self._key_action = len(self._processed)
                self._processed.append(payloads.ProcessedAction(action.action_type, payloads.STATUS_FAILED))
            else:
                self._refuse(
                    action.action_type, payloads.STATUS_UNSUPPORTED, f"unsupported action {action.action_type}"
                )
        if key_request is not None and not self._errors:
            self.state = State.WAITING_FOR_KEY
            self._emit(key_request)
            return
        self._respond()

    def _take_session_type(self, action: payloads.RequestedAction) -> payloads.ProcessedAction:
        session_type, properties = payloads.session_type_of(action)
        if session_type not in SESSION_TYPES:
            error = f"unknown session type {session_type}"
            self._errors.append(error)
            return payloads.ProcessedAction(action.action_type, payloads.STATUS_FAILED, None, error)
        self._session_type, self._properties = session_type, properties
        return payloads.ProcessedAction(action.action_type, payloads.STATUS_SUCCESS)

    def _ask_for_key(self, action: payloads.RequestedAction) -> DataKeyRequested:
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
        self.state = State.ANSWERED
        if self._errors:
            # the agent ends the session at any status but success; say why instead of waiting for that
            self.state = State.FAILED
            self._emit(ChannelFailed("the agent asked for what this client cannot do: " + "; ".join(self._errors)))

    def provide_data_key(self, plaintext: bytes, ciphertext_blob: bytes) -> None:
        """The owner has the data key."""
        from aws_runas.ssm.core.encryption import SessionCipher, random_nonces

        if self.state is not State.WAITING_FOR_KEY:
            raise LocalProtocolError("no data key was asked for")
        self.cipher = SessionCipher(plaintext, is_client=True, next_nonce=random_nonces(self._random_bytes))
        self._processed[self._key_action] = payloads.kms_action(
            ciphertext_blob, acknowledge_challenge=self._acknowledge_challenge
        )
        self._respond()

    def refuse_data_key(self, reason: str) -> None:
        """The owner could not get the data key."""
        if self.state is not State.WAITING_FOR_KEY:
            raise LocalProtocolError("no data key was asked for")
        error = f"no data key for this encrypted session: {reason}"
        self._processed[self._key_action] = payloads.ProcessedAction(
            payloads.ACTION_KMS_ENCRYPTION, payloads.STATUS_FAILED, None, error
        )
        self._errors.append(error)
        self._respond()

    def _meet_challenge(self, payload: bytes) -> None:
        if self.cipher is None:
            raise RemoteProtocolError("the agent sent an encryption challenge before the keys were settled")
        plaintext = self.cipher.decrypt(payloads.decode_challenge(payload))
        self._challenged = True
        self._send(payloads.CHALLENGE_RESPONSE, payloads.encode_challenge(self.cipher.encrypt(plaintext)))

    def _complete(self, complete: payloads.HandshakeComplete) -> None:
        if self.state is State.COMPLETE:
            return
        if self.state is not State.ANSWERED:
            raise RemoteProtocolError("the agent ended the handshake before it had our answer")
        if self.cipher is not None and not self._challenged:
            raise RemoteProtocolError("the agent ended the handshake without proving that it has the data key")
        self.state = State.COMPLETE
        self._emit(
            SessionStarted(
                self._session_type,
                self._properties,
                self._agent_version,
                complete.customer_message,
                encrypted=self.cipher is not None,
            )
        )
