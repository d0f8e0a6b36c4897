"""Plan of a copy: directories, links, small files in batches, large files in segments. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from itertools import chain
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.ssm.copy.names import Filters, join, link_refusal, refusal

SMALL_FILE: Final = 256 * 1024  # bytes; smaller files travel in batches
BATCH_BYTES: Final = 8 << 20  # spec sessions 2
BATCH_FILES: Final = 512  # spec sessions 2
SEGMENT: Final = 1 << 20  # bytes, spec sessions 2
SECOND: Final = 1_000_000_000  # nanoseconds
UNKNOWN_SIZE_LIMIT: Final = 8 << 20  # bytes of a file that reports size 0, as in /proc


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or link as one side reports it.

    Args:
        name: path relative to the top; "" is the top itself.
        kind: ``file``, ``dir``, ``link``, ``other`` or ``error``.
        mtime: nanoseconds since the epoch.
        text: reason for an error.
    """

    name: str
    kind: str
    size: int = 0
    mtime: int = 0
    mode: int = 0
    inode: int = 0
    target: str = ""
    text: str = ""

    @property
    def stamp(self) -> list[int]:
        """Size, time and inode, which show whether the file has changed."""
        return [self.size, self.mtime, self.inode]


# Entries of the same kind or mode share one object.
_KINDS: Final = {kind: kind for kind in ("file", "dir", "link", "error")}
_MODES: Final = tuple(range(0o10000))


