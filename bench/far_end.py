"""The server behind the agent, in a separate process.

The first byte selects the operation: U and a length reads that many bytes and answers with one byte; D and a length
sends that many bytes; E echoes; M reads frames: `d` and a length with data to discard, `e` to answer with one byte.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable

CHUNK = 65_536


def serve(connection: socket.socket) -> None:
    """Serve one connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb") as stream:
        kind = stream.read(1)
        if kind == b"E":
            while data := stream.read1(CHUNK):
                connection.sendall(data)
        elif kind == b"M":
            while head := stream.read(5):
                if head[:1] == b"e":
                    connection.sendall(b"e")
                else:
                    swallow(stream.read1, struct.unpack("!I", head[1:])[0])
        elif kind == b"U":
            swallow(stream.read1, struct.unpack("!Q", stream.read(8))[0])
            connection.sendall(b"k")
            connection.recv(1)
        elif kind == b"D":
            connection.sendall(bytes(struct.unpack("!Q", stream.read(8))[0]))
            connection.recv(1)


def swallow(read: Callable[[int], bytes], length: int) -> None:
    """Read and discard a number of bytes."""
    while length > 0:
        data = read(min(CHUNK, length))
        if not data:
            return
        length -= len(data)


def quietly(connection: socket.socket) -> None:
    """Serve one connection; ignore a client that disconnects."""
    with contextlib.suppress(OSError, struct.error):
        serve(connection)


def main() -> None:
    """Listen, print the port, serve until standard input ends."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listening.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=quietly, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
