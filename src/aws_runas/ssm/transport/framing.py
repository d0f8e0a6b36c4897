"""WebSocket frames on the hot path, as `websockets` makes and reads them (docs/adr/0201).

Its own serializer draws four bytes from the kernel for each frame; here a system call serves a thousand. Its parser, a
generator for any frame, takes several times as long as the slice that a whole binary frame needs.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # a wheel without the compiled part
    from websockets.utils import apply_mask

MAX_MESSAGE: Final = 1024 * 1024  # bytes; the agent cuts at 1,024, clients of the real service were seen with 32 KiB
TEXT: Final = 0x81  # FIN and opcode 1, RFC 6455 section 5.2
BINARY: Final = 0x82
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
