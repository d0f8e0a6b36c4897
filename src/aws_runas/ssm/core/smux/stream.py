"""One stream of a smux session: its send queue, and which ends are closed."""

from __future__ import annotations

from collections import deque
from dataclasses import field

from aws_runas.dataclass import dataclass
from aws_runas.ssm.core.smux import frame


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream (side SERVER): answer with data, or refuse it with close_stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamDataReceived:
    """Bytes of one stream, in order. The owner calls data_delivered once they have reached their reader."""

    stream_id: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamFinished:
    """The peer sent FIN: no more data arrives on this stream. An Amazon agent accepts no more data on it either."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamUnblocked:
    """send_capacity of this stream was 0 and is above 0 again."""

    stream_id: int


Event = StreamOpened | StreamDataReceived | StreamFinished | StreamUnblocked


@dataclass(slots=True, eq=False)
class Stream:
    """The state of one stream. The ends close independently; the stream is dropped when both are closed.

    Args:
        stream_id: id of the stream.
        opening: True if our SYN has not been sent yet.
    """

    stream_id: int
    opening: bool = False
    closing: bool = False  # our FIN follows the queued data
    fin_sent: bool = False
    fin_received: bool = False
    undelivered: int = 0  # bytes handed to the owner that have not reached their reader
    blocked: bool = False  # the owner had no capacity and waits for StreamUnblocked
    queued: int = 0
    _chunks: deque[memoryview] = field(default_factory=deque)

    def queue(self, data: bytes) -> None:
        """Add data to the send queue."""
        if data:
            self._chunks.append(memoryview(data))
            self.queued += len(data)

    def discard_queue(self) -> None:
        """Clear the send queue."""
        self._chunks.clear()
        self.queued = 0

    def wants_to_send(self) -> bool:
        """Return True if next_bytes would return data, given enough room."""
        return self.opening or self.queued > 0 or (self.closing and not self.fin_sent)

    def next_bytes(self, room: int, frame_data: int) -> bytes:
        """Take the bytes of one turn: SYN when due, one PSH frame, FIN when due and the queue is empty.

        Args:
            room: maximum bytes to return.
            frame_data: maximum bytes of data in one frame.
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
