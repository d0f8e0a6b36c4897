"""Connects a Channel of either role to the event loop and to one connection at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from aws_runas.ssm.core.channel import Channel
from aws_runas.ssm.core.events import Event
from aws_runas.ssm.core.recovery.flight import Outgoing
from aws_runas.ssm.core.recovery.pacing import MIN_SPACING
from aws_runas.ssm.transport.event_loop import SteadyDownload, exact_timers

AHEAD: Final = 0.0045  # seconds for which messages are prepared ahead: four of five paced messages
KERNEL_SPACING: Final = 2 * MIN_SPACING  # minimum seconds between messages that the kernel spaces; it may halve them
KERNEL_SHARE: Final = 0.9  # of the time between messages; a slower kernel would be behind for the whole upload
FULL_SHARE: Final = 0.75  # of the longest of several messages that each must have, except the last
SPACED_FOR: Final = 0.05  # seconds for which the kernel spaces what is sent after such messages
SOON: Final = 0.01  # seconds; a timer that would fire too early within this time is moved
SAME_TIME: Final = 0.001  # seconds that a timer may be early


class Link(Protocol):
    """A connection that carries the channel's messages."""

    @property
    def writable(self) -> bool:
        """True if the connection accepts more data; if False, ``ChannelDriver.writing_resumed`` is called later."""
        ...

    def send_message(self, message: bytes) -> None:
        """Send one message."""

    def send_messages(self, messages: Sequence[bytes | str]) -> None:
        """Send messages in one write; str as text frames."""

    def send_spaced(self, messages: Sequence[bytes], seconds: float) -> bool:
        """Send messages of about the same size that leave some time apart; return False if that is not possible."""
        ...

    def stop_spacing(self) -> None:
        """Undo send_spaced for what is sent from now on."""

    def pause_reading(self) -> None:
        """Stop reading for now."""

    def resume_reading(self) -> None:
        """Undo pause_reading."""


class ChannelOwner(Protocol):
    """The object that owns a driver. Called on the event loop."""

    def events_received(self, events: list[Event]) -> None:
        """Handle the events of the channel, in order. May call ``ChannelDriver.stop``."""

    def turn_ended(self, now: float) -> None:
        """Handle the end of a turn. Messages are written and the timer is set."""


