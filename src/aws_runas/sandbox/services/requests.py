"""Parser of HTTP/1.1 requests: bytes in, complete requests out."""

from __future__ import annotations

import re
from dataclasses import field, replace

from aws_runas.dataclass import dataclass

HEAD_LIMIT = 64 * 1024  # bytes; many times the longest session token
BODY_LIMIT = 8 * 1024 * 1024  # bytes; an AWS API request is at most a few hundred kilobytes
END_OF_HEAD = b"\r\n\r\n"
CHUNK_LINE = 256  # bytes of the line with a chunk's size and extensions
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


@dataclass(frozen=True, slots=True)
class Request:
    """HTTP request.

    Args:
        path, query: as received, not decoded.
        headers: names in lower case; values of repeated headers are joined by commas.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = field(default=b"", repr=False)


class BadRequest(Exception):  # noqa: N818 - the name in HTTP
    """Bytes that are not an HTTP/1.1 request that the sandbox accepts."""


def parse_head(head: bytes) -> Request:
    """Parse the request line and the headers.

    Args:
        head: without the empty line at its end.

    Raises:
        BadRequest: a line is malformed.
    """
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest("header")
        name = name.lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    path, _, query = words[1].partition("?")
    return Request(words[0], path, query, headers)


def find_head(buffer: bytes | bytearray) -> tuple[Request, int] | None:
    """Read the head of the first request.

    Returns:
        The request without its body, and the offset of the body; None if the head is not complete.

    Raises:
        BadRequest: the head is malformed, or longer than HEAD_LIMIT.
    """
    end = buffer.find(END_OF_HEAD, 0, HEAD_LIMIT + len(END_OF_HEAD))
    if end >= 0:
        return parse_head(bytes(buffer[:end])), end + len(END_OF_HEAD)
    if len(buffer) > HEAD_LIMIT:
        raise BadRequest("head")
    return None


def find_body(request: Request, buffer: bytes | bytearray, start: int) -> tuple[Request, int] | None:
    """Read the body of a request.

    Args:
        start: offset of the body.

    Returns:
        The request with its body, and the offset of the next request; None if the body is not complete.

    Raises:
        BadRequest: the length is not a number, or above BODY_LIMIT.
    """
    encoding = request.headers.get("transfer-encoding")
    if encoding is not None:
        if encoding.lower() != "chunked":
            raise BadRequest("transfer-encoding")
        return _chunked(request, buffer, start)
    text = request.headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 8 or int(text) > BODY_LIMIT:
        raise BadRequest("content-length")
    end = start + int(text)
    return (replace(request, body=bytes(buffer[start:end])), end) if len(buffer) >= end else None


def _chunked(request: Request, buffer: bytes | bytearray, start: int) -> tuple[Request, int] | None:
    body = bytearray()
    while True:
        line_end = buffer.find(b"\r\n", start, start + CHUNK_LINE)
        if line_end < 0:
            if len(buffer) - start >= CHUNK_LINE:
                raise BadRequest("chunk size")
            return None
        digits = bytes(buffer[start:line_end]).partition(b";")[0]
        if not CHUNK_SIZE.fullmatch(digits):
            raise BadRequest("chunk size")
        size = int(digits, 16)
        if len(body) + size > BODY_LIMIT:
            raise BadRequest("body")
        data_end = line_end + 2 + size
        if len(buffer) < data_end + 2:
            return None
        if buffer[data_end : data_end + 2] != b"\r\n":
            raise BadRequest("chunk")
        body += buffer[line_end + 2 : data_end]
        start = data_end + 2
        if size == 0:
            return replace(request, body=bytes(body)), start
