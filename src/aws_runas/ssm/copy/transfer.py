"""The transfer of a plan: jobs, the sessions that work on them, and failures."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.copy.files import Files
from aws_runas.ssm.copy.plan import (
    SEGMENT,
    SMALL_FILE,
    UNKNOWN_SIZE_LIMIT,
    CopyOptions,
    FileCopy,
    Plan,
    attributes,
    batches,
)
from aws_runas.ssm.copy.protocol import CopyError, copy_error

DEPTH: Final = 2  # concurrent jobs of one session: one is sent while the other is read or written
DAMAGES: Final = 3  # how often a file's content may arrive damaged, as when an agent executes a message twice
RETRIES: Final = 3  # how many sessions may be lost during one job
LIST_SIZE: Final = 1000  # directories or links in one request


@dataclass(slots=True)
class Progress:
    """Progress of a transfer. Args: total, done: bytes of content; sent: compressed bytes on the wire."""

    total: int = 0
    files: int = 0
    done: int = 0
    files_done: int = 0
    sent: int = 0
    resumed: int = 0


@dataclass(slots=True)
class _Large:
    """A file in segments."""

    copy: FileCopy
    part: str
    missing: int
    failed: bool = False
    damages: int = 0
    finishing: bool = False  # its rename was requested; the reply may be lost with a session


@dataclass(slots=True, eq=False)
class _Job:
    """Work for one session. Args: action: does the work; copies: the entries that fail if the action fails."""

    action: Callable[[Files], Awaitable[None]]
    copies: Sequence[FileCopy]
    losses: int = 0


@dataclass(slots=True)
class _Segments:
    """Jobs of a large file, created on request, since a terabyte has a million. Args: left: indices of segments."""

    large: _Large
    left: Iterator[int]
    next: int | None


@dataclass(slots=True)
class Transfer:
    """Copies one plan. Call `work` once for each session; `finished` is set when all jobs are done.

    Args:
        local: file operations of this machine.
        upload: copy from this machine to the instance.
        umask: umask of the receiving side.
        source_id: part of the name of unfinished files; the same for the same source.
        note: receives lines for the user.
    """

    plan: Plan
    options: CopyOptions
    local: Files
    upload: bool
    umask: int
    source_id: str
    note: Callable[[str], None]
    progress: Progress = field(default_factory=Progress)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    unfinished: dict[str, None] = field(default_factory=dict)
    """Names of large files' parts that were begun and neither renamed nor reported as failed."""
    _jobs: deque[_Job | _Segments] = field(default_factory=deque)
    _open: int = 0
    _wakers: set[asyncio.Event] = field(default_factory=set)

    def start(self) -> None:
        """Create the jobs of all files. Call `prepare` before; it creates directories and links."""
        self.progress.total, self.progress.files = self.plan.total(), len(self.plan.files)
        for copy in self.plan.files:
            if copy.entry.size >= SMALL_FILE:
                self._add(partial(self._open_large, copy), [copy])
        for batch in batches(copy for copy in self.plan.files if copy.entry.size < SMALL_FILE):
            self._add(partial(self._copy_batch, batch, 0), batch)
        self._check_finished()

    async def prepare(self, far: Files) -> None:
        """Create directories and links, and remove the entries that the plan deletes."""
        target = far if self.upload else self.local
        for operation, copies in (("mkdirs", self.plan.directories), ("links", self.plan.links)):
            await self._each(target, operation, copies, lambda copy: {"target": copy.entry.target})
        await self._each(target, "remove", self.plan.delete, lambda _: {})

    async def complete(self, far: Files) -> None:
        """Set mode and time of directories, after their content was written."""
        target = far if self.upload else self.local
        if self.options.preserve or self.options.owner:
            copies = list(reversed(self.plan.directories))
            await self._each(target, "attributes", copies, lambda copy: attributes(copy, self.options, self.umask))

    async def work(self, far: Files) -> None:
        """Work on jobs with one session until all are done.

        Raises:
            SessionError: the session has ended; other sessions take over its jobs.
        """
        workers = [asyncio.ensure_future(self._worker(far)) for _ in range(DEPTH)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def remaining(self) -> int:
        """Return the number of bytes that are not copied yet."""
        return self.progress.total - self.progress.done

    def has_jobs(self) -> bool:
        """Return True if a job waits for a session."""
        return bool(self._jobs)

    # --- jobs

    async def _worker(self, far: Files) -> None:
        waker = asyncio.Event()
        self._wakers.add(waker)
        try:
            while not self.finished.is_set():
                if not self._jobs:
                    waker.clear()
                    await waker.wait()
                    continue
                await self._run(self._next_job(), far)
        finally:
            self._wakers.discard(waker)

    def _next_job(self) -> _Job:
        first = self._jobs.popleft()
        if isinstance(first, _Job):
            return first
        job = _Job(partial(self._copy_segment, first.large, first.next or 0), [first.large.copy])
        first.next = next(first.left, None)
        if first.next is not None and not first.large.failed:
            self._open += 1
            self._jobs.appendleft(first)
        return job

    async def _run(self, job: _Job, far: Files) -> None:
        try:
            await job.action(far)
        except CopyError as error:
            self.failures += [(copy.target, error.code, error.message) for copy in job.copies]
        except BaseException as error:
            job.losses += isinstance(error, AwsRunasError)
            if job.losses <= RETRIES:
                self._jobs.appendleft(job)
            else:
                lost = "the session was lost each time"
                self.failures += [(copy.target, "copy-failed", lost) for copy in job.copies]
                self._open -= 1
                self._check_finished()
            raise
        self._open -= 1
        self._check_finished()

    def _add(
        self, action: Callable[[Files], Awaitable[None]], copies: Sequence[FileCopy], *, first: bool = False
    ) -> None:
        self._open += 1
        job = _Job(action, copies)
        if first:
            self._jobs.appendleft(job)
        else:
            self._jobs.append(job)
        self._wake()

    def _wake(self) -> None:
        for waker in self._wakers:
            waker.set()

    def _check_finished(self) -> None:
        if self._open == 0:
            self.finished.set()
            self._wake()

    def _sides(self, far: Files) -> tuple[Files, Files]:
        return (self.local, far) if self.upload else (far, self.local)

    # --- small files

    async def _copy_batch(self, batch: list[FileCopy], damages: int, far: Files) -> None:
        try:
            await self._copy_batch_once(batch, far)
        except CopyError as error:
            if error.code != "hash-differs" or damages >= DAMAGES:
                raise
            self._add(partial(self._copy_batch, batch, damages + 1), batch, first=True)

    async def _copy_batch_once(self, batch: list[FileCopy], far: Files) -> None:
        source, target = self._sides(far)
        wanted = [{"path": copy.source, "limit": copy.entry.size or UNKNOWN_SIZE_LIMIT} for copy in batch]
        values, data = await source.call("read_many", {"files": wanted, "compress": self.options.compress})
        read = _objects(values.get("files"), len(batch))
        files, copies = [], []
        for copy, item in zip(batch, read, strict=True):
            size = item.get("size")
            if "error" in item:
                self._failed(copy.source, item)
                files.append({"path": "", "size": 0})
            elif not isinstance(size, int) or not 0 <= size <= (copy.entry.size or UNKNOWN_SIZE_LIMIT):
                raise copy_error("hash-differs", f"{copy.source} does not have the announced size")
            else:
                values_of = attributes(copy, self.options, self.umask)
                files.append({"path": copy.target, "root": copy.root, "size": size, **values_of})
                if size < copy.entry.size:
                    self.failures.append((copy.source, "file-changed", "it became shorter while it was copied"))
            copies.append(copy)
        keep = [index for index, item in enumerate(files) if item["path"]]
        if len(keep) == len(files):
            await self._write_batch(target, copies, files, values, data)
        elif keep:  # some files could not be read; the data has no bytes of them
            kept = [copies[index] for index in keep]
            await self._write_batch(target, kept, [files[index] for index in keep], values, data)
        self.progress.sent += len(data)
        self.progress.done += sum(copy.entry.size for copy in batch)
        self.progress.files_done += len(batch)

    async def _write_batch(
        self,
        target: Files,
        copies: list[FileCopy],
        files: list[dict[str, object]],
        values: dict[str, object],
        data: bytes,
    ) -> None:
        size = sum(item["size"] for item in files if isinstance(item["size"], int))
        if values.get("size") != size:
            raise copy_error("hash-differs", "a batch does not have the announced size")
        sha, packed = values.get("sha"), bool(values.get("packed"))
        reply, _ = await target.call("write_many", {"files": files, "sha": sha, "packed": packed, "size": size}, data)
        for copy, item in zip(copies, _objects(reply.get("files"), len(copies)), strict=True):
            if "error" in item:
                self._failed(copy.target, item)

    # --- large files

    async def _open_large(self, copy: FileCopy, far: Files) -> None:
        _, target = self._sides(far)
        entry = copy.entry
        digest = hashlib.sha256(f"{self.source_id}\n{copy.source}".encode("utf-8", "surrogateescape"))
        values, _ = await target.call(
            "part_open",
            {
                "path": copy.target,
                "root": copy.root,
                "size": entry.size,
                "stamp": entry.stamp,
                "id": digest.hexdigest()[:8],
                "resume": self.options.resume,
            },
        )
        if values.get("changed"):
            self.note(f"{copy.source} has changed since the last attempt; starting over")
        part = str(values.get("part", ""))
        self.unfinished[part] = None
        count = -(-entry.size // SEGMENT)
        done = {index for index in _numbers(values.get("done")) if 0 <= index < count}
        resumed = sum(min(SEGMENT, entry.size - index * SEGMENT) for index in done)
        self.progress.done += resumed
        self.progress.resumed += resumed
        large = _Large(copy, part, count - len(done))
        if large.missing:
            left = (index for index in range(count) if index not in done)
            self._open += 1
            self._jobs.appendleft(_Segments(large, left, next(left)))
            self._wake()
        else:
            self._add(partial(self._finish_large, large), [copy], first=True)

    async def _copy_segment(self, large: _Large, index: int, far: Files) -> None:
        if large.failed:
            return
        source, target = self._sides(far)
        entry, offset = large.copy.entry, index * SEGMENT
        length = min(SEGMENT, entry.size - offset)
        name = large.copy.source  # on the side that fails
        try:
            values, data = await source.call(
                "read",
                {
                    "path": large.copy.source,
                    "offset": offset,
                    "length": length,
                    "compress": self.options.compress,
                },
            )
            if values.get("stamp") != entry.stamp or values.get("size") != length:
                raise copy_error("file-changed", "its size, time or inode has changed")
            name = large.copy.target
            await target.call(
                "part_write",
                {
                    "part": large.part,
                    "offset": offset,
                    "size": length,
                    "sha": values.get("sha"),
                    "packed": bool(values.get("packed")),
                },
                data,
            )
        except CopyError as error:
            if error.code == "hash-differs" and large.damages < DAMAGES:
                large.damages += 1
                self._add(partial(self._copy_segment, large, index), [large.copy], first=True)
                return
            await self._fail_large(large, name, error, target)
            return
        self.progress.sent += len(data)
        self.progress.done += length
        large.missing -= 1
        if large.missing == 0:
            self._add(partial(self._finish_large, large), [large.copy], first=True)

    async def _finish_large(self, large: _Large, far: Files) -> None:
        source, target = self._sides(far)
        sha = ""
        if self.options.verify or large.finishing:
            try:
                values, _ = await source.call("hash", {"path": large.copy.source})
            except CopyError as error:
                await self._fail_large(large, large.copy.source, error, target)
                return
            sha = str(values.get("sha") or "")
        if large.finishing and await was_renamed(target, large.part, large.copy.target, sha):
            self._finished_large(large)
            return
        large.finishing = True
        try:
            await target.call(
                "part_finish",
                {
                    "part": large.part,
                    "path": large.copy.target,
                    "root": large.copy.root,
                    "size": large.copy.entry.size,
                    "sha": sha if self.options.verify else "",
                    **attributes(large.copy, self.options, self.umask),
                },
            )
        except CopyError as error:
            if error.code == "hash-differs":
                await target.call("part_drop", {"part": large.part})
            await self._fail_large(large, large.copy.target, error, target)
            return
        self._finished_large(large)

    def _finished_large(self, large: _Large) -> None:
        self.progress.files_done += 1
        self.unfinished.pop(large.part, None)

    async def _fail_large(self, large: _Large, name: str, error: CopyError, target: Files) -> None:
        """Report the first failure of a file, with the name of the unfinished file; ignore those of other segments."""
        if large.failed:
            return
        large.failed = True
        self.unfinished.pop(large.part, None)
        text = error.message
        with suppress(AwsRunasError):
            values, _ = await target.call("stat", {"path": large.part})
            if values.get("entry") is not None:
                text += f"; the unfinished file is {large.part}"
        self.failures.append((name, error.code, text))

    # --- lists

    async def _each(
        self,
        target: Files,
        operation: str,
        copies: list[FileCopy],
        values: Callable[[FileCopy], dict[str, object]],
    ) -> None:
        for at in range(0, len(copies), LIST_SIZE):
            group = copies[at : at + LIST_SIZE]
            files = [{"path": copy.target, "root": copy.root, **values(copy)} for copy in group]
            reply, _ = await target.call(operation, {"files": files})
            for copy, item in zip(group, _objects(reply.get("files"), len(group)), strict=True):
                if "error" in item:
                    self._failed(copy.target, item)

    def _failed(self, name: str, item: dict[str, object]) -> None:
        error = copy_error(str(item.get("error")), str(item.get("text", "")))
        self.failures.append((name, error.code, error.message))


async def was_renamed(target: Files, part: str, path: str, sha: str) -> bool:
    """Return True if a ``part_finish`` whose reply was lost has renamed the file.

    Args:
        target: the side that has the file.
        part: name of the unfinished file, which does not exist after the rename.
        path: final name of the file.
        sha: SHA-256 of the source, in hexadecimal.
    """
    values, _ = await target.call("stat", {"path": part})
    if values.get("entry") is not None:
        return False
    try:
        values, _ = await target.call("hash", {"path": path})
    except CopyError:
        return False
    return values.get("sha") == sha


def _objects(value: object, count: int) -> list[dict[str, object]]:
    """Return a list of objects from a reply, if it has the expected length.

    Raises:
        SessionError: the value is not such a list.
    """
    if not isinstance(value, list) or len(value) != count or not all(isinstance(item, dict) for item in value):
        raise SessionError("the reply of the instance is damaged", code="helper-failed")
    return value


def _numbers(value: object) -> list[int]:
    return [item for item in value if isinstance(item, int)] if isinstance(value, list) else []
