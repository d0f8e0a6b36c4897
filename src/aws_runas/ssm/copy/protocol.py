"""Encodes requests to file_server and decodes its replies. Does no I/O; replies from the instance are never trusted."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Final

from aws_runas.errors import AwsRunasError, SessionError

MAX_LINE: Final = 64  # bytes of the first line
MAX_HEADER: Final = 64 << 20  # bytes
MAX_PAYLOAD: Final = 64 << 20  # bytes

MAX_TEXT: Final = 4096  # characters of an error
WALK_LIMIT: Final = 256 << 20  # bytes of a tree's list
MIN_ENTRY: Final = 100  # bytes; smaller entries of a list count as this many, since valid entries are not smaller
MAX_ENTRY: Final = 128 * 1024  # bytes of an entry; its name and its link target have at most 4,096 each
WALK_PIECE: Final = 64 * 1024  # bytes that are expanded at once

Reply = tuple[dict[str, object], bytes]


class CopyError(AwsRunasError):
    """One file could not be copied.

    Args:
        message: the reason, as reported by the other side or the operating system.
    """


def encode_request(operation: str, values: dict[str, object], payload: bytes = b"") -> bytes:
    """Return a request as file_server reads it.

    Args:
        operation: its name in file_server, without ``op_``.
        values: parameters of the operation, encoded as JSON.
        payload: bytes that follow the header.
    """
    header = json.dumps({"op": operation, **values}, separators=(",", ":")).encode("ascii")
    return b"%d %d\n%b%b" % (len(header), len(payload), header, payload)


class ReplyParser:
    """Parses the output of file_server into replies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> list[Reply]:
        """Process bytes and return the replies that they complete.

        Raises:
            CopyError: the bytes are not a reply (helper-failed); the parser must not be used after this.
        """
        self._buffer += data
        replies = []
        while (reply := self._next()) is not None:
            replies.append(reply)
        return replies

    def _next(self) -> Reply | None:
        end = self._buffer.find(b"\n", 0, MAX_LINE)
        if end < 0:
            if len(self._buffer) >= MAX_LINE:
                raise _damaged("its first line is too long")
            return None
        words = bytes(self._buffer[:end]).split()
        if len(words) != 2 or not all(word.isdigit() and len(word) < 12 for word in words):
            raise _damaged(f"{bytes(self._buffer[:end])!r} is no length")
        header, payload = int(words[0]), int(words[1])
        if header > MAX_HEADER or payload > MAX_PAYLOAD:
            raise _damaged(f"{header} and {payload} bytes are too long")
        start = end + 1
        if len(self._buffer) < start + header + payload:
            return None
        values = _header(bytes(self._buffer[start : start + header]))
        data = bytes(self._buffer[start + header : start + header + payload])
        del self._buffer[: start + header + payload]
        return values, data


def unpack_entries(data: bytes) -> Iterator[dict[str, object]]:
    """Yield the entries of a directory tree, as packed by file_server's pack_entries.

    Args:
        data: payload of the reply to ``walk``.

    Raises:
        SessionError: the data is not such a list, or exceeds the limits.
    """
    engine = zlib.decompressobj()
    rest, counted = b"", 0
    try:
        while not engine.eof:
            piece = engine.decompress(data, WALK_PIECE)
            if not piece and not engine.eof:
                raise ValueError("it is cut short")
            data = engine.unconsumed_tail
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                counted += max(len(line), MIN_ENTRY)
                entry = json.loads(line)
                if not isinstance(entry, dict) or counted > WALK_LIMIT:
                    raise ValueError("it is too long, or has something else")
                yield entry
            if len(rest) > MAX_ENTRY:
                raise ValueError("an entry is too long")
    except (zlib.error, ValueError, RecursionError):
        raise SessionError("the list of the tree is damaged", code="helper-failed") from None


def check_reply(reply: Reply) -> Reply:
    """Return the reply if it is not an error.

    Raises:
        CopyError: the reply is an error.
    """
    values, _ = reply
    error = values.get("error")
    if error is not None:
        raise copy_error(str(error), str(values.get("text", "")))
    return reply


def copy_error(code: str, text: str) -> CopyError:
    """Return the error for a reply's code; a very long text is truncated."""
    text = text[:MAX_TEXT]
    if code == "no-space":
        return CopyError(f"no space: {text}", code="no-space", hint="free some space; the same command resumes")
    if code == "hash-differs":
        return CopyError(text, code="hash-differs", hint="run the same command again")
    if code == "name-refused":
        return CopyError(
            f"the name was refused: {text}",
            code="name-refused",
            hint="copy it under another name, or check the instance",
        )
    if code == "file-changed":
        return CopyError(
            f"the file changed while it was copied: {text}", code="file-changed", hint="run the same command again"
        )
    return CopyError(text.lower() or code, code="copy-failed")


def _damaged(text: str) -> CopyError:
    return CopyError(f"the reply of the instance is damaged: {text}", code="helper-failed")


def _header(data: bytes) -> dict[str, object]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged("its header is not JSON") from None
    if not isinstance(values, dict):
        raise _damaged("its header is no object")
    return values
