"""One stream of a smux session: what waits to be sent, and which ends are closed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from aws_runas.ssm.core.smux import frame


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream (side SERVER): answer with data, or with close_stream where it is not wanted."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamDataReceived:
    """Bytes of one stream, in order. The owner says data_delivered once they have gone on to their reader."""

    stream_id: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamFinished:
    """The peer sent FIN: no more data comes on this stream. A peer of Amazon's takes none any more either."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamUnblocked:
    """send_capacity of this stream was zero and there is room again."""

    stream_id: int


Event = StreamOpened | StreamDataReceived | StreamFinished | StreamUnblocked


@dataclass(slots=True, eq=False)
class Stream:
    """The state of one stream. Both ends close on their own; it is forgotten when both have.

    Args:
        stream_id: its number.
        opening: our SYN is still to be sent.
    """

    stream_id: int
    opening: bool = False
    closing: bool = False  # our FIN follows the queued data
    fin_sent: bool = False
    fin_received: bool = False
    undelivered: int = 0  # bytes handed to the owner that have not reached their reader
    blocked: bool = False  # the owner found no room and waits for StreamUnblocked
    queued: int = 0
    _chunks: deque[memoryview] = field(default_factory=deque)

    def queue(self, data: bytes) -> None:
        """Add data to what waits to be sent."""
        if data:
            self._chunks.append(memoryview(data))
            self.queued += len(data)

    def discard_queue(self) -> None:
        """Forget what waits to be sent."""
        self._chunks.clear()
        self.queued = 0

    def wants_to_send(self) -> bool:
        """Return True if next_bytes would return data, given enough room."""
        return self.opening or self.queued > 0 or (self.closing and not self.fin_sent)

    def next_bytes(self, room: int, frame_data: int) -> bytes:
        """Take what goes out in one turn: SYN when due, one PSH frame, FIN when nothing is left before it.

        Args:
            room: bytes to return at most.
            frame_data: bytes of data to put into one frame at most.
        """
        parts: list[bytes | memoryview] = []
        if self.opening and room >= frame.HEADER_LENGTH:
            self.opening = False
            parts.append(frame.encode(frame.SYN, self.stream_id))
            room -= frame.HEADER_LENGTH
        length = min(room - frame.HEADER_LENGTH, frame_data, self.queued)
        if length > 0 and not self.opening:
            parts.append(frame.encode(frame.PSH, self.stream_id, self._take(length)))
            room -= frame.HEADER_LENGTH + length
        if self.closing and not (self.fin_sent or self.opening or self.queued) and room >= frame.HEADER_LENGTH:
            self.fin_sent = True
            parts.append(frame.encode(frame.FIN, self.stream_id))
        return b"".join(parts)

    def _take(self, length: int) -> bytes:
        self.queued -= length
        first = self._chunks[0]
        if len(first) > length:
            self._chunks[0] = first[length:]
            return bytes(first[:length])
        taken: list[memoryview] = []
        while length:
            chunk = self._chunks.popleft()
            if len(chunk) > length:
                self._chunks.appendleft(chunk[length:])
                chunk = chunk[:length]
            taken.append(chunk)
            length -= len(chunk)
        return b"".join(taken)
