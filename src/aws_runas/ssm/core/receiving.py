"""The receiving half of a channel: order, duplicates, and acknowledgements held back a little (spec 6)."""

from __future__ import annotations

from aws_runas.ssm.core.message import AcknowledgeEncoder, Message

STORED_MESSAGES = 10_000  # out of order; the official client's number; limit 11.3
STORED_BYTES = 16 * 1024 * 1024  # of their payloads; limit 11.4
OWED_ACKNOWLEDGEMENTS = 50_000  # a minute of an official agent's output while nothing may be sent; limit 11.5

_NOTHING: tuple[Message, ...] = ()


class Receiver:
    """Puts numbered messages in order and owes acknowledgements for them.

    Args:
        delay: seconds to hold acknowledgements of data back (spec 6.3).
    """

    def __init__(self, encoder: AcknowledgeEncoder, delay: float) -> None:
        self._encoder = encoder
        self._delay = delay
        self.expected = 0
        self._stored: dict[int, Message] = {}
        self._stored_bytes = 0
        self._owed: dict[int, bytes] = {}  # number -> wire id
        self._owed_at: float | None = None

    @property
    def has_gap(self) -> bool:
        """Whether something is stored that an earlier message is missing before."""
        return bool(self._stored)

    def receive(self, message: Message, now: float) -> tuple[Message, ...] | list[Message]:
        """Take a message; returns those that are next in order, perhaps none."""
        number = message.sequence_number
        if len(self._owed) >= OWED_ACKNOWLEDGEMENTS:
            return _NOTHING  # neither taken nor acknowledged, so it comes again
        if number == self.expected:
            self.expected = number + 1
            self._owe(message, now + self._delay)
            if self._stored:
                return self._drain(message)
            return (message,)
        if number < self.expected:
            if number >= 0:
                self._owe(message, now)  # its acknowledgement was lost, or too early: again, at once (spec 6.2)
            return _NOTHING
        if number in self._stored:
            self._owe(message, now + self._delay)
        elif len(self._stored) < STORED_MESSAGES and self._stored_bytes + len(message.payload) <= STORED_BYTES:
            self._stored[number] = message
            self._stored_bytes += len(message.payload)
            self._owe(message, now + self._delay)
        # else: no room; not acknowledged, so it comes again
        return _NOTHING

    def _drain(self, message: Message) -> list[Message]:
        ready = [message]
        while (following := self._stored.pop(self.expected, None)) is not None:
            self._stored_bytes -= len(following.payload)
            self.expected += 1
            ready.append(following)
        return ready

    def _owe(self, message: Message, due: float) -> None:
        self._owed[message.sequence_number] = message.message_id
        if self._owed_at is None or due < self._owed_at:
            self._owed_at = due

    def hurry(self, now: float) -> None:
        """Acknowledge at once what is owed: it is of the handshake."""
        if self._owed:
            self._owed_at = now

    def due_at(self) -> float | None:
        """When acknowledgements want to leave."""
        return self._owed_at

    def owed(self) -> int:
        """How many acknowledgements are owed."""
        return len(self._owed)

    def acknowledgements_to_send(self, now: float, most: int, created_date: int) -> list[bytes]:
        """All acknowledgements once the oldest is due, at most so many."""
        if self._owed_at is None or now < self._owed_at:
            return []
        encode = self._encoder.encode
        if len(self._owed) <= most:
            frames = [encode(number, message_id, created_date) for number, message_id in self._owed.items()]
            self._owed.clear()
            self._owed_at = None
            return frames
        numbers = list(self._owed)[:most]
        return [encode(number, self._owed.pop(number), created_date) for number in numbers]
