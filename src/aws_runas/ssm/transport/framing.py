"""WebSocket frames on the hot path; `websockets` reads everything but whole binary frames (docs/adr/0201).

The serializer of `websockets` reads four random bytes from the kernel for each frame; here one system call serves a
thousand frames. Its parser, a generator for any frame, takes several times as long as the slice of a binary frame.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # a wheel without the compiled part
    from websockets.utils import apply_mask

MAX_MESSAGE: Final = 1024 * 1024  # bytes; the agent cuts at 1,024, clients of the real service were seen with 32 KiB
TEXT: Final = 0x81  # FIN and opcode 1, RFC 6455 section 5.2
BINARY: Final = 0x82
_USUAL_START: Final = bytes((BINARY, 126))  # of a frame that is not masked: 126 stands for 16 bits of length
_MASKS_AT_ONCE: Final = 1024

_SHORT = struct.Struct("!BB").pack
_MEDIUM = struct.Struct("!BBH").pack
_LONG = struct.Struct("!BBQ").pack


def frame_encoder(*, masked: bool) -> Callable[[bytes | str], bytes]:
    """Return a function that makes one whole frame of one message.

    Args:
        masked: a client masks, a server does not (RFC 6455 section 5.3).
    """
    if not masked:
        return _encode_plain
    masks: Iterator[bytes] = iter(())

    def encode(message: bytes | str) -> bytes:
        nonlocal masks
        mask = next(masks, None)
        if mask is None:
            pool = os.urandom(4 * _MASKS_AT_ONCE)
            masks = iter([pool[i : i + 4] for i in range(0, len(pool), 4)])
            mask = next(masks)
        first, data = (BINARY, message) if isinstance(message, bytes) else (TEXT, message.encode())
        return _head(first, 0x80, len(data)) + mask + apply_mask(data, mask)

    return encode


def _encode_plain(message: bytes | str) -> bytes:
    first, data = (BINARY, message) if isinstance(message, bytes) else (TEXT, message.encode())
    return _head(first, 0, len(data)) + data


def _head(first: int, mask_bit: int, length: int) -> bytes:
    if length < 126:
        return _SHORT(first, mask_bit | length)
    if length < 65536:
        return _MEDIUM(first, mask_bit | 126, length)
    return _LONG(first, mask_bit | 127, length)


class FrameSplitter:
    """Cuts what arrives into whole frames (RFC 6455 section 5.2), without judging them."""

    def __init__(self) -> None:
        self._rest = bytearray()  # the beginning of a frame
        self._needed = 2  # bytes from which on more can be said about it

    def is_one_frame(self, data: bytes) -> bool:
        """Return True for exactly one whole binary frame of the usual length, 126 to 65,535 bytes, without a mask."""
        if self._rest or data[:2] != _USUAL_START:
            return False
        return int.from_bytes(data[2:4], "big") == len(data) - 4 > 125

    def split(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take what arrived next and return the frames that are whole.

        What there is of a frame that is longer than MAX_MESSAGE is returned too: its head alone ends the connection.

        Args:
            data: cut anywhere.

        Returns:
            Frames as they came. Of a whole binary frame that is not masked the length of its head, else 0.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        position, end = 0, len(data)
        while position < end:
            head, length = _read_head(data, position)
            stop = position + head + length
            if stop > end and length <= MAX_MESSAGE:
                self._rest += data[position:]
                self._needed = head + length
                return
            is_plain = data[position] == BINARY and data[position + 1] < 0x80 and length <= MAX_MESSAGE
            yield (head if is_plain else 0), data[position:stop]
            position = stop

    def take_rest(self) -> bytes:
        """Return the beginning of a frame whose end has not arrived, and forget it."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def _read_head(data: bytes, position: int) -> tuple[int, int]:
    """Return the length of the head of the frame that begins there, and that of its payload; 0 while it is unknown."""
    if len(data) < position + 2:
        return 2, 0
    length = data[position + 1]
    mask = 4 if length & 0x80 else 0
    length &= 0x7F
    if length < 126:
        return 2 + mask, length
    end = position + (4 if length == 126 else 10)
    if len(data) < end:
        return end - position, 0
    return end - position + mask, int.from_bytes(data[position + 2 : end], "big")


END_OF_HEAD: Final = b"\r\n\r\n"  # of the answer to the opening request


class Incoming:
    """Puts messages together.

    Args:
        protocol: of `websockets`; it judges what it reads.
        opening: called with the opening request or its answer.
    """

    def __init__(
        self, protocol: ClientProtocol | ServerProtocol, opening: Callable[[Request | Response], None]
    ) -> None:
        self._protocol = protocol
        self._opening = opening
        self._splitter = FrameSplitter() if isinstance(protocol, ClientProtocol) else None
        self._end_of_answer = b""  # the last bytes of the answer to the opening request, as far as it has come
        self._fragments: list[bytes] = []
        self._fragments_are_text = False

    def take(self, data: bytes, messages: list[bytes | str]) -> None:
        """Take received bytes; only clients take binary frames out themselves, because those of servers have no mask.

        Args:
            data: cut anywhere.
            messages: whole messages are added to it, text as str.
        """
        if self._splitter is None:
            self._read(data, messages)
            return
        if self._protocol._state is State.CONNECTING:
            data = self._take_answer(data, messages)
        elif self._splitter.is_one_frame(data) and not self._fragments and self._protocol._state is State.OPEN:
            messages.append(data[4:])  # what a read holds while messages come one by one
            return
        for head, frame in self._splitter.split(data):
            if head and not self._fragments and self._protocol._state is State.OPEN:
                messages.append(frame[head:])
            else:
                self._read(frame, messages)

    def end(self, messages: list[bytes | str]) -> None:
        """Take it that nothing more comes; the library is told of a frame whose end is missing.

        Args:
            messages: see take.
        """
        rest = self._splitter.take_rest() if self._splitter is not None else b""
        if rest:
            self._protocol.receive_data(rest)
        self._protocol.receive_eof()
        self._sort_events(messages)

    def _take_answer(self, data: bytes, messages: list[bytes | str]) -> bytes:
        """Give the library the answer to the opening request; return what came behind it, frames."""
        end = (self._end_of_answer + data).find(END_OF_HEAD)
        if end >= 0:
            end += len(END_OF_HEAD) - len(self._end_of_answer)
            self._read(data[:end], messages)
            if self._protocol._state is State.OPEN:
                return data[end:]
            data = data[end:]
        self._end_of_answer = (self._end_of_answer + data)[-len(END_OF_HEAD) + 1 :]
        self._read(data, messages)
        return b""

    def _read(self, data: bytes, messages: list[bytes | str]) -> None:
        self._protocol.receive_data(data)
        self._sort_events(messages)

    def _sort_events(self, messages: list[bytes | str]) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._sort_frame(event, messages)
            elif isinstance(event, (Request, Response)):
                self._opening(event)

    def _sort_frame(self, frame: Frame, messages: list[bytes | str]) -> None:
        opcode = frame.opcode
        if opcode is Opcode.BINARY and frame.fin:
            messages.append(bytes(frame.data))
        elif opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if opcode is not Opcode.CONT:
                self._fragments_are_text = opcode is Opcode.TEXT
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                whole = b"".join(self._fragments)
                self._fragments.clear()
                messages.append(_text_of(whole) if self._fragments_are_text else whole)


def _text_of(data: bytes) -> bytes | str:
    """A text frame's content; bytes that are no UTF-8 stay bytes, as the official programs take them (spec 1)."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
