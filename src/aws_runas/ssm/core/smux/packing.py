"""Cuts the stream of frames into messages so that a message that is executed twice breaks the stream (spec 10.2).

Agents can execute one message twice when their connection is cut (spec 8.11). If a message held exactly whole frames,
its repetition would be valid frames, and a program would get bytes twice in silence. So a message never begins and ends
on frame borders, and the bytes of a frame that are missing at its end never equal those that were missing at its
beginning. Then a repetition puts data where a header should be, and the agent ends the session instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from aws_runas.ssm.core.smux.frame import HEADER_LENGTH, KEEPALIVE

PADDING_CUT: Final = 2  # bytes of a NOP header that end a message: repeated, the next header begins with a stream id


class MessagePacker:
    """The end of the frame stream that has not been sent yet.

    Args:
        next_frames: room in bytes -> whole frames, b"" if there are none.
    """

    def __init__(self, next_frames: Callable[[int], bytes]) -> None:
        self._next_frames = next_frames
        self._rest = bytearray()
        self._borders: deque[int] = deque()  # ends of frames, counted from the beginning of _rest
        self._begins_inside = False
        self._is_padding = False

    def has_data(self) -> bool:
        """Return True if taken frames wait; the rest of a padding frame does not count."""
        return bool(self._rest) and not self._is_padding

    def next_message(self, size: int, frame_size: int) -> bytes:
        """Return the next message, b"" if there is nothing to send.

        Args:
            size: bytes of a message at most; more than a header.
            frame_size: bytes of a frame at most.
        """
        while len(self._rest) < size and (frames := self._next_frames(HEADER_LENGTH + frame_size)):
            self._append(frames)
        if not self.has_data():
            return b""
        missing_before = self._borders[0] if self._begins_inside else 0
        length = min(size, len(self._rest))
        if self._missing_after(length) == missing_before:
            if missing_before or length + PADDING_CUT > size:
                length -= 1
            else:
                self._append(KEEPALIVE)
                self._is_padding = True
                return self._take(length + PADDING_CUT)
        return self._take(length)

    def _append(self, frames: bytes) -> None:
        at = 0
        end = len(self._rest)
        while at < len(frames):
            length = HEADER_LENGTH + int.from_bytes(frames[at + 2 : at + 4], "little")
            at += length
            end += length
            self._borders.append(end)
        self._rest += frames
        self._is_padding = False

    def _missing_after(self, length: int) -> int:
        """Return how many bytes of the frame that a cut falls into are behind the cut; 0 on a border."""
        return next(border for border in self._borders if border >= length) - length

    def _take(self, length: int) -> bytes:
        message = bytes(self._rest[:length])
        del self._rest[:length]
        self._begins_inside = True
        while self._borders and self._borders[0] <= length:
            self._begins_inside = self._borders.popleft() != length
        for _ in range(len(self._borders)):
            self._borders.append(self._borders.popleft() - length)
        if not self._rest:
            self._begins_inside = False
        return message
