"""A directory that answers binds: a PostgreSQL server hands it name and whole password (auth method ldap).

PAM would see the first 511 bytes of a password only, and a token has twice as many.

Source: RFC 4511, sections 4.2 and 5.1.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

SUCCESS, INVALID_CREDENTIALS = 0, 49

Check = Callable[[str, str], bool]


@contextlib.contextmanager
def bind_server(check: Check) -> Iterator[int]:
    """Serve on loopback until the block ends; yields the port.

    Args:
        check: name and password -> accepted.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, check), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, check: Check) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(30)
            message = _element(stream.read)
            identifier, rest = _split(message)
            _, bind = _header(rest)
            _version, rest = _split(bind)
            name, rest = _split(rest)
            password, _ = _split(rest)
            code = SUCCESS if check(name.decode(), password.decode()) else INVALID_CREDENTIALS
            result = b"\x61\x07\x0a\x01" + bytes([code]) + b"\x04\x00\x04\x00"
            body = b"\x02" + bytes([len(identifier)]) + identifier + result
            connection.sendall(b"\x30" + bytes([len(body)]) + body)
            stream.read(1)  # until the client unbinds


def _element(read: Callable[[int], bytes]) -> bytes:
    """Read one element from a stream and return its content."""
    _tag, length = read(1), read(1)[0]
    if length & 0x80:
        length = int.from_bytes(read(length & 0x7F), "big")
    return read(length)


def _header(data: bytes) -> tuple[int, bytes]:
    """Return tag and content of the first element."""
    content, _ = _split(data)
    return data[0], content


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Return the content of the first element, and what follows it."""
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    return data[start : start + length], data[start + length :]
