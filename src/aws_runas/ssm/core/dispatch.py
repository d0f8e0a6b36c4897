"""Interpretation of messages delivered in order: stream data, sizes, flags and handshake payloads (spec 4)."""

from __future__ import annotations

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.errors import RemoteProtocolError
from aws_runas.ssm.core.events import (
    DataReceived,
    ExitCodeReceived,
    FlagReceived,
    SessionStarted,
    SizeReceived,
)
from aws_runas.ssm.core.handshake import Emit, Handshake, HandshakeState
from aws_runas.ssm.core.message import Message
from aws_runas.ssm.core.settings import Role

PLAIN_SESSION_TYPE = "Standard_Stream"  # type of a session without a handshake


class Dispatcher:
    """Turns messages delivered in order into events.

    Args:
        expects_handshake: role AGENT: input before the end of the handshake is discarded, as in official agents.
    """

    def __init__(self, role: Role, handshake: Handshake, emit: Emit, *, expects_handshake: bool) -> None:
        self._is_client = role is Role.CLIENT
        self._handshake = handshake
        self._emit = emit
        self._started = not self._is_client and not expects_handshake

    def expect_handshake(self) -> None:
        """Note that the session has a handshake after all, contrary to `assume_started`."""
        self._started = False

    def assume_started(self) -> None:
        """Assume that the session has no handshake, because the peer is silent."""
        self._started = True

    def dispatch(self, message: Message, now: float) -> None:
        """Handle a message.

        Raises:
            RemoteProtocolError: the session cannot continue.
        """
        payload_type, payload = message.payload_type, message.payload
        if payload_type in payloads.HANDSHAKE_TYPES:
            self._take_handshake(payload_type, payload, now)
            return
        if not self._started and not self._start():
            return
        cipher = self._handshake.cipher
        if cipher is not None and payload_type in payloads.ENCRYPTED_TYPES:
            payload = cipher.decrypt(payload)
        if payload_type in payloads.DATA_TYPES:
            if payload:
                self._emit(DataReceived(payload, payload_type))
        elif payload_type == payloads.FLAG:
            self._emit(FlagReceived(payloads.decode_flag(payload)))
        elif payload_type == payloads.EXIT_CODE:
            if self._is_client:
                self._emit(ExitCodeReceived(payloads.decode_exit_code(payload)))
        elif payload_type == payloads.SIZE and not self._is_client:
            self._emit(SizeReceived(*payloads.decode_size(payload)))
        # other types are unknown: acknowledged and ignored, as official peers do (spec 4.1)

    def _take_handshake(self, payload_type: int, payload: bytes, now: float) -> None:
        if not (self._is_client and self._started):
            self._handshake.receive(payload_type, payload, now)
        if self._handshake.state is HandshakeState.COMPLETE:
            self._started = True

    def _start(self) -> bool:
        """Handle data before the end of the handshake; return True if it may be delivered."""
        if not self._is_client:
            return False  # acknowledged and discarded, as in official agents; spec 5.3
        state = self._handshake.state
        if state is HandshakeState.BEGINNING:
            self._started = True
            self._emit(SessionStarted(PLAIN_SESSION_TYPE, {}, ""))
            return True
        if state is HandshakeState.WAITING_FOR_KEY:
            raise RemoteProtocolError("the agent sent data in the clear in a session that is to be encrypted")
        return True
