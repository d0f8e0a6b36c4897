"""The start of data flow: after the handshake, at the first output, or after a silence without either (spec 5)."""

from __future__ import annotations

from aws_runas.ssm.core import payloads
from aws_runas.ssm.core.dispatch import PLAIN_SESSION_TYPE, Dispatcher
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.core.handshake import Emit
from aws_runas.ssm.core.sending import Sender
from aws_runas.ssm.core.state import Lifecycle, Trigger

KEPT_LIMIT = 64 * 1024  # maximum bytes sent on the assumption that there is no handshake; limit 15.9
SETTLED_AFTER = 5.0  # seconds without a handshake after an acknowledgement that confirm the assumption; spec 5.7


class SessionStart:
    """Starts sending, with the terminal size first, and may assume a session without a handshake.

    A command that prints nothing and waits for input gives no sign that it has started. After a silence, input is sent
    to it anyway, but also kept: if a handshake arrives after all, the agent has discarded that input, and it is sent
    again (spec 5.7).

    Args:
        assume_after: seconds of silence; None to never assume this.
    """

    def __init__(
        self, life: Lifecycle, sender: Sender, dispatcher: Dispatcher, emit: Emit, assume_after: float | None
    ) -> None:
        self._life = life
        self._sender = sender
        self._dispatcher = dispatcher
        self._emit = emit
        self._assume_after = assume_after
        self._size: bytes | None = None
        self._announced = False  # the owner has been notified of a start
        self.deadline: float | None = None

    def peer_may_be_there(self, now: float) -> None:
        """Start to measure the silence: a connection was opened, or the service reports that the other side has one."""
        if self._assume_after is not None and not self._life.open:
            self.deadline = now + self._assume_after

    def set_size(self, size: bytes) -> None:
        """Set the terminal size. Before the start, only the last size is kept."""
        self._size = size
        if self._life.open:
            self._sender.queue_control(payloads.SIZE, size)

    def started(self, *, unready: bool) -> bool:
        """Start the session; return False if the owner was already notified of a start.

        Args:
            unready: True if the agent may not be ready for data yet; spec 5.6.
        """
        announced, self._announced = self._announced, True
        if not self._life.open or (self._life.assumed and announced):  # otherwise this is the assumed start itself
            self._life.apply(Trigger.STARTED)
        if unready:
            self._sender.expect_unready_peer()
        if self._size is not None:
            self._sender.queue_control(payloads.SIZE, self._size, first=True)
        self._drop_kept()
        return not announced

    def acknowledged(self, now: float) -> None:
        """Note that the agent has received a message: a handshake would have arrived by now, or arrives soon."""
        if self._life.assumed and self.deadline is None:
            self.deadline = now + SETTLED_AFTER

    def received(self, payload_type: int) -> None:
        """Check the assumption against a message from the agent."""
        if payload_type == payloads.HANDSHAKE_REQUEST:
            self._assume_after = self.deadline = None  # there is a handshake, regardless of how long it takes
        if not self._life.assumed:
            return
        if payload_type == payloads.HANDSHAKE_REQUEST:
            self._life.apply(Trigger.HANDSHAKE_ARRIVED)
            self._sender.resend_kept()
            self._dispatcher.expect_handshake()
        elif payload_type not in payloads.HANDSHAKE_TYPES:
            self._confirm()
            if self._size is not None:  # the first size may have arrived before the agent started the session
                self._sender.queue_control(payloads.SIZE, self._size)

    def handle_timer(self, now: float) -> None:
        """Assume the start after the silence, or confirm the assumption if nothing has contradicted it."""
        if self.deadline is None or now < self.deadline:
            return
        if self._life.assumed:
            self._confirm()
        elif not self._life.open:
            self._dispatcher.assume_started()
            self._life.apply(Trigger.SILENCE)
            self._emit(SessionStarted(PLAIN_SESSION_TYPE, {}, ""))
            self._sender.keep_for_resend()

    def capacity(self) -> int | None:
        """Return how many more bytes may be sent on the assumption, None if nothing is assumed."""
        if not self._life.assumed:
            return None
        return KEPT_LIMIT - self._sender.kept_bytes - self._sender.pending_bytes

    def _confirm(self) -> None:
        self._life.apply(Trigger.CONFIRMED)
        self._drop_kept()

    def _drop_kept(self) -> None:
        self.deadline = None
        self._sender.drop_kept()
