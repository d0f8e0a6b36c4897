"""The operations of file_server as calls of posix_server's functions, for instances without Python."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError
from aws_runas.ssm.command.bootstrap import quote
from aws_runas.ssm.copy.file_server import expand, pack_entries, part_name
from aws_runas.ssm.copy.files import ByteLink, wait_for_reply
from aws_runas.ssm.copy.plan import SEGMENT
from aws_runas.ssm.copy.protocol import MAX_PAYLOAD, CopyError, Reply, copy_error

MAX_LINE: Final = 200  # bytes of the first line, and of the line with the lengths of a reply
WALK_ATTEMPTS: Final = 3  # a tree may change between reading its names and reading their attributes
GZIP_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_KINDS: Final = {0o100000: "file", 0o040000: "dir", 0o120000: "link"}

Values = dict[str, object]
Answer = tuple[list[bytes], bytes]  # records and output


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs that the script found on the instance.

    Args:
        hashes: True if there is a program that computes SHA-256.
        gzip: True if there is gzip.
    """

    hashes: bool
    gzip: bool


class PosixFiles:
    """Implements Files with posix_server on the instance.

    Args:
        link: carries the requests. Its owner calls `receive_data` and `fail`.
        verify: the instance must compute SHA-256.
    """

    def __init__(self, link: ByteLink, *, verify: bool = True) -> None:
        self._link = link
        self._verify = verify
        self._buffer = bytearray()
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._sending = asyncio.Lock()
        self._error: Exception | None = None
        self._home = ""
        self.received = 0
        """Bytes received so far."""
        self.tools: asyncio.Future[Tools] = asyncio.get_running_loop().create_future()
        """Set when the script runs; its error if it cannot."""

    # --- bytes

    def receive_data(self, data: bytes) -> None:
        """Process output of the script."""
        self.received += len(data)
        self._buffer += data
        try:
            if not self.tools.done() and (line := self._line()) is not None:
                self.tools.set_result(read_tools(line, verify=self._verify))
            while self.tools.done() and (answer := self._answer()) is not None:
                if not self._waiting:
                    raise _damaged("a reply came without a request")
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(answer)
        except SessionError as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Fail all current and later calls, because the session has ended."""
        self._error = self._error or error
        code = error.code if isinstance(error, SessionError) else "session-ended"
        if not self.tools.done():
            self.tools.set_exception(SessionError(str(error), code=code))
            self.tools.exception()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(SessionError(str(error), code=code))
                future.exception()  # mark it as retrieved: a cancelled call does not await it

    def _end_of_line(self) -> int | None:
        """Return the length of the first line, or None if its end has not arrived yet."""
        end = self._buffer.find(b"\n", 0, MAX_LINE)
        if end >= 0:
            return end
        if len(self._buffer) >= MAX_LINE:
            raise _damaged("its first line is too long")
        return None

    def _line(self) -> bytes | None:
        end = self._end_of_line()
        if end is None:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _answer(self) -> Answer | None:
        end = self._end_of_line()
        if end is None:
            return None
        words = bytes(self._buffer[:end]).split()
        if len(words) != 2 or not all(word.isdigit() and int(word) <= MAX_PAYLOAD for word in words):
            raise _damaged(f"{bytes(self._buffer[:end])!r} is no length")
        middle = end + 1 + int(words[0])
        if len(self._buffer) < middle + int(words[1]):
            return None
        log, output = bytes(self._buffer[end + 1 : middle]), bytes(self._buffer[middle : middle + int(words[1])])
        del self._buffer[: middle + int(words[1])]
        return log.split(b"\0")[:-1], output

    async def _ask(self, script: str, payload: bytes = b"") -> Answer:
        text = script.encode("utf-8", "surrogateescape")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        async with self._sending:
            if self._error is not None:
                raise SessionError(str(self._error), code="session-ended") from self._error
            self._waiting.append(answer)
            await self._link.send(b"%d %d\n%b%b" % (len(text), len(payload), text, payload))
        await wait_for_reply(answer, self)
        return answer.result()

    async def _one(self, *words: object, payload: bytes = b"") -> tuple[bytes, bytes]:
        """Call one function and return its result and the output."""
        records, output = await self._ask(_call(*words), payload)
        if len(records) != 1:
            raise _damaged("it has not one record")
        return _result(records[0]), output

    # --- operations

    async def call(self, operation: str, values: Values | None = None, payload: bytes = b"") -> Reply:
        """See Files.call."""
        values = values or {}
        handler = getattr(self, f"_op_{operation}", None)
        if handler is None:
            raise copy_error("invalid", f"{operation} needs Python on the instance")
        reply: Reply = await handler(values, payload)
        return reply

    async def _op_info(self, _values: Values, _payload: bytes) -> Reply:
        result, _ = await self._one("i")
        first, _, home = result.partition(b"\n")
        words = first.split()
        if len(words) != 2 or not words[0].isdigit():
            raise _damaged("it has no user")
        self._home = os.fsdecode(home)
        return {"home": self._home, "uid": int(words[0]), "umask": _octal(words[1]), "python": ""}, b""

    async def _op_stat(self, values: Values, _payload: bytes) -> Reply:
        result, _ = await self._one("Q", self._path(values, "path") or ".", int(bool(values.get("follow"))))
        return {"entry": read_stat(result) if result else None}, b""

    async def _op_walk(self, values: Values, _payload: bytes) -> Reply:
        path, follow = self._path(values, "path") or ".", bool(values.get("follow"))
        for _ in range(WALK_ATTEMPTS):
            records, output = await self._ask(_call("W", path, int(follow)))
            names, lines = output.split(b"\0")[:-1], _result(records[0]).splitlines() if records else []
            if len(records) == 2 and len(names) == len(lines):
                break
        else:
            raise copy_error("copy-failed", f"{path} changes while it is listed")
        links = [entry for entry in _listed(names, lines) if entry["kind"] == "link"]
        await self._add_targets(path, links, follow=follow)
        with_targets, errors = iter(links), _result(records[1]).decode("utf-8", "replace").splitlines()[:1]
        entries = (next(with_targets) if entry["kind"] == "link" else entry for entry in _listed(names, lines))
        unreadable: list[Values] = [
            {"name": "(unreadable)", "kind": "error", "text": error.partition(": ")[2]} for error in errors
        ]
        return {}, pack_entries(chain(entries, unreadable))

    async def _add_targets(self, top: str, links: list[Values], *, follow: bool) -> None:
        for at in range(0, len(links), 500):
            group = links[at : at + 500]
            script = "".join(_call("Q", os.path.join(top, str(link["name"])), int(follow)) for link in group)
            records, _ = await self._ask(script)
            for link, record in zip(group, _exactly(records, len(group)), strict=True):
                result = record[1:] if record.startswith(b"+") else b""
                link.update(read_stat(result) if result else {"kind": "error", "text": "it leads nowhere"})

    async def _op_read(self, values: Values, _payload: bytes) -> Reply:
        offset = _number(values, "offset")
        how = str(values.get("compress") or "none")
        result, data = await self._one("R", self._path(values, "path"), offset // SEGMENT, how)
        first, _, status = result.partition(b"\n")
        words = first.split()
        if len(words) < 2 or not words[0].isdigit():
            raise _damaged("it has no size")
        entry = read_stat(status)
        reply: Values = {"size": int(words[0]), "stamp": [entry["size"], entry["mtime"], entry["inode"]]}
        plain, data = gzip_to_zlib(data) if words[1] == b"1" else (data, data)
        sha = words[2].decode("ascii", "replace") if len(words) > 2 else hashlib.sha256(plain).hexdigest()
        return reply | {"sha": sha, "packed": words[1] == b"1"}, data

    async def _op_read_many(self, values: Values, _payload: bytes) -> Reply:
        items = _items(values)
        script = "".join(_call("M", self._path(item, "path"), _number(item, "limit") or 1) for item in items)
        records, data = await self._ask(script)
        files: list[Values] = []
        for record in _exactly(records, len(items)):
            size = record[1:]
            files.append({"size": int(size)} if record[:1] == b"+" and size.isdigit() else _failure(record))
        return {"files": files, "sha": hashlib.sha256(data).hexdigest(), "packed": False, "size": len(data)}, data

    async def _op_hash(self, values: Values, _payload: bytes) -> Reply:
        result, _ = await self._one("h", self._path(values, "path"))
        return {"sha": result.decode("ascii", "replace")}, b""

    async def _op_write_many(self, values: Values, payload: bytes) -> Reply:
        items, unique = _items(values), os.urandom(4).hex()
        payload, packed = self._packed(values, payload)
        paths = [self._path(item, "path") for item in items]
        parts = [os.fsdecode(part_name(os.fsencode(path), f"{unique}-{number:x}")) for number, path in enumerate(paths)]
        script = f"V {quote(str(values.get('sha') or ''))} {packed} >/dev/null;"
        for item, path, part in zip(items, paths, parts, strict=True):
            script += _call("F", path, self._path(item, "root"), part, _number(item, "size"), *_attributes(item))
        script += "sync;" + "".join(_call("N", part, path) for path, part in zip(paths, parts, strict=True))
        records, _ = await self._ask(script + "sync", payload)
        written, renamed = _halves(records, len(items))
        if records and all(record.startswith(b"E hash-differs ") for record in written):
            _result(written[0])
        replies = [_failure(first) or _failure(second) for first, second in zip(written, renamed, strict=True)]
        return {"files": replies}, b""

    async def _op_part_open(self, values: Values, _payload: bytes) -> Reply:
        path, unique, size = self._path(values, "path"), str(values.get("id")), _number(values, "size")
        stamp = values.get("stamp")
        part = os.fsdecode(part_name(os.fsencode(path), unique))
        try:
            result, journal = await self._one("O", path, self._path(values, "root"), part)
        except CopyError as error:
            if "another copy writes it" not in error.message:
                raise
            part = os.fsdecode(part_name(os.fsencode(path), f"{unique}-{os.urandom(4).hex()}"))
            result, journal = await self._one("O", path, self._path(values, "root"), part)
        _check_room(result, size)
        claimed, changed = read_journal(journal, stamp, size) if values.get("resume") else ({}, False)
        done = await self._check_segments(part, claimed)
        if not done:
            await self._one("o", part, json.dumps(stamp))
        return {"part": part, "done": sorted(done), "changed": changed}, b""

    async def _check_segments(self, part: str, claimed: Mapping[int, str]) -> list[int]:
        if not claimed:
            return []
        records, _ = await self._ask("".join(_call("I", part, index) for index in claimed))
        found = zip(claimed.items(), _exactly(records, len(claimed)), strict=True)
        return [index for (index, sha), record in found if record == b"+" + sha.encode("ascii", "replace")]

    async def _op_part_write(self, values: Values, payload: bytes) -> Reply:
        payload, packed = self._packed(values, payload)
        seek = _number(values, "offset") // SEGMENT
        await self._one("P", self._path(values, "part"), seek, values.get("sha") or "", packed, payload=payload)
        return {}, b""

    async def _op_part_finish(self, values: Values, _payload: bytes) -> Reply:
        names = [self._path(values, key) for key in ("path", "root", "part")]
        await self._one("C", *names, _number(values, "size"), values.get("sha") or "", *_attributes(values))
        return {}, b""

    async def _op_part_drop(self, values: Values, _payload: bytes) -> Reply:
        await self._one("D", self._path(values, "part"))
        return {}, b""

    async def _op_release(self, _values: Values, _payload: bytes) -> Reply:
        return {}, b""

    async def _op_mkdirs(self, values: Values, _payload: bytes) -> Reply:
        return await self._each("J", values)

    async def _op_links(self, values: Values, _payload: bytes) -> Reply:
        items = _items(values)
        return await self._each("L", values, [(str(item.get("target", "")),) for item in items])

    async def _op_remove(self, values: Values, _payload: bytes) -> Reply:
        return await self._each("S", values)

    async def _op_attributes(self, values: Values, _payload: bytes) -> Reply:
        return await self._each("a", values, [_attributes(item) for item in _items(values)])

    async def _each(self, function: str, values: Values, more: Sequence[tuple[object, ...]] = ()) -> Reply:
        items = _items(values)
        extra = more or [()] * len(items)
        calls = [
            _call(function, self._path(item, "path"), self._path(item, "root"), *words)
            for item, words in zip(items, extra, strict=True)
        ]
        records, _ = await self._ask("".join(calls))
        return {"files": [_failure(record) for record in _exactly(records, len(items))]}, b""

    # --- values

    def _path(self, values: Mapping[str, object], key: str) -> str:
        name = values.get(key)
        if not isinstance(name, str) or not name:
            return ""
        if name == "~" or name.startswith("~/"):
            return self._home + name[1:]
        return f"./{name}" if name.startswith("-") else name

    def _packed(self, values: Values, payload: bytes) -> tuple[bytes, int]:
        """Return a payload as the instance can read it, and 1 if it is compressed."""
        if not values.get("packed"):
            return payload, 0
        plain = expand(payload, True, MAX_PAYLOAD)
        if not self.tools.result().gzip:
            return plain, 0
        crc, size = zlib.crc32(plain), len(plain) & 0xFFFFFFFF
        return GZIP_HEADER + payload[2:-4] + crc.to_bytes(4, "little") + size.to_bytes(4, "little"), 1


def read_tools(line: bytes, *, verify: bool) -> Tools:
    """Read the script's first line.

    Args:
        line: the first line, without its line end.
        verify: a program for hashes is required.

    Raises:
        SessionError: a required program is missing.
    """
    words = line.decode("ascii", "replace").split()
    if len(words) < 3 or words[0] != "posix":
        raise _damaged("it is not a file server")
    tools = Tools(words[1] == "1", words[2] == "gzip")
    missing = words[3:]
    if missing:
        raise SessionError(
            f"without Python, cp needs {', '.join(missing)} on the instance",
            code="helper-missing",
            hint="install Python 3.6 or what is missing",
        )
    if verify and not tools.hashes:
        raise SessionError(
            "without Python, cp needs sha256sum, openssl or shasum on the instance",
            code="helper-missing",
            hint="--no-verify copies without comparing",
        )
    return tools


def _listed(names: Sequence[bytes], lines: Sequence[bytes]) -> Iterator[Values]:
    for name, line in zip(names, lines, strict=True):
        if name != b".":
            yield {"name": os.fsdecode(name.removeprefix(b"./")), **read_stat(line)}


def read_stat(line: bytes) -> Values:
    """Read ``%f %s %i %Y %y`` of stat, and the target of a link from the lines after it.

    Raises:
        SessionError: the text has another format.
    """
    first, _, target = line.partition(b"\n")
    words = first.split()
    try:
        mode, size, inode, seconds = int(words[0], 16), int(words[1]), int(words[2]), int(words[3])
    except (IndexError, ValueError):
        raise _damaged(f"{line[:60]!r} is no status") from None
    fraction = words[5].partition(b".")[2] if len(words) > 5 else b""
    nanoseconds = int(fraction.ljust(9, b"0")[:9]) if fraction.isdigit() else 0
    kind = _KINDS.get(mode & 0o170000, "other")
    entry: Values = {
        "kind": kind,
        "size": size,
        "mtime": seconds * 1_000_000_000 + nanoseconds,
        "mode": mode & 0o7777,
        "inode": inode,
    }
    return entry | {"target": os.fsdecode(target)} if kind == "link" else entry


def read_journal(journal: bytes, stamp: object, size: int) -> tuple[dict[int, str], bool]:
    """Return the segments that a journal lists, and True if the source has changed since then.

    Args:
        journal: content of the journal.
        stamp: identity of the source file.
        size: size of the source, in bytes.
    """
    first, *lines = journal.splitlines() or [b""]
    try:
        if json.loads(first) != stamp:
            return {}, True
    except (ValueError, RecursionError):
        return {}, False
    claimed: dict[int, str] = {}
    for line in lines:
        words = line.decode("ascii", "replace").split()
        if len(words) == 2 and words[0].isdigit() and int(words[0][:9]) * SEGMENT < max(size, 1):
            claimed[int(words[0])] = words[1]
    return claimed, False


def gzip_to_zlib(data: bytes) -> tuple[bytes, bytes]:
    """Return the uncompressed content of gzip data, and the same content in zlib format.

    Raises:
        CopyError: the data is damaged, or its content is longer than a segment.
    """
    engine = zlib.decompressobj(-15)
    try:
        plain = engine.decompress(data[10:-8], SEGMENT + 1)
    except zlib.error:
        raise copy_error("hash-differs", "the compressed data is damaged") from None
    if not data.startswith(GZIP_HEADER[:4]) or len(plain) > SEGMENT or not engine.eof:
        raise copy_error("hash-differs", "the compressed data does not have the announced size")
    return plain, b"\x78\x01" + data[10:-8] + zlib.adler32(plain).to_bytes(4, "big")


def _call(function: object, *words: object) -> str:
    """Return shell text that calls a function of the script, with all arguments quoted."""
    return f"{function} {' '.join(quote(str(word)) for word in words)};"


def _attributes(item: Mapping[str, object]) -> tuple[str, str, str]:
    mtime = item.get("mtime")
    time = ""
    if isinstance(mtime, int):
        seconds, fraction = divmod(abs(mtime), 1_000_000_000)
        time = f"{'-' if mtime < 0 else ''}{seconds}.{fraction:09d}"
    mode = item.get("mode")
    return f"{(mode if isinstance(mode, int) else 0o600) & 0o1777:o}", time, str(item.get("owner") or "")


def _result(record: bytes) -> bytes:
    if record.startswith(b"+"):
        return record[1:]
    failed = _failure(record)
    raise copy_error(str(failed["error"]), str(failed["text"]))


def _failure(record: bytes) -> Values:
    """Return the error of a record in file_server's format; an empty dictionary for a success."""
    if record.startswith(b"+"):
        return {}
    kind, _, rest = record.partition(b" ")
    code, _, text = rest.decode("utf-8", "replace").partition(" ")
    if kind != b"E":
        raise _damaged("a record is neither result nor error")
    return {"error": code, "text": text or "it failed"}


def _exactly(records: list[bytes], count: int) -> list[bytes]:
    if len(records) != count:
        raise _damaged(f"it has {len(records)} records instead of {count}")
    return records


def _halves(records: list[bytes], count: int) -> tuple[list[bytes], list[bytes]]:
    _exactly(records, 2 * count)
    return records[:count], records[count:]


def _items(values: Mapping[str, object]) -> list[Values]:
    found = values.get("files")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _number(values: Mapping[str, object], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) else 0


def _octal(text: bytes) -> int:
    try:
        return int(text, 8) & 0o777
    except ValueError:
        return 0o022


def _check_room(result: bytes, size: int) -> None:
    """Compare free and required space, if the instance reports both."""
    lines = [line.split() for line in result.splitlines()]
    if len(lines) == 2 and all(len(line) == 2 and all(word.isdigit() for word in line) for line in lines):
        (free, block), (used, unit) = ([int(word) for word in line] for line in lines)
        if size - used * unit > free * block:
            raise copy_error("no-space", f"{size} bytes are needed and {free * block} are free")


def _damaged(text: str) -> SessionError:
    return SessionError(f"the reply of the instance is damaged: {text}", code="helper-failed")
