"""Requests to file_server and its replies as bytes. Does no I/O; a reply from the instance is never trusted."""

from __future__ import annotations

import json
from typing import Final

from aws_runas.errors import AwsRunasError

MAX_LINE: Final = 64  # bytes of the first line
MAX_HEADER: Final = 64 << 20  # bytes
MAX_PAYLOAD: Final = 64 << 20  # bytes

Reply = tuple[dict[str, object], bytes]


class CopyError(AwsRunasError):
    """One file could not be copied.

    Args:
        message: as the other side or the system says.
    """


def encode_request(operation: str, values: dict[str, object], payload: bytes = b"") -> bytes:
    """Return a request as file_server reads it.

    Args:
        operation: its name in file_server, without ``op_``.
        values: parameters of the operation; they become JSON.
        payload: bytes that follow the header.
    """
    header = json.dumps({"op": operation, **values}, separators=(",", ":")).encode("ascii")
    return b"%d %d\n%b%b" % (len(header), len(payload), header, payload)


class ReplyParser:
    """Turns the bytes that file_server writes into replies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> list[Reply]:
        """Take bytes and return the replies that they complete.

        Raises:
            CopyError: the bytes are no reply (helper-failed); nothing may be called any more.
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


def check_reply(reply: Reply) -> Reply:
    """Return a reply that is no error.

    Raises:
        CopyError: it is one.
    """
    values, _ = reply
    error = values.get("error")
    if error is not None:
        raise copy_error(str(error), str(values.get("text", "")))
    return reply


def copy_error(code: str, text: str) -> CopyError:
    """Return the error for a reply's code."""
    if code == "no-space":
        return CopyError(f"no space: {text}", code="no-space", hint="free some space; the same command resumes")
    if code == "hash-differs":
        return CopyError(text, code="hash-differs", hint="run the same command again")
    if code == "name-refused":
        return CopyError(
            f"the name was refused: {text}",
            code="name-refused",
            hint="copy it by another name, or look at the instance",
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