def read_entry(values: Mapping[str, object], name: str) -> Entry:
    """Read an entry of file_server; wrong types become empty values."""

    def number(key: str) -> int:
        value = values.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    def text(key: str) -> str:
        value = values.get(key)
        return value if isinstance(value, str) else ""

    return Entry(
        name,
        _KINDS.get(text("kind"), "other"),
        max(number("size"), 0),
        number("mtime"),  # negative before 1970
        _MODES[number("mode") & 0o7777],
        max(number("inode"), 0),
        text("target"),
        text("text"),
    )


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """Options of a copy.

    Args:
        recursive: copy directories.
        follow: follow links.
        preserve: keep mtime and mode.
        mode: mode of every file; None for the source's mode.
        owner: USER[:GROUP] on the far side, "" to leave the owner unchanged.
        resume: continue unfinished files.
        checksum: compare by hash, not by size and time.
        compress: ``auto``, ``none`` or ``gzip``.
        delete: remove entries that the source does not have.
        clobber: replace existing files.
        verify: compare the SHA-256 of both sides.
        dry_run: only return the planned actions.
    """

    recursive: bool = False
    follow: bool = False
    preserve: bool = False
    mode: int | None = None
    owner: str = ""
    resume: bool = True
    checksum: bool = False
    compress: str = "auto"
    filters: Filters = field(default_factory=Filters)
    delete: bool = False
    clobber: bool = True
    verify: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Tops:
    """The two ends of a copied tree, shared by its entries. Args: source, target: paths on their sides."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class FileCopy:
    """One entry to copy. A tree has many entries, so paths are built only when they are needed."""

    entry: Entry
    tops: Tops

    @property
    def source(self) -> str:
        """Path on the source side."""
        return join(self.tops.source, self.entry.name)

    @property
    def target(self) -> str:
        """Path on the target side."""
        return join(self.tops.target, self.entry.name)

    @property
    def root(self) -> str:
        """Path of the top on the target side; directories above it are not checked for links."""
        return self.tops.target


@dataclass(slots=True)
class Plan:
    """All actions, in the order of the fields.

    Args:
        failures: names that are not copied, each with code and reason.
        skipped: names whose target is already the same.
    """

    directories: list[FileCopy] = field(default_factory=list)
    links: list[FileCopy] = field(default_factory=list)
    files: list[FileCopy] = field(default_factory=list)
    delete: list[FileCopy] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def extend(self, other: Plan) -> None:
        """Append another plan to this one."""
        for name in ("directories", "links", "files", "delete", "failures", "skipped"):
            getattr(self, name).extend(getattr(other, name))

    def total(self) -> int:
        """Return the total size of all files in bytes."""
        return sum(copy.entry.size for copy in self.files)


@dataclass(frozen=True, slots=True)
class Source:
    """A file, link or directory to copy, and its content.

    Args:
        path: path of the top.
        top: entry of the top, with an empty name.
        below: the entries below the top, in the order of the walk, read once; another machine may list a name twice.
        trusted: the source is on this machine; otherwise names and links are checked.
    """

    path: str
    top: Entry
    below: Iterable[Entry]
    trusted: bool


def plan_tree(source: Source, target: str, there: Mapping[str, Entry], options: CopyOptions) -> Plan:
    """Compare a source with the entries of the destination.

    Args:
        source: the tree to copy; the entries below its top are read once.
        target: path of the destination.
        there: entries of the destination by name; "" is the destination itself.
        options: options of the copy.
    """
    trusted = source.trusted
    plan, tops = Plan(), Tops(source.path, target)
    excluded: list[str] = []
    seen: set[str] = set()
    for entry in chain([source.top], source.below):
        copy = FileCopy(entry, tops)
        if options.delete:
            seen.add(entry.name)
        if entry is not source.top and not trusted and (reason := refusal(entry.name)):
            plan.failures.append((copy.source, "name-refused", reason))
            continue
        if entry.name.startswith(tuple(excluded)) if excluded else False:
            continue
        if entry.name and not options.filters.allows(entry.name):
            excluded.append(entry.name + "/")
            continue
        existing = there.get(entry.name)
        _plan_entry(plan, copy, existing, options, trusted=trusted)
        if entry.kind == "dir" and existing is not None and existing.kind != "dir":
            if not entry.name:  # one failure covers all entries below
                break
            excluded.append(entry.name + "/")
    if options.delete and source.top.kind == "dir":
        extra = [entry for name, entry in there.items() if name not in seen and options.filters.allows(name)]
        extra.sort(key=lambda entry: entry.name, reverse=True)  # the content of a directory before the directory itself
        plan.delete += [FileCopy(entry, tops) for entry in extra]
    return plan


def _plan_entry(plan: Plan, copy: FileCopy, there: Entry | None, options: CopyOptions, *, trusted: bool) -> None:
    entry = copy.entry
    match entry.kind:
        case "dir":
            if there is not None and there.kind != "dir":
                plan.failures.append((copy.target, "copy-failed", "the target exists and is not a directory"))
            elif there is None or options.preserve:
                plan.directories.append(copy)
        case "link":
            if not trusted and (reason := link_refusal(entry.name, entry.target)):
                plan.failures.append((copy.source, "name-refused", reason))
            elif there is None or (there.kind == "link" and there.target != entry.target and options.clobber):
                plan.links.append(copy)
            elif there.kind != "link":
                plan.failures.append((copy.target, "copy-failed", "the target exists and is not a link"))
        case "file":
            _plan_file(plan, copy, there, options)
        case "error":
            plan.failures.append((copy.source, "copy-failed", entry.text))
        case _:
            plan.failures.append((copy.source, "name-refused", "it is a device, a socket or a pipe"))


def _plan_file(plan: Plan, copy: FileCopy, there: Entry | None, options: CopyOptions) -> None:
    if there is None:
        plan.files.append(copy)
    elif there.kind != "file":
        plan.failures.append((copy.target, "copy-failed", "the target exists and is not a regular file"))
    elif not options.clobber or is_same(copy.entry, there, options):
        plan.skipped.append(copy.target)
    else:
        plan.files.append(copy)


def is_same(here: Entry, there: Entry, options: CopyOptions) -> bool:
    """Return True if size and time show that a file is already copied. With ``checksum``, the caller compares hashes.

    Args:
        here: entry of the source.
        there: entry of the target.
        options: determine which attributes are compared.
    """
    if options.checksum or here.size == 0 or here.size != there.size:
        return False
    second = here.mtime // SECOND * SECOND  # the time on a target whose tools only support whole seconds
    return there.mtime in (here.mtime, second)


def batches(files: Iterable[FileCopy]) -> Iterator[list[FileCopy]]:
    """Return groups of small files; each group fits into one request."""
    batch: list[FileCopy] = []
    size = 0
    for copy in files:
        if batch and (len(batch) >= BATCH_FILES or size + copy.entry.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(copy)
        size += copy.entry.size
    if batch:
        yield batch


def attributes(copy: FileCopy, options: CopyOptions, umask: int) -> dict[str, object]:
    """Return mode, time and owner for the target.

    Args:
        copy: the entry to copy.
        options: options of the copy.
        umask: umask of the receiving side.
    """
    executable = copy.entry.mode & 0o111
    mode = copy.entry.mode & 0o1777 if options.preserve else (0o666 | executable) & ~umask
    if copy.entry.kind == "dir" and not options.preserve:
        mode = 0o777 & ~umask
    if options.mode is not None and copy.entry.kind == "file":
        mode = options.mode
    values: dict[str, object] = {"mode": mode}
    if options.preserve:
        values["mtime"] = copy.entry.mtime
    if options.owner:
        values["owner"] = options.owner
    return values
