"""WebSocket frames on the hot path: as `websockets` makes them, with one batch of random bytes for many masks.

Its own serializer draws four bytes from the kernel for each frame; here a system call serves a thousand.
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
