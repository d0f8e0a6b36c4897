"""Interface of file operations, and its implementations for this machine and for the instance."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.resources
from collections import deque
from functools import cache
from typing import Final, Protocol, TypeVar

from aws_runas.errors import SessionError
from aws_runas.ssm.copy import file_server
from aws_runas.ssm.copy.protocol import CopyError, Reply, ReplyParser, check_reply, encode_request

REPLY_WAIT: Final = 600.0  # seconds without data while a reply is awaited; hashing a large file takes long


Answer = TypeVar("Answer")


class Files(Protocol):
    """File operations of one side; file_server defines the operations."""

    async def call(self, operation: str, values: dict[str, object] | None = None, payload: bytes = b"") -> Reply:
        """Perform one operation.

        Args:
            operation: its name in file_server, without ``op_``.
            values: parameters of the operation, sent as JSON.
            payload: bytes to store.

        Raises:
            CopyError: the operation failed.
            SessionError: the session has ended.
        """
        ...


class ByteLink(Protocol):
    """Carries bytes to a file server on the instance."""

    async def send(self, data: bytes) -> None:
        """Send bytes; wait while too many are in flight."""
        ...


@cache
def file_server_source() -> bytes:
    """Return the program that is sent to instances: the unchanged source of the module file_server."""
    return importlib.resources.files("aws_runas.ssm.copy").joinpath("file_server.py").read_bytes()


def file_server_digest() -> str:
    """Return the SHA-256 of the program in hexadecimal. ``-v`` prints it."""
    return hashlib.sha256(file_server_source()).hexdigest()


class LocalFiles:
    """Implements Files on this machine, in threads."""

    async def call(self, operation: str, values: dict[str, object] | None = None, payload: bytes = b"") -> Reply:
        """See Files.call."""
        return check_reply(await asyncio.to_thread(file_server.handle, {"op": operation, **(values or {})}, payload))


class Answering(Protocol):
    """Receives replies of the instance. Args: received: bytes received so far."""

    received: int

    def fail(self, error: Exception) -> None:
        """Fail all current and later calls."""
        ...


async def wait_for_reply(reply: asyncio.Future[Answer], files: Answering) -> None:
    """Wait for a reply or its error. A reply may take any time, as long as some bytes arrive.

    Args:
        reply: set by `files`.
        files: fail if nothing arrives for REPLY_WAIT.
    """
    seen = -1
    while not reply.done():
        if seen == files.received:
            files.fail(SessionError(f"the instance has not answered for {REPLY_WAIT:.0f} s", code="session-ended"))
        seen = files.received
        await asyncio.wait([reply], timeout=REPLY_WAIT)


class RemoteFiles:
    """Implements Files on the instance: sends requests without waiting for replies, which arrive in the same order.

    Args:
        link: carries the requests. Its owner calls `receive_data` and `fail`.
    """

    def __init__(self, link: ByteLink) -> None:
        self._link = link
        self._parser = ReplyParser()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._sending = asyncio.Lock()
        self._error: Exception | None = None
        self.received = 0
        """Bytes received so far."""

    async def call(self, operation: str, values: dict[str, object] | None = None, payload: bytes = b"") -> Reply:
        """See Files.call."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        async with self._sending:
            if self._error is not None:
                raise SessionError(str(self._error), code="session-ended") from self._error
            self._waiting.append(reply)
            await self._link.send(encode_request(operation, values or {}, payload))
        await wait_for_reply(reply, self)
        return check_reply(reply.result())

    def receive_data(self, data: bytes) -> None:
        """Process bytes from the file server."""
        self.received += len(data)
        try:
            replies = self._parser.receive_data(data)
        except CopyError as error:
            self.fail(error)
            return
        for reply in replies:
            if not self._waiting:
                self.fail(SessionError("a reply came without a request", code="helper-failed"))
                return
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(reply)

    def fail(self, error: Exception) -> None:
        """Fail all current and later calls, because the session has ended."""
        if self._error is None:
            self._error = error
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(SessionError(str(error), code="session-ended"))
                future.exception()  # mark it as retrieved: a cancelled call does not await it
