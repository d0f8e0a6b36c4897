"""`cp -`: copies standard input to a file, or a file to standard output. Neither stream can be read or written twice.

So blocks are kept until the other side has confirmed them. Blocks that arrive damaged, or that were in flight in a lost
session, are sent again.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import signal
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from typing import Final, Protocol

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.copy.file_server import squeeze
from aws_runas.ssm.copy.files import Files
from aws_runas.ssm.copy.plan import SEGMENT, CopyOptions, Entry, FileCopy, Tops, attributes, read_entry
from aws_runas.ssm.copy.protocol import CopyError, Reply, copy_error
from aws_runas.ssm.copy.transfer import DAMAGES, Progress, was_renamed
from aws_runas.ssm.shutdown import SignalReceived
from aws_runas.ssm.transport.event_loop import in_thread

DEPTH: Final = 4  # blocks in flight
LOST_SESSIONS: Final = 3  # maximum number of lost sessions that are replaced
DROP_WAIT: Final = 2.0  # seconds for the removal of the unfinished file after a failure

Check = Callable[[Reply], Reply]


class Workers(Protocol):
    """Opens sessions; sessions.CopySessions is one."""

    async def add_worker(self, *, small: bool = False) -> Files:
        """Open one more session for data."""
        ...


@dataclass(slots=True)
class StreamCopy:
    """One copy of a standard stream.

    Args:
        workers: opens the sessions.
        path: path of the file on the other side.
        descriptor: descriptor of the standard stream.
        report: called when blocks are confirmed.
        note: receives lines for the user.
    """

    workers: Workers
    path: str
    options: CopyOptions
    descriptor: int
    report: Callable[[Progress], None]
    note: Callable[[str], None]
    _progress: Progress = field(default_factory=lambda: Progress(files=1))
    _far: Files | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _losses: int = 0

    async def from_stdin(self, *, into: bool) -> Progress:
        """Copy standard input to the file.

        Args:
            into: the path must be a directory; standard input cannot be copied into one.

        Raises:
            CopyError: standard input cannot be read, or the file cannot be written.
            SessionError: the sessions were lost (copy-broken).
        """
        values, _ = await self._call("stat", {"path": self.path, "follow": True})
        entry = values.get("entry")
        if into or (isinstance(entry, dict) and entry.get("kind") == "dir"):
            raise copy_error("copy-failed", f"{self.path} is a directory; standard input needs a file name")
        info, _ = await self._call("info", {})
        opening = {"path": self.path, "size": 0, "stamp": [], "id": os.urandom(4).hex(), "resume": False}
        part = await self._open(opening)
        try:
            size, sha = await self._send_blocks(part)
            umask = info.get("umask")
            copy = FileCopy(Entry("", "file", size=size), Tops("-", self.path))
            finish: dict[str, object] = {"part": part, "path": self.path, "size": size, "sha": sha}
            finish |= attributes(copy, self.options, umask if isinstance(umask, int) else 0o022)
            await self._finish(finish)
        except BaseException:
            await self._drop(part)
            raise
        return self._finished(size)

    async def to_stdout(self) -> Progress:
        """Copy the file to standard output.

        Raises:
            CopyError: the file cannot be read, or changes while it is copied.
            SessionError: the sessions were lost (copy-broken).
            AwsRunasError: standard output cannot be written (output-unwritable), or its pipe was closed.
        """
        values, _ = await self._call("stat", {"path": self.path, "follow": True})
        entry = values.get("entry")
        if not isinstance(entry, dict):
            raise copy_error("copy-failed", f"{self.path} does not exist")
        self._progress.total = read_entry(entry, "").size
        stamp: object = None
        offset, asked, ended = 0, 0, False
        pending: deque[asyncio.Task[Reply]] = deque()
        try:
            while not ended:
                while len(pending) < DEPTH:
                    read = {"path": self.path, "offset": asked, "length": SEGMENT, "compress": self.options.compress}
                    pending.append(asyncio.ensure_future(self._call("read", read, check=_expanded)))
                    asked += SEGMENT
                values, data = await pending.popleft()
                if self._progress.total and stamp is not None and values.get("stamp") != stamp:
                    raise copy_error("file-changed", self.path)
                stamp = values.get("stamp")
                ended = len(data) < SEGMENT
                await in_thread(_write_block, self.descriptor, data)
                offset += len(data)
                self._confirm(offset)
        finally:
            await _cancel(pending)
        return self._finished(offset)

    async def _send_blocks(self, part: str) -> tuple[int, str]:
        """Read the stream to its end; return its size and its SHA-256 when every block is confirmed."""
        offset, digest = 0, hashlib.sha256()
        pending: deque[asyncio.Task[Reply]] = deque()
        try:
            while data := await in_thread(_read_block, self.descriptor):
                digest.update(data)
                packed, sent = squeeze(data, self.options.compress)
                write: dict[str, object] = {"part": part, "offset": offset, "size": len(data), "packed": packed}
                write["sha"] = hashlib.sha256(data).hexdigest()
                pending.append(asyncio.ensure_future(self._call("part_write", write, sent)))
                offset += len(data)
                if len(pending) > DEPTH:
                    await pending.popleft()
                    self._confirm(offset)
            while pending:
                await pending.popleft()
        except CopyError:
            # Let requests in flight complete: a truncated one would garble the next, which removes the file.
            await asyncio.gather(*pending, return_exceptions=True)
            raise
        finally:
            await _cancel(pending)
        return offset, digest.hexdigest()

    async def _finish(self, finish: dict[str, object]) -> None:
        """Rename the file. If the session is lost during the call, check in another session whether it was renamed."""
        far = await self._worker()
        try:
            await far.call("part_finish", finish)
        except SessionError as error:
            again = await self._replace(far, error)
            if not await was_renamed(again, str(finish["part"]), str(finish["path"]), str(finish["sha"])):
                await again.call("part_finish", finish)

    async def _open(self, opening: dict[str, object]) -> str:
        """Create an unfinished file and return its name. An interrupt waits for the name, to remove the file."""
        call = asyncio.ensure_future(self._call("part_open", opening))
        try:
            values, _ = await asyncio.shield(call)
        except asyncio.CancelledError:
            with suppress(AwsRunasError, TimeoutError):
                async with asyncio.timeout(DROP_WAIT):
                    values, _ = await call
                    await self._drop(str(values.get("part", "")))
            call.cancel()
            raise
        return str(values.get("part", ""))

    async def _drop(self, part: str) -> None:
        """Remove the unfinished file, because no later run can continue it."""
        if self._far is not None:
            with suppress(AwsRunasError, TimeoutError):
                async with asyncio.timeout(DROP_WAIT):
                    await self._far.call("part_drop", {"part": part})

    async def _call(
        self, operation: str, values: dict[str, object], payload: bytes = b"", check: Check | None = None
    ) -> Reply:
        """Perform an operation, again in another session if the first was lost or the data arrived damaged."""
        damages = 0
        far = await self._worker()
        while True:
            try:
                reply = await far.call(operation, values, payload)
                return check(reply) if check is not None else reply
            except SessionError as error:
                far = await self._replace(far, error)
            except CopyError as error:
                damages += 1
                if error.code != "hash-differs" or damages > DAMAGES:
                    raise

    async def _worker(self) -> Files:
        async with self._lock:
            if self._far is None:
                self._far = await self.workers.add_worker()
            return self._far

    async def _replace(self, lost: Files, error: SessionError) -> Files:
        """Return a replacement session. If several calls lost the same session, the first one opens the replacement."""
        async with self._lock:
            if self._far is not None and self._far is not lost:
                return self._far
            self._losses += 1
            if self._losses > LOST_SESSIONS or error.code == "helper-missing":
                raise _broken(error) from error
            self.note(f"a session was lost: {error.message}")
            try:
                self._far = await self.workers.add_worker()
            except AwsRunasError as failed:
                raise _broken(failed) from failed
            return self._far

    def _confirm(self, done: int) -> None:
        self._progress.done = done
        self.report(self._progress)

    def _finished(self, size: int) -> Progress:
        self._progress.done = self._progress.total = size
        self._progress.files_done = 1
        return self._progress


def expand_checked(values: dict[str, object], data: bytes, limit: int) -> bytes:
    """Return the content of a reply to ``read``.

    Args:
        values: header of the reply, with its ``sha`` and ``packed``.
        data: payload of the reply.
        limit: requested size, in bytes.

    Raises:
        CopyError: the size or the hash does not match the header.
    """
    if values.get("packed"):
        try:
            engine = zlib.decompressobj()
            data = engine.decompress(data, limit + 1)
        except zlib.error:
            raise copy_error("hash-differs", "the compressed data is damaged") from None
    if len(data) > limit or len(data) != values.get("size"):
        raise copy_error("hash-differs", "a segment does not have the announced size")
    if hashlib.sha256(data).hexdigest() != values.get("sha"):
        raise copy_error("hash-differs", "a segment arrived damaged")
    return data


def _expanded(reply: Reply) -> Reply:
    values, data = reply
    return values, expand_checked(values, data, SEGMENT)


def _broken(error: AwsRunasError) -> SessionError:
    return SessionError(
        f"the transfer broke: {error.message}",
        code="copy-broken",
        hint="a standard stream cannot be resumed: start over",
    )


async def _cancel(pending: deque[asyncio.Task[Reply]]) -> None:
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


def _read_block(descriptor: int) -> bytes:
    """Read a block, or less at the end. Raises: CopyError."""
    parts: list[bytes] = []
    size = 0
    try:
        while size < SEGMENT and (data := os.read(descriptor, SEGMENT - size)):
            parts.append(data)
            size += len(data)
    except OSError as error:
        raise copy_error(
            "copy-failed", f"standard input cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    return b"".join(parts)


def _write_block(descriptor: int, data: bytes) -> None:
    """Write all data. Raises: SignalReceived: the pipe was closed; AwsRunasError: output-unwritable."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise SignalReceived(signal.SIGPIPE) from error
        raise AwsRunasError(
            f"standard output cannot be written: {(error.strerror or str(error)).lower()}",
            code="output-unwritable",
            hint="free some space, or redirect it to another file",
        ) from error
