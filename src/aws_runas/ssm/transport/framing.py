"""WebSocket frames on the hot path; `websockets` parses everything except whole binary frames (docs/adr/0201).

The serializer of `websockets` reads four random bytes from the kernel per frame; here one system call is enough for a
thousand frames. Its parser, a generator for any frame, takes several times as long as slicing a binary frame.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Final

from aws_runas.ssm.transport.websocket_protocol import (
    ClientProtocol,
    CloseCode,
    Frame,
    Opcode,
    ProtocolError,
    Request,
    Response,
    ServerProtocol,
    State,
)

try:
    from websockets.speedups import apply_mask
except ImportError:  # a wheel without the extension module
    from websockets.utils import apply_mask

MAX_MESSAGE: Final = 1024 * 1024  # bytes; agents send at most 1,024, clients of the real service were seen with 32 KiB
TEXT: Final = 0x81  # FIN and opcode 1, RFC 6455 section 5.2
BINARY: Final = 0x82
FIN_BIT: Final = 0x80
RESERVED_BITS: Final = 0x70  # no extension is offered that gives them a meaning
OPCODE_BITS: Final = 0x0F
OPCODES: Final = frozenset(Opcode)
MASK_BIT: Final = 0x80  # of the second byte; a server never sets it
_USUAL_START: Final = BINARY << 8 | 126  # of an unmasked frame; 126: a 16-bit length follows
_USUAL_HEAD: Final = struct.Struct("!HH").unpack_from
_MASKS_AT_ONCE: Final = 1024

_SHORT = struct.Struct("!BB").pack
_MEDIUM = struct.Struct("!BBH").pack
_LONG = struct.Struct("!BBQ").pack


def frame_encoder(*, masked: bool) -> Callable[[bytes | str], bytes]:
    """Return a function that encodes one message as one frame.

    Args:
        masked: True for a client, False for a server (RFC 6455 section 5.3).
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
        if isinstance(message, bytes):
            length = len(message)
            head = _MEDIUM(BINARY, 0xFE, length) if 125 < length < 65536 else _head(BINARY, 0x80, length)
            return head + mask + apply_mask(message, mask)
        data = message.encode()
        return _head(TEXT, 0x80, len(data)) + mask + apply_mask(data, mask)

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
    """Splits received bytes into whole frames (RFC 6455 section 5.2). The library validates those it gets.

    Args:
        is_inside_message: returns True if the last frame of a message in fragments has not arrived.
    """

    def __init__(self, is_inside_message: Callable[[], bool]) -> None:
        self._is_inside_message = is_inside_message
        self._rest = bytearray()  # the beginning of a frame
        self._needed = 2  # bytes needed before it can be parsed further

    def split_usual(self, data: bytes, messages: list[bytes | str]) -> bytes:
        """Extract the unmasked binary frames of the usual length, 126 to 65,535 bytes, that the data begins with.

        Args:
            data: received bytes, split anywhere.
            messages: their contents are appended to it.

        Returns:
            The rest: b"", or data for `split`.
        """
        if self._rest:
            return data
        position, end = 0, len(data)
        while position + 4 <= end:
            start, length = _USUAL_HEAD(data, position)
            begin = position + 4
            stop = begin + length
            if start != _USUAL_START or stop > end or length < 126:
                break
            messages.append(data[begin:stop])
            position = stop
        return data[position:] if position else data

    def split(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Process received bytes and return the complete frames.

        An incomplete frame is returned too if its head alone ends the connection: the rest of it may never arrive.

        Args:
            data: received bytes, split anywhere.

        Returns:
            Pairs: the length of the head for a whole, unmasked binary frame, -1 for an incomplete frame with an
            invalid head, else 0; and the frame as received.
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
                if self._is_invalid(data[position : position + 2]):
                    yield -1, data[position:]
                    return
                self._rest += data[position:]
                self._needed = head + length
                return
            is_plain = data[position] == BINARY and data[position + 1] < 0x80 and length <= MAX_MESSAGE
            yield (head if is_plain else 0), data[position:stop]
            position = stop

    def _is_invalid(self, head: bytes) -> bool:
        """Return True if the first one or two bytes of a frame show that it is invalid."""
        first, opcode = head[0], head[0] & OPCODE_BITS
        second = head[1] if len(head) > 1 else 0
        if first & RESERVED_BITS or second & MASK_BIT or opcode not in OPCODES:
            return True
        if opcode >= Opcode.CLOSE:  # a control frame: not in fragments, at most 125 bytes
            return first < FIN_BIT or second > 125
        return (opcode == Opcode.CONT) != self._is_inside_message()

    def take_rest(self) -> bytes:
        """Return and clear the beginning of an incomplete frame."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def _read_head(data: bytes, position: int) -> tuple[int, int]:
    """Return the lengths of the head and of the payload of the frame at `position`; payload 0 while unknown."""
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


END_OF_HEAD: Final = b"\r\n\r\n"  # end of the response to the opening request


class Incoming:
    """Assembles messages from received bytes.

    Args:
        protocol: protocol object of `websockets`; it validates the frames that it parses.
        opening: called with the opening request or the response to it.
    """

    def __init__(
        self, protocol: ClientProtocol | ServerProtocol, opening: Callable[[Request | Response], None]
    ) -> None:
        self._protocol = protocol
        self._opening = opening
        is_client = isinstance(protocol, ClientProtocol)
        self._splitter = FrameSplitter(lambda: bool(self._fragments)) if is_client else None
        self._end_of_answer = b""  # last received bytes of the response to the opening request
        self._fragments: list[bytes] = []
        self._fragments_are_text = False

    def take(self, data: bytes, messages: list[bytes | str]) -> None:
        """Process received bytes. Only clients extract binary frames directly, because servers send them unmasked.

        Args:
            data: received bytes, split anywhere.
            messages: whole messages are appended to it, text as str.
        """
        if self._splitter is None:
            self._read(data, messages)
            return
        if self._protocol._state is State.CONNECTING:
            data = self._take_answer(data, messages)
        else:
            data = self.take_usual(data, messages)
            if not data:
                return
        for head, frame in self._splitter.split(data):
            if head > 0 and not self._fragments and self._protocol._state is State.OPEN:
                messages.append(frame[head:])
            elif head < 0:
                self._refuse(frame)
            else:
                self._read(frame, messages)

    def take_usual(self, data: bytes, messages: list[bytes | str]) -> bytes:
        """Process the frames of the usual length that the data begins with; there are at most a few hundred in a read.

        Args:
            data, messages: see `take`.

        Returns:
            The rest, for `take`.
        """
        if self._splitter is None or self._fragments or self._protocol._state is not State.OPEN:
            return data
        return self._splitter.split_usual(data, messages)

    def end(self, messages: list[bytes | str]) -> None:
        """Handle the end of the stream; the library gets the beginning of an incomplete frame.

        Args:
            messages: see `take`.
        """
        rest = self._splitter.take_rest() if self._splitter is not None else b""
        if rest:
            self._protocol.receive_data(rest)
        self._protocol.receive_eof()
        self._sort_events(messages)

    def _take_answer(self, data: bytes, messages: list[bytes | str]) -> bytes:
        """Pass the response to the opening request to the library; return the bytes after it, which are frames."""
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

    def _refuse(self, frame: bytes) -> None:
        """End the connection because of the head of a frame, as the library does once it has the whole frame."""
        if self._protocol._state is State.OPEN:
            error = ProtocolError(f"the head of a frame is invalid: {frame[:2].hex()}")
            self._protocol.fail(CloseCode.PROTOCOL_ERROR, str(error))
            self._protocol.parser_exc = error

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
    """Return the content of a text frame; invalid UTF-8 stays bytes, as official programs accept it (spec 1)."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
