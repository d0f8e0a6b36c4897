"""When data may flow: after the handshake, at the first output, or after a silence that tells of neither (spec 5)."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.agent_handshake import AgentHandshake, Announcement
from aws_runas.ssm.core.dispatch import PLAIN_SESSION_TYPE, Inbox
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.core.handshake import ClientHandshake, Emit, Send
from aws_runas.ssm.core.sending import Sender
from aws_runas.ssm.core.settings import ChannelSettings, Role

KEPT_LIMIT = 64 * 1024  # bytes sent on the assumption that there is no handshake; limit 15.9
SETTLED_AFTER = 5.0  # seconds without a handshake after an acknowledgement: the assumption was right; spec 5.7


class Start:
    """Opens the sender, tells the terminal's size first, and may assume a session without handshake.

    A command that prints nothing and waits for input gives no sign that it has begun. After a silence, input is sent to
    it all the same, but kept: should a handshake come after all, the agent has thrown that input away, and it is sent
    again (spec 5.7).

    Args:
        assume_after: seconds of silence, None never to assume anything.
    """

    def __init__(self, sender: Sender, inbox: Inbox, emit: Emit, assume_after: float | None) -> None:
        self._sender = sender
        self._inbox = inbox
        self._emit = emit
        self._assume_after = assume_after
        self._size: bytes | None = None
        self._assumed = False
        self.deadline: float | None = None

    def peer_may_be_there(self, now: float) -> None:
        """A connection was made, or the other side is said to have one: the silence begins."""
        if self._assume_after is not None and not self._sender.open and not self._assumed:
            self.deadline = now + self._assume_after

    def set_size(self, size: bytes) -> None:
        """The terminal's size; before the start the last one waits."""
        self._size = size
        if self._sender.open:
            self._sender.queue_control(payloads.SIZE, size)

    def started(self, *, unready: bool) -> bool:
        """The session has started. Returns False where the owner believes that already.

        Args:
            unready: the agent may not be ready for data yet; spec 5.6.
        """
        self._sender.open = True
        if unready:
            self._sender.expect_unready_peer()
        if self._size is not None:
            self._sender.queue_control(payloads.SIZE, self._size, first=True)
        believed = self._assumed
        self._settle()
        return not believed

    def acknowledged(self, now: float) -> None:
        """The agent has something that was sent: a handshake would have come by now, or comes soon."""
        if self._assumed and self.deadline is None:
            self.deadline = now + SETTLED_AFTER

    def heard(self, payload_type: int) -> None:
        """The agent speaks, perhaps at last."""
        if not self._assumed or not self._sender.open:
            return
        if payload_type == payloads.HANDSHAKE_REQUEST:
            self._sender.open = False
            self._sender.queue_kept_again()
            self._inbox.expect_handshake()
            self.deadline = None
        elif payload_type not in payloads.HANDSHAKE_TYPES:
            self._settle()
            if self._size is not None:  # the first may have come before the agent's start
                self._sender.queue_control(payloads.SIZE, self._size)

    def handle_timer(self, now: float) -> None:
        """The silence has lasted, or nothing has contradicted the assumption for long enough."""
        if self.deadline is None or now < self.deadline:
            return
        if self._assumed:
            self._settle()
        elif not self._sender.open:
            self._inbox.assume_started()
            self._emit(SessionStarted(PLAIN_SESSION_TYPE, {}, ""))
            self._sender.keep()
            self._assumed = True

    def capacity(self) -> int | None:
        """Bytes that may be sent on the assumption, None where there is none."""
        if not self._assumed:
            return None
        return KEPT_LIMIT - self._sender.kept_bytes - self._sender.pending_bytes

    def _settle(self) -> None:
        self._assumed = False
        self.deadline = None
        self._sender.forget_kept()


def make_handshake(
    role: Role,
    settings: ChannelSettings,
    *,
    session_id: str,
    target: str,
    random_bytes: Callable[[int], bytes],
    send: Send,
    emit: Emit,
) -> ClientHandshake | AgentHandshake:
    """The handshake of a role."""
    if role is Role.CLIENT:
        return ClientHandshake(
            session_id=session_id,
            target=target,
            client_version=settings.client_version,
            random_bytes=random_bytes,
            send=send,
            emit=emit,
        )
    announcement = Announcement(
        settings.agent_version,
        settings.session_type,
        settings.properties,
        settings.kms_key_id,
        settings.customer_message,
        session_id,
        target,
    )
    return AgentHandshake(announcement, random_bytes=random_bytes, send=send, emit=emit)


def is_unready(handshake: object) -> bool:
    """Whether the peer may drop the first data: an agent right after a handshake."""
    return isinstance(handshake, ClientHandshake) and handshake.done
