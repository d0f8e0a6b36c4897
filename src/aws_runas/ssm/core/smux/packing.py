"""Cuts the stream of frames into messages so that a message that is executed twice breaks the stream (spec 10.2).

Agents can execute one message twice when their connection is cut (spec 8.11). If a message contained exactly whole
frames, its repetition would be valid frames, and a program would silently get bytes twice. So before a message is cut,
the packer reads its repetition as an agent would: the frame that the cut leaves open takes its missing bytes from the
beginning of the repeated message, and a header is expected after them. The cut is moved until the agent finds no
header there. Data can look like headers (a file of 0x01 bytes does), so the bytes are read and not only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import IntEnum
from typing import Final

from aws_runas.ssm.core.smux.frame import HEADER_LENGTH, KEEPALIVE, PSH, UPD, UPDATE_LENGTH, VERSION

CUT_CHOICES: Final = 16  # cuts to choose from: two per remainder modulo 8, the size of an empty frame
FLUSH_FRAMES: Final = 64  # NOP frames after data whose repetition would be noticed only later: 512 bytes
# Bytes of a NOP header that may end a message, best first. Repeated, a header begins with the rest of a stream id.
PADDING_CUTS: Final = (2, 1, 3, 4, 5, 6, 7)


class Repetition(IntEnum):
    """Effect of a repeated message at an agent; a lower value is better."""

    NOTICED = 0
    PROBABLY_NOTICED = 1
    UNKNOWN = 2
    UNNOTICED = 3


def judge_repetition(stream: bytes | bytearray, borders: Collection[int], position: int, known: int = 1) -> Repetition:
    """Read a repeated message and the bytes after it, as an agent that has executed the message once reads them.

    Official agents check the version and the command of a header, but not the length of a frame without data. They
    read UPD in version 1 too.

    Args:
        stream: the part of the message that belongs to the frame that its cut leaves open, then the message again,
            then the known frames after it.
        borders: positions in the stream, from the repeated message on, where headers begin; includes the end.
        position: where the agent expects the first header.
        known: bytes of a header that must be in the stream: agents read whole headers. 1 if more follows soon.

    Returns:
        UNNOTICED if the agent reaches a border again without an error.
    """
    step = 0
    while position not in borders:
        if position + known > len(stream):
            is_near = step == HEADER_LENGTH and position < len(stream) + HEADER_LENGTH
            return Repetition.PROBABLY_NOTICED if is_near else Repetition.UNKNOWN
        header = stream[position : position + 4]
        if header[0] != VERSION or (len(header) > 1 and header[1] > UPD):
            return Repetition.NOTICED
        step = HEADER_LENGTH
        if len(header) > 1 and header[1] == UPD:
            step += UPDATE_LENGTH
        elif len(header) > 1 and header[1] == PSH:
            if len(header) < 4:
                return Repetition.UNKNOWN
            step += int.from_bytes(header[2:4], "little")
        position += step
    return Repetition.UNNOTICED


class MessagePacker:
    """The part of the frame stream that has not been sent yet.

    Args:
        next_frames: room in bytes -> whole frames, b"" if there are none.
    """

    def __init__(self, next_frames: Callable[[int], bytes]) -> None:
        self._next_frames = next_frames
        self._rest = bytearray()
        self._borders: list[int] = []  # ends of frames, counted from the beginning of _rest
        self._begins_inside = False
        self._is_padding = False
        self._is_flushing = False  # only NOP frames are left

    def has_data(self) -> bool:
        """Return True if taken frames wait; the rest of a padding frame does not count."""
        return bool(self._rest) and not self._is_padding

    def next_message(self, size: int, frame_size: int) -> bytes:
        """Return the next message, b"" if there is nothing to send.

        Args:
            size: maximum bytes of a message; more than a header.
            frame_size: maximum bytes of a frame.
        """
        while len(self._rest) < size and (frames := self._next_frames(HEADER_LENGTH + frame_size)):
            self._append(frames)
            self._is_flushing = False
        if not self.has_data():
            return b""
        length = min(size, len(self._rest))
        is_last = length == len(self._rest)
        if self._is_noticed_at_once(length, is_last=is_last):
            return self._take(length)
        if not is_last:
            return self._take(self._best_of(range(length, max(0, length - CUT_CHOICES), -1)))
        return self._pad_and_take(size)

    def _pad_and_take(self, size: int) -> bytes:
        """Take all frames and the beginning of a padding frame; fewer bytes if the message has no room for it."""
        end = len(self._rest)
        if end >= size:
            choices = list(range(end, max(0, end - CUT_CHOICES), -1))
        else:
            self._append(KEEPALIVE)
            self._is_padding = True
            choices = [end + cut for cut in PADDING_CUTS if end + cut <= size]
        for length in choices:
            if self._judge(length, is_last=True) is Repetition.NOTICED:
                return self._take(length)
        if not self._is_flushing:
            # Data looks like a long frame: an agent would wait for its end, and find it only in later data.
            self._append(KEEPALIVE * FLUSH_FRAMES)
            self._is_flushing = True
        return self._take(self._best_of(choices))

    def _best_of(self, lengths: Sequence[int]) -> int:
        """Return the first length whose repetition is noticed, or else the one with the best judgement."""
        best, best_judgement = lengths[0], Repetition.UNNOTICED
        for length in lengths:
            judgement = self._judge(length)
            if judgement is Repetition.NOTICED:
                return length
            if judgement < best_judgement:
                best, best_judgement = length, judgement
        return best

    def _is_noticed_at_once(self, length: int, *, is_last: bool) -> bool:
        """Return True in the usual case of NOTICED: where an agent expects the first header, no version is.

        The frame that the cut leaves open has a whole header, so its end is known, and nothing is simulated.

        Args:
            length, is_last: see `_judge`.
        """
        begin = -HEADER_LENGTH if self._begins_inside else 0
        end_of_open = 0
        for border in self._borders:
            if border > length:
                end_of_open = border
                break
            begin = border
        if begin == length:  # the cut leaves no frame open
            if not self._begins_inside:
                return False
            end_of_open = length
        elif length - begin < HEADER_LENGTH or not end_of_open:
            return False
        expected_at = end_of_open - length
        if expected_at in self._borders:
            return False
        known, end = (HEADER_LENGTH, length) if is_last else (1, len(self._rest))
        return expected_at + known <= end and self._rest[expected_at] != VERSION

    def _judge(self, length: int, *, is_last: bool = False) -> Repetition:
        """Judge the repetition of a message of this length, starting at the frame that the cut leaves open.

        Args:
            length: bytes of the message.
            is_last: True if nothing follows soon: the bytes after the cut wait for data.
        """
        rest = self._rest[:length] if is_last else self._rest
        known = 1 if not is_last else HEADER_LENGTH
        complete = [border for border in self._borders if border <= length]
        if not complete and self._begins_inside:  # in the data of a frame whose header was sent before
            return judge_repetition(rest, self._borders, self._borders[0] - length, known)
        begin = complete[-1] if complete else 0
        open_frame = length - begin
        borders = {border + open_frame for border in self._borders}
        if not self._begins_inside:
            borders.add(open_frame)
        return judge_repetition(self._rest[begin:length] + rest, borders, 0, known)

    def _append(self, frames: bytes) -> None:
        at, begin = 0, len(self._rest)
        while at < len(frames):
            at += HEADER_LENGTH + int.from_bytes(frames[at + 2 : at + 4], "little")
            self._borders.append(begin + at)
        self._rest += frames
        self._is_padding = False

    def _take(self, length: int) -> bytes:
        message = bytes(self._rest[:length])
        del self._rest[:length]
        self._begins_inside = length not in self._borders
        self._borders = [border - length for border in self._borders if border > length]
        return message