class ChannelDriver:
    """Runs a Channel: one turn per read, one write per turn, one lazy timer, back-pressure in both directions.

    A turn delivers the events, writes the messages that are due and sets the timer. Messages queued outside a turn are
    written together, in a turn at the end of the caller's loop iteration.

    Args:
        channel: the channel; the driver calls all its methods that take the time.
        owner: receives the events.
    """

    def __init__(self, channel: Channel, owner: ChannelOwner) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._owner = owner
        self._link: Link | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._exact = exact_timers(self._loop)
        self._download = SteadyDownload()
        self._read_at = 0.0  # when a steady download is read next
        self._ahead: deque[Outgoing] = deque()  # messages that are sent without a turn
        self._written = 0  # bytes of the message that the last turn sent last
        self._spaced_until = 0.0  # time until which the kernel spaces messages
        self._turn_due = False
        self._is_turn_owed = False  # the timer takes the turn for messages that have been received
        self._in_turn = False
        self._stopped = False
        self.reading_paused = False
        """True while the local side accepts nothing."""

    # connections

    def connect(self, link: Link, token: str) -> None:
        """Use a connection that has just been opened.

        Args:
            link: connection that carries the channel from now on.
            token: token for the opening message.
        """
        if self._stopped:
            return
        self._link = link
        if self.reading_paused:
            link.pause_reading()
        self._channel.connect(token, self._loop.time())
        self.turn()

    def disconnect(self) -> None:
        """Note that the connection is gone; the channel keeps its state for the next one.

        What was received before is delivered first; that may end the session.
        """
        if self._is_turn_owed and not self._stopped:
            self._deliver(self._loop.time())
        self._link = None
        self._ahead = deque()
        if not self._stopped:
            self._channel.receive_disconnect(self._loop.time())

    def messages_received(self, messages: Sequence[bytes | str]) -> None:
        """Process all messages of one read."""
        if self._stopped:
            return
        now = self._loop.time()
        receive = self._channel.receive_message
        for message in messages:
            receive(message, now)
        exact = self._exact
        if exact is not None:
            self._download.messages_received(len(messages), now)
            rest = self._download.rest(now, exact.data_sent_at)
            if rest > 0:
                self._read_at = now + rest
                exact.read_next_at(self._read_at)
        if self._is_timer_due(now):
            self._is_turn_owed = True
        else:
            self.turn()

    def writing_resumed(self) -> None:
        """Resume sending, because the connection is writable again."""
        self.turn(time_passed=True)

    def pause_reading(self) -> None:
        """Stop reading from this connection and from later ones until resume_reading."""
        self.reading_paused = True
        if self._link is not None:
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """Undo pause_reading."""
        if self.reading_paused:
            self._channel.reading_resumed(self._loop.time())
        self.reading_paused = False
        if self._link is not None:
            self._link.resume_reading()

    def stop(self) -> None:
        """End all activity. The last messages for the peer are written now; the connection stays open."""
        if self._stopped:
            return
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ahead = deque()
        self._write(self._loop.time())
        self._link = None

    # sending

    def send_capacity(self) -> int:
        """Return how many bytes ``send_data`` accepts now; 0 means: wait for SendingUnblocked."""
        return 0 if self._stopped else self._channel.send_capacity(self._loop.time())

    def send_data(self, data: bytes, payload_type: int = 1) -> None:
        """Queue stream data; at most ``send_capacity`` bytes."""
        if not self._stopped:
            now = self._loop.time()
            self._channel.send_data(data, now, payload_type)
            self._data_queued(now)

    def send_message(self, data: bytes) -> None:
        """Queue stream data as exactly one message; see Channel.send_message."""
        if not self._stopped:
            now = self._loop.time()
            self._channel.send_message(data, now)
            self._data_queued(now)

    def send_size(self, columns: int, rows: int) -> None:
        """Queue the terminal size in characters."""
        if not self._stopped:
            self._channel.send_size(columns, rows, self._loop.time())
            self.want_turn()

    def send_flag(self, flag: int) -> None:
        """Queue a flag (spec 4) after the data sent before."""
        if not self._stopped:
            self._channel.send_flag(flag, self._loop.time())
            self.want_turn()

    def send_exit_code(self, exit_code: int) -> None:
        """Queue the exit code of the command (role AGENT)."""
        if not self._stopped:
            self._channel.send_exit_code(exit_code, self._loop.time())
            self.want_turn()

    def send_terminating(self) -> None:
        """Queue the message that ends the session at the service (role AGENT)."""
        if not self._stopped:
            self._channel.send_terminating(self._loop.time())
            self.want_turn()

    def provide_data_key(self, plaintext: bytes, ciphertext_blob: bytes) -> None:
        """Answer DataKeyRequested; see Channel.provide_data_key."""
        if not self._stopped:
            self._channel.provide_data_key(plaintext, ciphertext_blob, self._loop.time())
            self.want_turn()

    def refuse_data_key(self, reason: str) -> None:
        """Answer DataKeyRequested with a refusal; the channel fails."""
        if not self._stopped:
            self._channel.refuse_data_key(reason, self._loop.time())
            self.want_turn()

    def unacknowledged(self) -> int:
        """Return the number of messages that the peer has not acknowledged."""
        return self._channel.unacknowledged()

    # turns

    def _data_queued(self, now: float) -> None:
        if self._exact is not None:
            self._exact.data_sent_at = now
        self.want_turn()

    def want_turn(self) -> None:
        """Schedule a turn at the end of the caller's loop iteration; several calls cause one turn."""
        if not self._turn_due and not self._in_turn:
            self._turn_due = True
            self._loop.call_soon(self.turn)

    def turn(self, *, time_passed: bool = False) -> None:
        """Deliver events, write messages that are due, and set the timer.

        Args:
            time_passed: True if timers of the channel may be due.
        """
        self._turn_due = False
        if self._stopped:
            return
        now = self._loop.time()
        if time_passed:
            self._channel.handle_timer(now)
        self._deliver(now)
        if self._stopped:
            return
        quiet_until = self._channel.quiet_until()
        is_writable = True
        if quiet_until is None or quiet_until <= now:
            is_writable = self._write(now)
            if is_writable:
                self._make_ahead(now)
                quiet_until = self._channel.quiet_until()
        if quiet_until is not None and quiet_until > now:
            self._wake_at(max(quiet_until, self._read_at), now)  # acknowledgements leave with the next read
        elif is_writable:
            self._set_timer(now)
        self._owner.turn_ended(now)

    def _deliver(self, now: float) -> None:
        self._is_turn_owed = False
        self._in_turn = True
        try:
            events = self._channel.events(now)
            if events:
                self._owner.events_received(events)
        finally:
            self._in_turn = False

    def _write(self, now: float) -> bool:
        """Write messages that are due; return True if the connection accepts more."""
        link = self._link
        if link is None:
            return True
        if not link.writable:
            return False
        messages = self._channel.messages_to_send(now)
        self._written = 0
        if messages:
            self._written = len(messages[-1])
            link.send_messages(messages)
            self._channel.messages_written(self._loop.time())
        return link.writable

    def _make_ahead(self, now: float) -> None:
        """Prepare messages that are due soon, and let the loop send each on time without a turn."""
        if self._exact is None or self._link is None or self._ahead:
            return
        if not self._written:
            return  # the next message leaves soon, and begins the next batch
        ahead = self._channel.messages_ahead(now, now + AHEAD)
        if not ahead:
            if now > self._spaced_until:
                self._stop_spacing(self._link)
        elif not self._send_spaced(self._link, ahead, now):
            self._ahead.extend(ahead)
            self._exact.call_exactly(ahead[0].sent_at, partial(self._depart, self._ahead))

    def _send_spaced(self, link: Link, ahead: list[Outgoing], now: float) -> bool:
        """Write the prepared messages at once, and let the kernel space them; return False if it cannot.

        It spaces them by their size, so all but the last must have about the same. A client that is late catches up
        with a shorter spacing; at the kernel, messages would wait for each other then, and all others behind them.
        """
        spacing = (ahead[-1].sent_at - now) / len(ahead)
        if spacing < KERNEL_SPACING:
            self._stop_spacing(link)
            return False
        frames = [message.frame for message in ahead]
        full = FULL_SHARE * max(map(len, frames))
        if any(size < full for size in (self._written, *map(len, frames[:-1]))):
            return False
        self._spaced_until = now + SPACED_FOR
        if not link.send_spaced(frames, max(KERNEL_SHARE * spacing, KERNEL_SPACING)):
            return False
        for message in ahead:
            self._channel.departed(message, message.sent_at)
        return True

    def _stop_spacing(self, link: Link) -> None:
        if self._spaced_until:
            self._spaced_until = 0.0
            link.stop_spacing()

    def _depart(self, ahead: deque[Outgoing]) -> None:
        """Send the next message, unless the connection for which it was prepared is lost."""
        if ahead is not self._ahead or not ahead or self._link is None:
            return
        message = ahead.popleft()
        self._link.send_message(message.frame)
        earliest = self._channel.departed(message, self._loop.time())
        if ahead and self._exact is not None:
            self._exact.call_exactly(max(ahead[0].sent_at, earliest), partial(self._depart, ahead))

    def _set_timer(self, now: float) -> None:
        """Set the timer. It is moved only if it must fire earlier; if it fires too early, it is set again.

        While a paced message waits, acknowledgements of earlier ones arrive. If the event loop supports it, they are
        read when that message is sent: one wake-up per message instead of two.
        """
        due = self._channel.next_timer(now)
        if due is None or self._stopped:
            return
        if self._exact is not None and self._channel.next_departure is not None:
            self._exact.rest_until(self._channel.next_departure)
        self._wake_at(max(due, now), now)

    def _wake_at(self, due: float, now: float) -> None:
        """Set the timer. A timer that would fire too early is moved only if it fires soon, to save the wake-up."""
        if self._timer is not None:
            set_for = self._timer.when()
            if set_for <= due and (due - set_for < SAME_TIME or set_for - now > SOON):
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._timer_fired)

    def _is_timer_due(self, now: float) -> bool:
        """Return True if the timer takes a turn in this iteration of the event loop, after all that is read in it.

        What local programs have written then belongs to the messages of that turn.
        """
        is_due = self._timer is not None and self._timer.when() <= now
        return is_due and (self._link is None or self._link.writable)

    def _timer_fired(self) -> None:
        self._timer = None
        if self._link is None or self._link.writable:  # otherwise writing_resumed takes the turn
            self.turn(time_passed=True)
        elif self._is_turn_owed:
            self._deliver(self._loop.time())
