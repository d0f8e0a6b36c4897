"""UTF-8 reader of official agents, which all output passes through (trap 12.17)."""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
LONGEST_CHARACTER = 4  # bytes in UTF-8


class OutputReader:
    """Filter of one output stream.

    A real U+FFFD loses its last two bytes. Bytes near the end of a read that do not form a character wait for the next
    read. At the end of the output they are dropped.

    Args:
        official: False passes every byte, and only holds back an incomplete character.
    """

    def __init__(self, *, official: bool) -> None:
        self._official = official
        self._held = b""

    @property
    def held(self) -> bytes:
        """Bytes that wait for the next read."""
        return self._held

    def read(self, data: bytes) -> bytes:
        """Accept the bytes of one read and return the bytes to send."""
        data = self._held + data
        end = held_from(data) if self._official else incomplete_from(data)
        self._held = data[end:]
        return data[:end].replace(REPLACEMENT, REPLACEMENT[:1]) if self._official else data[:end]

    def end(self) -> bytes:
        """Return the bytes to send when the output has ended."""
        held, self._held = self._held, b""
        return b"" if self._official else held


def held_from(data: bytes) -> int:
    """Return the offset from which an official agent holds bytes: the first of the last three that starts no character.

    A character starts at its first byte only, so a search from four bytes before the last three finds every boundary.
    """
    tail = max(0, len(data) - LONGEST_CHARACTER + 1)
    position = tail
    for start in range(max(0, tail - LONGEST_CHARACTER + 1), tail):
        length = character_length(data, start)
        if length and start + length > tail:
            position = start + length
    while position < len(data):
        length = character_length(data, position)
        if not length or data[position : position + length] == REPLACEMENT:
            return position
        position += length
    return len(data)


def character_length(data: bytes, start: int) -> int:
    """Return the length of the character that starts at an offset, 0 if none does."""
    for length in range(1, LONGEST_CHARACTER + 1):
        try:
            data[start : start + length].decode()
        except UnicodeDecodeError:
            continue
        return length
    return 0


def incomplete_from(data: bytes) -> int:
    """Return the offset of an incomplete character at the end, or the length of the data if there is none."""
    for back in range(1, min(LONGEST_CHARACTER - 1, len(data)) + 1):
        octet = data[-back]
        if octet & 0xC0 == 0x80:
            continue
        needed = 4 if octet >= 0xF0 else 3 if octet >= 0xE0 else 2 if octet >= 0xC0 else 1
        return len(data) - back if octet < 0xF8 and needed > back else len(data)
    return len(data)
