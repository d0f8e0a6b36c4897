"""The frames of smux version 1: eight bytes of header, then data (spec 10).

offset  size
0       1     version, 1
1       1     command
2       2     length of the data, little endian
4       4     stream id, little endian
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import field
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.ssm.core.errors import LocalProtocolError, RemoteProtocolError

VERSION: Final = 1
SYN: Final = 0
FIN: Final = 1
PSH: Final = 2
NOP: Final = 3
UPD: Final = 4  # version 2 only; xtaci/smux accepts it in version 1 sessions too, without effect

HEADER_LENGTH: Final = 8
UPDATE_LENGTH: Final = 8  # bytes after the header of UPD, regardless of the length in the header
MAX_DATA_LENGTH: Final = 0xFFFF
MAX_STREAM_ID: Final = 0xFFFF_FFFF
KEEPALIVE: Final = struct.pack("<BBHI", VERSION, NOP, 0, 0)

_HEADER: Final = struct.Struct("<BBHI")


@dataclass(frozen=True, slots=True)
class Part:
    """A frame, or the piece of a PSH frame that has arrived so far.

    Args:
        command: SYN, FIN, PSH or NOP; UPD yields none.
        stream_id: stream id, 0 for NOP.
        data: data of a PSH frame; a long frame yields several parts, an empty one yields none.
    """

    command: int
    stream_id: int
    data: bytes = field(default=b"", repr=False)


def encode(command: int, stream_id: int, data: bytes = b"") -> bytes:
    """Return one encoded frame.

    Args:
        command: SYN, FIN, PSH or NOP.
        stream_id: 0 to 2**32 - 1.
        data: at most 65,535 bytes, only for PSH.

    Raises:
        LocalProtocolError: no such frame exists.
    """
    if len(data) > MAX_DATA_LENGTH or (data and command != PSH) or not 0 <= stream_id <= MAX_STREAM_ID:
        raise LocalProtocolError(f"no such frame: command {command}, stream {stream_id}, {len(data)} bytes")
    return _HEADER.pack(VERSION, command, len(data), stream_id) + data


class FrameDecoder:
    """Decodes a byte stream, split at any byte, into parts of frames; never holds back data that has arrived.

    UPD and its eight bytes are skipped, as in official agents and clients (xtaci/smux, session.go).

    Args:
        lenient: ignore the length of a frame without data, and check whole headers only, as official agents do.
    """

    def __init__(self, *, lenient: bool = False) -> None:
        self._lenient = lenient
        self._header = b""  # the beginning of an incomplete header
        self._stream_id = 0
        self._missing = 0  # bytes of the current PSH or UPD frame that have not arrived
        self._is_update = False  # the missing bytes belong to UPD

    def receive(self, data: bytes) -> Iterator[Part]:
        """Decode the next bytes.

        Args:
            data: next bytes of the stream, split at any byte.

        Raises:
            RemoteProtocolError: another version, an unknown command, or unexpected data. Do not use the decoder
                afterwards.
        """
        position = 0
        if self._header:
            data = self._header + data
            self._header = b""
        end = len(data)
        while position < end:
            if self._missing:
                piece = data[position : position + self._missing]
                position += len(piece)
                self._missing -= len(piece)
                if not self._is_update:
                    yield Part(PSH, self._stream_id, piece)
                continue
            if end - position < HEADER_LENGTH:
                self._header = data[position:]
                if not self._lenient:
                    self._check_beginning(self._header)
                return
            version, command, length, stream_id = _HEADER.unpack_from(data, position)
            position += HEADER_LENGTH
            _check(version, command, 0 if self._lenient else length)
            self._is_update = command == UPD
            if self._is_update:
                self._missing = UPDATE_LENGTH
            elif command == PSH:
                self._stream_id, self._missing = stream_id, length
            else:
                yield Part(command, stream_id)

    @staticmethod
    def _check_beginning(header: bytes) -> None:
        """Refuse, as early as possible, bytes that cannot become a header."""
        _check(header[0], header[1] if len(header) > 1 else NOP, 0)


def _check(version: int, command: int, length: int) -> None:
    if version != VERSION:
        raise RemoteProtocolError(f"smux version {version} where {VERSION} was agreed")
    if command not in (SYN, FIN, PSH, NOP, UPD):
        raise RemoteProtocolError(f"unknown smux command {command}")
    if length and command not in (PSH, UPD):
        raise RemoteProtocolError(f"smux command {command} with {length} bytes of data")
