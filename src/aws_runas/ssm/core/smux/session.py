"""A smux session: streams over one byte stream, without I/O (spec 10).

The owner moves the bytes: it passes received data to receive_data, takes the results from events, and gets the bytes
to send from data_to_send. smux version 1 has no flow control per stream, only one receive buffer for all streams
together. When too much data is undelivered, receiving_allowed becomes False, and the owner must stop reading from the
channel, which stops all streams.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError
from aws_runas.ssm.core.smux import frame
from aws_runas.ssm.core.smux.packing import MessagePacker
from aws_runas.ssm.core.smux.schedule import Schedule
from aws_runas.ssm.core.smux.stream import (
    Event,
    Stream,
    StreamDataReceived,
    StreamFinished,
    StreamOpened,
    StreamUnblocked,
)

MAX_FRAME_DATA: Final = 32_768  # bytes, spec 10
RECEIVE_BUFFER: Final = 4 * 1024 * 1024  # bytes undelivered in one session, spec 10
STREAM_QUEUE: Final = 64 * 1024  # bytes one stream may have queued; further data stays with its sender
MAX_STREAMS: Final = 1_024  # open at once; the accept backlog of the Amazon agent, spec 10
FIRST_CLIENT_ID: Final = 3  # 1 is skipped by the official client
KEEPALIVE_INTERVAL: Final = 10.0  # seconds between NOP frames, if the peer expects them, spec 10


class Side(Enum):
    """End of the session."""

    CLIENT = "client"
    SERVER = "server"


class SmuxSession:
    """One smux session. After RemoteProtocolError, call no more methods.

    Args:
        side: CLIENT opens streams with odd ids from 3; SERVER accepts them.
        frame_data: maximum bytes of data in one frame. With small frames, streams take turns more often.
        receive_buffer: maximum undelivered bytes of all streams together.
        stream_queue: maximum bytes in the send queue of one stream.
        max_streams: streams open at once; a SYN beyond that is answered with FIN.
    """

    def __init__(
        self,
        side: Side,
        *,
        frame_data: int = MAX_FRAME_DATA,
        receive_buffer: int = RECEIVE_BUFFER,
        stream_queue: int = STREAM_QUEUE,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self._side = side
        self._frame_data = frame_data
        self._tokens = receive_buffer
        self._stream_queue = stream_queue
        self._max_streams = max_streams
        self._next_id = FIRST_CLIENT_ID if side is Side.CLIENT else FIRST_CLIENT_ID - 1
        self._decoder = frame.FrameDecoder(lenient=side is Side.SERVER)
        self._streams: dict[int, Stream] = {}
        self._schedule = Schedule()
        self._control = bytearray()  # frames that no longer belong to a stream
        self._events: list[Event] = []
        self._failed = False
        self._packer = MessagePacker(self.data_to_send)

    # receiving

    def receive_data(self, data: bytes) -> None:
        """Process the next bytes of the session, split at any byte.

        Raises:
            RemoteProtocolError: the peer violated smux version 1; the session has failed.
            LocalProtocolError: the session had already failed.
        """
        if self._failed:
            raise LocalProtocolError("this smux session has failed")
        try:
            for part in self._decoder.receive(data):
                if part.command == frame.PSH:
                    self._receive_stream_data(part.stream_id, part.data)
                elif part.command == frame.SYN:
                    self._receive_syn(part.stream_id)
                elif part.command == frame.FIN:
                    self._receive_fin(part.stream_id)
        except RemoteProtocolError:
            self._failed = True
            raise

    def events(self) -> list[Event]:
        """Return the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def data_delivered(self, stream_id: int, length: int) -> None:
        """Free buffer space: bytes of StreamDataReceived have reached their reader.

        Args:
            stream_id: the stream; it may be closed or dropped by now.
            length: bytes; in total never more than were received.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            return  # `_forget` has already freed its space
        if length > stream.undelivered:
            raise LocalProtocolError(f"{length} bytes delivered of stream {stream_id}, {stream.undelivered} received")
        stream.undelivered -= length
        self._tokens += length
        self._forget_if_over(stream)

    def receiving_allowed(self) -> bool:
        """Return True if the owner may read from the channel. False stops every stream of the session."""
        return self._tokens > 0

    def undelivered(self, stream_id: int) -> int:
        """Return how many bytes of a stream have not reached their reader."""
        stream = self._streams.get(stream_id)
        return stream.undelivered if stream else 0

    # sending

    def open_stream(self) -> int:
        """Open a stream and return its id; data may be sent at once.

        Raises:
            LocalProtocolError: all ids are used up, or `max_streams` streams are open.
        """
        if self._next_id > frame.MAX_STREAM_ID or len(self._streams) >= self._max_streams:
            raise LocalProtocolError("no stream left in this smux session")
        stream = Stream(self._next_id, opening=True)
        self._next_id += 2
        self._streams[stream.stream_id] = stream
        self._schedule.add(stream)
        return stream.stream_id

    def send_capacity(self, stream_id: int) -> int:
        """Return how many bytes send_data accepts now. At 0, wait for StreamUnblocked; a closed stream stays at 0."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.closing:
            return 0
        room = max(0, self._stream_queue - stream.queued)
        stream.blocked = room == 0
        return room

    def send_data(self, stream_id: int, data: bytes) -> None:
        """Queue data of a stream. It may exceed send_capacity; the excess reduces later capacity.

        Raises:
            LocalProtocolError: the stream is not open for sending.
        """
        stream = self._streams.get(stream_id)
        if stream is None or stream.closing:
            raise LocalProtocolError(f"stream {stream_id} is not open for sending")
        if data:
            stream.queue(data)
            self._schedule.add(stream)

    def close_stream(self, stream_id: int) -> None:
        """Send FIN after the queued data. Data that the peer still sends is received. Idempotent.

        An Amazon agent drops unsent data when it receives our FIN (spec 10): to lose nothing, wait for StreamFinished
        first.
        """
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.closing:
            stream.closing = True
            self._schedule.add(stream)

    def abandon_stream(self, stream_id: int) -> None:
        """Abandon a stream at once: drop queued data, send FIN, and discard data that still arrives."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if not (stream.fin_sent or stream.opening):
            self._control += frame.encode(frame.FIN, stream_id)
        stream.discard_queue()
        self._forget(stream)

    def send_keepalive(self) -> None:
        """Queue a NOP frame, for peers that close a silent session (spec 10)."""
        if not self._control:
            self._control += frame.KEEPALIVE

    def data_to_send(self, room: int) -> bytes:
        """Take the next bytes of the session, with the streams in turn.

        Args:
            room: maximum bytes to return. Less than a frame header returns nothing.
        """
        parts: list[bytes] = []
        if self._control:
            length = min(len(self._control), room) // frame.HEADER_LENGTH * frame.HEADER_LENGTH
            parts.append(bytes(self._control[:length]))
            del self._control[:length]
            room -= length
        while room >= frame.HEADER_LENGTH and (stream := self._schedule.next_stream()):
            data = stream.next_bytes(room, self._frame_data)
            if not data:
                self._schedule.put_back(stream)
                break
            parts.append(data)
            room -= len(data)
            self._schedule.done(stream)
            if stream.blocked and stream.queued <= self._stream_queue // 2:
                stream.blocked = False
                self._events.append(StreamUnblocked(stream.stream_id))
            self._forget_if_over(stream)
        return b"".join(parts)

    def message_to_send(self, size: int) -> bytes:
        """Take the next message; b"" if there is nothing to send. See packing.py for where messages end.

        Use either this or `data_to_send` in one session, and send each message as one message of the channel.

        Args:
            size: maximum bytes of a message.
        """
        return self._packer.next_message(size, self._frame_data)

    def wants_to_send(self) -> bool:
        """Return True if there is anything to send."""
        return self._packer.has_data() or bool(self._control) or bool(self._schedule)

    # inspection

    def queued(self, stream_id: int) -> int:
        """Return how many bytes of a stream wait to be sent."""
        stream = self._streams.get(stream_id)
        return stream.queued if stream else 0

    def ids_left(self) -> bool:
        """Return True if open_stream has an id left."""
        return self._next_id <= frame.MAX_STREAM_ID

    def open_streams(self) -> int:
        """Return the streams that are not closed at both ends, or have undelivered data."""
        return len(self._streams)

    def is_open(self, stream_id: int) -> bool:
        """Return True if the stream has not ended."""
        return stream_id in self._streams

    # frames, one by one

    def _receive_syn(self, stream_id: int) -> None:
        if stream_id in self._streams:
            return  # same as the official implementation
        if self._side is Side.CLIENT or len(self._streams) >= self._max_streams:
            self._control += frame.encode(frame.FIN, stream_id)
            return
        self._streams[stream_id] = Stream(stream_id)
        self._events.append(StreamOpened(stream_id))

    def _receive_stream_data(self, stream_id: int, data: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.fin_received:
            return  # closed by us, or never open: the official implementation drops it as well
        stream.undelivered += len(data)
        self._tokens -= len(data)
        self._events.append(StreamDataReceived(stream_id, data))

    def _receive_fin(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.fin_received:
            return
        stream.fin_received = True
        self._events.append(StreamFinished(stream_id))
        self._forget_if_over(stream)

    def _forget_if_over(self, stream: Stream) -> None:
        if stream.fin_received and stream.fin_sent and not stream.undelivered:
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._tokens += stream.undelivered
        stream.undelivered = 0
        self._streams.pop(stream.stream_id, None)
        self._schedule.remove(stream)
