"""`cp` from a plan to its result: compares both trees, adds sessions while they help, and copies streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from typing import Final, Protocol

from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.ssm.copy.files import Files, LocalFiles
from aws_runas.ssm.copy.names import base_name, join, refusal
from aws_runas.ssm.copy.plan import CopyOptions, Entry, FileCopy, Plan, Source, plan_tree, read_entry
from aws_runas.ssm.copy.protocol import copy_error, unpack_entries
from aws_runas.ssm.copy.streams import StreamCopy
from aws_runas.ssm.copy.transfer import Progress, Transfer

GROW_REMAINING: Final = 5.0  # seconds; another session is opened if the rest takes longer, spec sessions 2
GROW_INTERVAL: Final = 1.5  # seconds between two new sessions, spec sessions 2
AUTO_SESSIONS: Final = 4  # spec sessions 2
TURN: Final = 0.2  # seconds between two checks of the progress
LOST_SESSIONS: Final = 3  # maximum number of lost sessions that are replaced
# An upload of this many bytes takes about as long as opening a session. Session logs do not contain the input of a
# shell, but they do contain its output, so downloads use a separate session.
FIRST_SESSION_BYTES: Final = 1 << 20
SHOWN_PARTS: Final = 5  # maximum number of unfinished files named in messages


@dataclass(frozen=True, slots=True)
class CopyRequest:
    """Request for one copy.

    Args:
        sources: paths on the source side; ``-`` for standard input.
        target: path on the other side; ``-`` for standard output.
        upload: the sources are on this machine.
        into: the target must be a directory (several sources, or a trailing slash).
        source_id: identifies the source side in the names of unfinished files.
        sessions: number of sessions, 0 for auto.
    """

    sources: Sequence[str]
    target: str
    upload: bool
    into: bool
    source_id: str
    sessions: int = 0
    options: CopyOptions = field(default_factory=CopyOptions)


@dataclass(frozen=True, slots=True)
class CopyResult:
    """The result of a copy.

    Args:
        failures: name, code and reason of each failure.
        actions: lines of a dry run.
    """

    progress: Progress
    failures: Sequence[tuple[str, str, str]]
    skipped: Sequence[str] = ()
    actions: Sequence[str] = ()
    sessions: int = 1
    carrier: str = "shell"


class Sessions(Protocol):
    """Opens the sessions of a copy; sessions.CopySessions is one."""

    carrier: str

    async def start(self) -> Files:
        """Open the first session."""
        ...

    async def add_worker(self, *, small: bool = False) -> Files:
        """Open one more session for data. For little data, the first session may be used."""
        ...

    async def close(self) -> None:
        """End all sessions."""
        ...


@dataclass(slots=True)
class Copying:
    """One run of `cp`.

    Args:
        report: called about five times per second.
        note: receives lines for the user.
        stdin, stdout: descriptors for ``-``.
    """

    request: CopyRequest
    sessions: Sessions
    report: Callable[[Progress], None]
    note: Callable[[str], None]
    stdin: int = 0
    stdout: int = 1
    _workers: set[asyncio.Task[None]] = field(default_factory=set)
    _opening: asyncio.Task[None] | None = None
    _opened: int = 0
    _opened_at: float = 0.0
    _lost: list[AwsRunasError] = field(default_factory=list)

    async def run(self) -> CopyResult:
        """Copy.

        Raises:
            SessionError: the transfer was interrupted (copy-broken), or could not start.
        """
        try:
            far = await self.sessions.start()
            local = LocalFiles()
            if "-" in (self.request.target, *self.request.sources):
                return await self._stream()
            return await self._tree(far, local)
        finally:
            for task in [*self._workers, *([self._opening] if self._opening is not None else [])]:
                task.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            await self.sessions.close()
            await LocalFiles().call("release")

    # --- trees

    async def _tree(self, far: Files, local: Files) -> CopyResult:
        request = self.request
        source, target = (local, far) if request.upload else (far, local)
        plan, (values, _) = await asyncio.gather(plan_copy(source, target, request), target.call("info"))
        if request.options.dry_run:
            return CopyResult(Progress(), plan.failures, plan.skipped, describe(plan))
        umask = values.get("umask")
        transfer = Transfer(
            plan,
            request.options,
            local,
            request.upload,
            umask if isinstance(umask, int) else 0o022,
            request.source_id,
            self.note,
        )
        transfer.failures += plan.failures
        await transfer.prepare(far)
        try:
            if plan.files:
                await self._drive(transfer)
            await self._complete(transfer, far)
        except BaseException:
            for part in list(transfer.unfinished)[:SHOWN_PARTS]:
                self.note(f"unfinished: {part}; the same command continues it")
            raise
        self.report(transfer.progress)
        return CopyResult(
            transfer.progress,
            transfer.failures,
            plan.skipped,
            sessions=max(self._opened, 1),
            carrier=self.sessions.carrier,
        )

    async def _complete(self, transfer: Transfer, far: Files) -> None:
        """Set the attributes of directories, in a new session if the first one was lost."""
        try:
            await transfer.complete(far)
        except SessionError as error:
            self.note(f"a session was lost: {error.message}")
            await transfer.complete(await self.sessions.add_worker())

    async def _drive(self, transfer: Transfer) -> None:
        """Work with one session, then more, until everything is copied."""
        loop = asyncio.get_running_loop()
        transfer.start()
        began = loop.time()
        finished = asyncio.ensure_future(transfer.finished.wait())
        try:
            await self._open_worker(transfer, small=self.request.upload and transfer.remaining() <= FIRST_SESSION_BYTES)
            while not transfer.finished.is_set():
                self.report(transfer.progress)
                await asyncio.wait({finished, *self._workers}, timeout=TURN, return_when=asyncio.FIRST_COMPLETED)
                self._collect_workers()
                if self._opening is not None and self._opening.done():
                    self._opening.exception()  # no session could be added; the existing ones continue
                    self._opening = None
                if not self._workers and self._opening is None and not transfer.finished.is_set():
                    if len(self._lost) > LOST_SESSIONS:
                        raise _broken(self._lost[-1])
                    await self._open_worker(transfer)
                elif self._opening is None and self._should_grow(transfer, loop.time() - began, loop.time()):
                    self._opening = asyncio.ensure_future(self._open_worker(transfer))
        finally:
            finished.cancel()

    async def _open_worker(self, transfer: Transfer, *, small: bool = False) -> None:
        self._opened_at = asyncio.get_running_loop().time()
        try:
            files = await self.sessions.add_worker(small=small)
        except AwsRunasError as error:
            if not self._workers:
                if self._opened:
                    raise _broken(error) from error
                raise
            self._opened = AUTO_SESSIONS * 2  # continue with the existing sessions
            raise
        self._opened += 1
        self._opened_at = asyncio.get_running_loop().time()
        self._workers.add(asyncio.ensure_future(transfer.work(files)))

    def _should_grow(self, transfer: Transfer, seconds: float, now: float) -> bool:
        wanted = self.request.sessions or AUTO_SESSIONS
        if self._opened >= wanted or not transfer.has_jobs():
            return False
        if self.request.sessions:
            return True
        done = transfer.progress.done - transfer.progress.resumed
        rate = done / seconds if seconds > 0 else 0.0
        slow = seconds > 1.0 and transfer.remaining() > rate * GROW_REMAINING
        return slow and now - self._opened_at >= GROW_INTERVAL

    def _collect_workers(self) -> None:
        for task in [task for task in self._workers if task.done()]:
            self._workers.discard(task)
            error = task.exception()
            if isinstance(error, AwsRunasError) and error.code != "helper-failed":
                self._lost.append(error)
                self.note(f"a session was lost: {error.message}")
            elif error is not None:
                raise error

    async def _stream(self) -> CopyResult:
        request, upload = self.request, self.request.upload
        path, descriptor = (request.target, self.stdin) if upload else (request.sources[0], self.stdout)
        copy = StreamCopy(self.sessions, path, request.options, descriptor, self.report, self.note)
        progress = await (copy.from_stdin(into=request.into) if upload else copy.to_stdout())
        return CopyResult(progress, [], carrier=self.sessions.carrier)


async def plan_copy(source: Files, target: Files, request: CopyRequest) -> Plan:
    """Compare sources and target, and return what to do.

    Args:
        source, target: file operations of each side.
        request: paths and options.

    Raises:
        CopyError: the target must be a directory, but is not.
    """
    there = await _stat(target, request.target, follow=True)
    into = request.into or (there is not None and there.kind == "dir")
    if into and there is None and request.options.recursive and len(request.sources) == 1:
        only = await _stat(source, request.sources[0], follow=request.options.follow)
        into = only is not None and only.kind != "dir"  # a directory is copied under the new name, as cp does
    if into and (there is None or there.kind != "dir"):
        raise copy_error("copy-failed", f"{request.target} is not a directory")
    plan = Plan()
    tops: dict[str, str] = {}
    for path in request.sources:
        name = base_name(path)
        if name == "..":
            plan.failures.append((path, "copy-failed", "its last part is not a name"))
            continue
        if not request.upload and name != "." and (reason := refusal(name)):
            plan.failures.append((path, "name-refused", reason))
            continue
        top = join(request.target, name) if into and name != "." else request.target
        if tops.setdefault(top, path) != path and name != ".":
            plan.failures.append((path, "copy-failed", f"{tops[top]} has the same name"))
            continue
        plan.extend(await _plan_one(source, target, path, top, request))
    if request.options.checksum:
        await _skip_same(source, target, plan)
    return plan


async def _plan_one(source: Files, target: Files, path: str, top: str, request: CopyRequest) -> Plan:
    options = request.options
    entry = await _stat(source, path, follow=options.follow or not options.recursive)
    if entry is None:
        bare = path.rstrip("/")
        is_file = bare != path and await _stat(source, bare, follow=True) is not None
        reason = "it is not a directory; leave out the slash at its end" if is_file else "it does not exist"
        return Plan(failures=[(path, "copy-failed", reason)])
    if entry.kind == "dir" and not options.recursive:
        return Plan(failures=[(path, "copy-failed", "it is a directory; add -r")])
    below: Iterable[Entry] = ()
    there: dict[str, Entry] = {}
    existing = await _stat(target, top, follow=entry.kind == "dir")
    if existing is not None:
        there[""] = existing
    if entry.kind == "dir":
        below = await _walk(source, path, follow=options.follow)
        if existing is not None and existing.kind == "dir":
            there |= {item.name: item for item in await _walk(target, top, follow=False)}
    return plan_tree(Source(path, entry, below, trusted=request.upload), top, there, options)


async def _skip_same(source: Files, target: Files, plan: Plan) -> None:
    """Leave out files whose target has the same content, with --checksum."""
    different: list[FileCopy] = []
    for copy in plan.files:
        there = await _stat(target, copy.target, follow=False)
        if there is not None and there.kind == "file" and there.size == copy.entry.size:
            ours, _ = await source.call("hash", {"path": copy.source})
            theirs, _ = await target.call("hash", {"path": copy.target})
            if ours.get("sha") == theirs.get("sha"):
                plan.skipped.append(copy.target)
                continue
        different.append(copy)
    plan.files[:] = different


async def _stat(files: Files, path: str, *, follow: bool) -> Entry | None:
    values, _ = await files.call("stat", {"path": path, "follow": follow})
    entry = values.get("entry")
    return read_entry(entry, "") if isinstance(entry, dict) else None


async def _walk(files: Files, path: str, *, follow: bool) -> Iterator[Entry]:
    _, data = await files.call("walk", {"path": path, "follow": follow})
    return map(_listed_entry, unpack_entries(data))


def _listed_entry(values: dict[str, object]) -> Entry:
    name = values.get("name")
    return read_entry(values, name if isinstance(name, str) else "")


def describe(plan: Plan) -> list[str]:
    """Return one line for each action of the plan."""
    lines = [f"directory {copy.target}" for copy in plan.directories]
    lines += [f"link {copy.target} -> {copy.entry.target}" for copy in plan.links]
    lines += [f"copy {copy.target} {copy.entry.size}" for copy in plan.files]
    return [*lines, *(f"delete {copy.target}" for copy in plan.delete), *(f"skip {name}" for name in plan.skipped)]


def _broken(error: AwsRunasError) -> SessionError:
    return SessionError(
        f"the transfer broke: {error.message}", code="copy-broken", hint="run the same command again to resume"
    )
