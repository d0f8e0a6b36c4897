"""HTTP/1.1 requests and responses as values, with a reader and a writer that do no I/O.

The reader accepts only what SDKs, curl and browsers send to a credential server, and refuses everything else with a
suitable status. It is strict on purpose: input that two parsers read differently allows request smuggling.

Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

from dataclasses import field

from aws_runas.dataclass import dataclass

MAX_HEAD = 16 * 1024  # bytes of request line and headers; SDKs send under 1 KiB, a browser under 4
MAX_HEADERS = 64  # lines
MAX_BODY = 4 * 1024  # bytes; the longest body is the ARN of a role

REASONS = {
    200: "OK",
    202: "Accepted",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
# For bytes.translate: a loop over each byte of each header took half the time of a request.
_CONTROL = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])
_NOT_IN_TARGET = bytes([*range(0x21), *range(0x7F, 0x100)])


@dataclass(frozen=True, slots=True)
class Connection:
    """Both ends of a client's connection.

    Args:
        peer: address of the client; "" on a unix socket.
        peer_port: its port, 0 on a unix socket.
        local: our address that the client connected to; "" on a unix socket.
        local_port: our port.
    """

    peer: str = "127.0.0.1"
    peer_port: int = 0
    local: str = "127.0.0.1"
    local_port: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """Complete request.

    Args:
        method: as sent, upper case.
        path: percent-decoded, without query; repeated slashes are merged, because SDKs join base and path with two.
        headers: names in lower case, values stripped, in the order sent.
        body: at most MAX_BODY bytes.
        keep_alive: True if the client can send another request on this connection.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    keep_alive: bool = True
    connection: Connection = field(default_factory=Connection)

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None. The values of a repeated header are joined by commas.

        Args:
            name: in lower case.
        """
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path})"  # headers and body contain tokens and MFA codes


@dataclass(frozen=True, slots=True)
class Response:
    """HTTP response.

    Args:
        status: a key of REASONS.
        body: the complete body.
        content_type: the content type of the body.
        headers: additional headers.
    """

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Response({self.status})"  # the body may be credentials


class BadRequest(Exception):  # noqa: N818 - the name in HTTP
    """Bytes that are not a supported request; the connection ends after the response.

    Args:
        status: the status of the response.
        reason: one line for the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class RequestReader:
    """Parser that turns the bytes of one connection into requests.

    Call ``receive`` with the bytes that arrived, then ``next_request`` until it returns None.
    """

    def __init__(self, connection: Connection | None = None) -> None:
        self._buffer = bytearray()
        self._connection = connection or Connection()
        self._forgave = False
        self._scanned = 0  # the blank line is not before this index; avoids a repeated search if bytes arrive slowly

    @property
    def is_idle(self) -> bool:
        """True if no byte of the next request has arrived."""
        return not self._buffer

    def receive(self, data: bytes) -> None:
        """Accept bytes from the connection.

        Args:
            data: any number of bytes.
        """
        self._buffer += data

    def next_request(self) -> Request | None:
        """Return the next complete request, or None if more bytes are needed.

        Raises:
            BadRequest: the request is not valid; the connection cannot be used any more.
        """
        if not self._forgave and self._buffer[:2] == b"\r\n":
            del self._buffer[:2]  # RFC 9112 2.2: ignore an empty line before a request, but only one
            self._forgave, self._scanned = True, 0
        end = self._buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > MAX_HEAD:
                raise BadRequest(431, f"the headers are longer than {MAX_HEAD} bytes")
            return None
        if end > MAX_HEAD:
            raise BadRequest(431, f"the headers are longer than {MAX_HEAD} bytes")
        request_line, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        method, path, minor = _read_request_line(request_line)
        headers = _read_headers(lines)
        length = _body_length(headers)
        if len(self._buffer) < end + 4 + length:
            self._scanned = end
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        self._forgave, self._scanned = False, 0
        if minor >= 1 and sum(name == "host" for name, _ in headers) != 1:
            raise BadRequest(400, "exactly one Host header is needed")
        options = [value.lower() for name, value in headers if name == "connection"]
        keep_alive = "close" not in ", ".join(options) if minor >= 1 else "keep-alive" in ", ".join(options)
        return Request(method, path, tuple(headers), body, keep_alive, self._connection)


def _read_request_line(line: bytes) -> tuple[str, str, int]:
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or not _TOKEN.issuperset(parts[0]):
        raise BadRequest(400, "the request line is not one of HTTP")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadRequest(505 if version.startswith(b"HTTP/") else 400, "only HTTP/1.1 and 1.0 are supported")
    if not target.startswith(b"/") or target.translate(None, _NOT_IN_TARGET) != target:
        raise BadRequest(400, "the request target is not a path")
    return method.decode("ascii"), decode_path(target.split(b"#")[0].split(b"?")[0]), version[-1] - 0x30


def decode_path(raw: bytes) -> str:
    """Percent-decode a path and merge repeated slashes.

    Args:
        raw: the path as sent.

    Raises:
        BadRequest: an escape is malformed, or the path contains invalid UTF-8 or a control character.
    """
    first, *rest = raw.split(b"%")
    parts = [first]
    for piece in rest:
        try:
            if not piece[:2].isalnum() or len(piece) < 2:
                raise ValueError
            parts += [bytes([int(piece[:2], 16)]), piece[2:]]
        except ValueError:
            raise BadRequest(400, "a percent sign in the path is followed by no two hex digits") from None
    try:
        path = b"".join(parts).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(400, "the path is not UTF-8") from None
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in path):
        raise BadRequest(400, "the path holds a control character")
    while "//" in path:
        path = path.replace("//", "/")
    return path


def _read_headers(lines: list[bytes]) -> list[tuple[str, str]]:
    if len(lines) > MAX_HEADERS:
        raise BadRequest(431, f"more than {MAX_HEADERS} headers")
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN.issuperset(name):  # also a folded line or a space before the colon
            raise BadRequest(400, "a header line is not one of HTTP")
        value = value.strip(b" \t")
        if value.translate(None, _CONTROL) != value:
            raise BadRequest(400, "a header value holds a control character")
        headers.append((name.decode("ascii").lower(), value.decode("latin-1")))
    return headers


def _body_length(headers: list[tuple[str, str]]) -> int:
    if any(name == "transfer-encoding" for name, _ in headers):
        raise BadRequest(411, "send the body with a Content-Length")
    if any(name == "expect" for name, _ in headers):
        raise BadRequest(417, "Expect is not supported")
    lengths = {value for name, value in headers if name == "content-length"}
    if not lengths:
        return 0
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()):
        raise BadRequest(400, "the Content-Length is not a number")
    if len(length) > 9 or int(length) > MAX_BODY:
        raise BadRequest(413, f"the body is longer than {MAX_BODY} bytes")
    return int(length)


def render(response: Response, *, keep_alive: bool, head: bool = False) -> bytes:
    """Return the bytes of a response.

    Args:
        response: to write.
        keep_alive: True if the connection stays open.
        head: True for a HEAD request: the body is omitted, its length is not.
    """
    lines = [
        f"HTTP/1.1 {response.status} {REASONS[response.status]}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        # Responses must not be cached, read by another origin, or subject to type sniffing.
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Cross-Origin-Resource-Policy: same-origin",
        "Referrer-Policy: no-referrer",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a response header holds a line break")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if head else response.body)
