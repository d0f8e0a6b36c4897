"""Escapes after a newline, as in ssh: they end a session that hangs. No I/O."""

from __future__ import annotations

from enum import Enum
from typing import Final

from aws_runas.errors import UsageError

DEFAULT: Final = "~"
NEWLINES: Final = b"\r\n"


class Escape(Enum):
    """Request from the user to aws-runas itself."""

    LEAVE = "."
    HELP = "?"
    SUSPEND = "\x1a"


def help_text(escape: bytes) -> str:
    """Return the text that ``~?`` shows."""
    key = escape.decode("latin-1")
    return (
        "supported escapes, after a newline:\n"
        f" {key}.   leave and end the session\n"
        f" {key}^Z  suspend aws-runas\n"
        f" {key}{key}   send {key} itself\n"
        f" {key}?   this list"
    )


def parse_escape(text: str) -> bytes:
    """Read ``--escape``: one character, ``^X`` for a control character, or ``none``.

    Raises:
        UsageError: the text is none of these.
    """
    if text == "none":
        return b""
    if len(text) == 2 and text[0] == "^" and "@" <= text[1].upper() <= "_":
        return bytes([ord(text[1].upper()) & 0x1F])
    if len(text) == 1 and text.isascii() and text not in "\r\n":
        return text.encode()
    raise UsageError(
        f"--escape takes one character, ^X or none, not {text!r}", code="escape-invalid", hint="the default is ~"
    )


class EscapeFilter:
    """Separates escapes from the input for the remote end. The input may be split at any byte.

    Args:
        escape: one byte; empty to pass everything on.
    """

    def __init__(self, escape: bytes = DEFAULT.encode()) -> None:
        self.escape = escape
        self._after_newline = True
        self._pending = False

    def feed(self, data: bytes) -> list[bytes | Escape]:
        """Return the input and the escapes, in the order in which they were typed."""
        if not self.escape or (not self._pending and not self._after_newline and self.escape not in data):
            self._after_newline = data[-1:] in (b"\r", b"\n") if data else self._after_newline
            return [data] if data else []
        result: list[bytes | Escape] = []
        passing = bytearray()
        for i in range(len(data)):
            byte = data[i : i + 1]
            if self._pending:
                self._pending = False
                meant = _MEANT.get(byte)
                if meant is not None:
                    if passing:
                        result.append(bytes(passing))
                        passing.clear()
                    result.append(meant)
                    self._after_newline = True
                    continue
                passing += self.escape if byte != self.escape else b""
            elif self._after_newline and byte == self.escape:
                self._pending = True
                continue
            passing += byte
            self._after_newline = byte in NEWLINES
        if passing:
            result.append(bytes(passing))
        return result


_MEANT: Final = {escape.value.encode(): escape for escape in Escape}
