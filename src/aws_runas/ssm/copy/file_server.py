"""File operations for both ends of `cp`. This file is also sent to the instance as it is, and runs there as a program.

It must run with Python 3.6 to 3.14, with the standard library only: annotations are strings. Requests and replies are
`HEADER_LENGTH PAYLOAD_LENGTH LF`, a JSON header and a payload. Names are bytes; in JSON they are text with lone
surrogates. Replies come in the order of the requests.
"""

import contextlib
import errno
import fcntl
import hashlib
import hmac
import json
import os
import socket
import stat
import sys
import threading
import time
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

SEGMENT = 1 << 20  # bytes, spec sessions 2
PROBE = 256 * 1024  # bytes that decide on compression
MAX_HEADER = 64 << 20  # bytes
MAX_PAYLOAD = 64 << 20  # bytes
SYNC_TOGETHER = 32  # files of a batch beyond which one sync serves all
TOKEN_WAIT = 2.0  # seconds for the token of a connection
WRONG_TOKENS = 3  # attempts after which the listener closes
locks: "dict[bytes, int]" = {}


class OperationError(Exception):
    """Failure of an operation: a code for the client, a text for people."""

    def __init__(self, code: "str", text: "str") -> "None":
        super().__init__(text)
        self.code = code


def encode(name: "str") -> "bytes":
    """Return a name as bytes."""
    return name.encode("utf-8", "surrogateescape")


def decode(name: "bytes") -> "str":
    """Return a name as text for JSON."""
    return name.decode("utf-8", "surrogateescape")


def text(request: "dict[str, object]", key: "str") -> "bytes":
    """Return a name of the request; ``~`` is expanded."""
    value = request.get(key)
    if not isinstance(value, str) or "\0" in value:
        raise OperationError("invalid", "no valid " + key)
    name = encode(value)
    if name == b"~" or name.startswith(b"~/"):
        name = encode(os.path.expanduser("~")) + name[1:]
    return name


def number(request: "dict[str, object]", key: "str") -> "int":
    """Return a number of the request, 0 if it is missing."""
    value = request.get(key)
    return value if isinstance(value, int) else 0


def items(request: "dict[str, object]", key: "str") -> "list[dict[str, object]]":
    """Return a list of objects of the request."""
    value = request.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def kind_of(mode: "int") -> "str":
    """Return ``file``, ``dir``, ``link`` or ``other``."""
    if stat.S_ISREG(mode):
        return "file"
    return "dir" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "other"


def describe(path: "bytes", follow: "bool") -> "dict[str, object]":
    """Return kind, size, mode, time and identity of an entry."""
    found = os.stat(path) if follow else os.lstat(path)
    entry: dict[str, object] = {
        "kind": kind_of(found.st_mode),
        "size": found.st_size,
        "mtime": found.st_mtime_ns,
        "mode": stat.S_IMODE(found.st_mode),
        "inode": found.st_ino,
    }
    if entry["kind"] == "link":
        entry["target"] = decode(os.readlink(path))
    return entry


def op_info(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Return facts about this side."""
    umask = os.umask(0o077)
    os.umask(umask)
    python = sys.version.split()[0]
    return {"home": os.path.expanduser("~"), "uid": os.getuid(), "umask": umask, "python": python}, b""


def op_stat(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Return one entry, null if it does not exist."""
    path = text(request, "path")
    try:
        entry = describe(path or b".", bool(request.get("follow")))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return {"entry": None}, b""
        raise
    return {"entry": entry}, b""


def walk(top: "bytes", follow: "bool") -> "Iterator[dict[str, object]]":
    """Yield the entries below a directory, each with its name relative to the top."""
    here = os.stat(top)
    levels = [(top, b"", iter(sorted(os.listdir(top))), (here.st_dev, here.st_ino))]
    while levels:
        path, name, children, _ = levels[-1]
        child = next(children, None)
        if child is None:
            levels.pop()
            continue
        inner = os.path.join(path, child)
        entry: dict[str, object] = {"name": decode(name + child)}
        try:
            entry.update(describe(inner, follow))
            if entry["kind"] == "dir":
                here = os.stat(inner)
                identity = (here.st_dev, here.st_ino)
                if identity in [level[3] for level in levels]:
                    raise OSError(errno.ELOOP, "the directory contains itself")
                levels.append((inner, name + child + b"/", iter(sorted(os.listdir(inner))), identity))
        except OSError as error:
            entry.update(kind="error", text=error.strerror or str(error))
        yield entry


def pack_entries(entries: "Iterable[dict[str, object]]") -> "bytes":
    """Return entries as compressed JSON, one per line. A tree has many: they are never together in memory."""
    engine = zlib.compressobj(1)
    parts = [engine.compress(json.dumps(entry).encode("ascii") + b"\n") for entry in entries]
    return b"".join(parts) + engine.flush()


def op_walk(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Return everything below a directory."""
    return {}, pack_entries(walk(text(request, "path") or b".", bool(request.get("follow"))))


def squeeze(data: "bytes", how: "object") -> "tuple[bool, bytes]":
    """Compress data if its first 256 KiB become 5 % smaller."""
    if how == "none" or not data:
        return False, data
    probe = zlib.compress(data[:PROBE], 1)
    if how != "gzip" and len(probe) > 0.95 * len(data[:PROBE]):
        return False, data
    return True, probe if len(data) <= PROBE else zlib.compress(data, 1)


def expand(data: "bytes", packed: "object", limit: "int") -> "bytes":
    """Undo squeeze. More bytes than the limit are an error, so memory stays bounded."""
    if not packed:
        return data
    engine = zlib.decompressobj()
    try:
        plain = engine.decompress(data, limit + 1)
    except zlib.error as error:
        raise OperationError("hash-differs", f"the compressed data is damaged: {error}") from None
    if len(plain) > limit or not engine.eof:
        raise OperationError("hash-differs", "the compressed data has not the announced size")
    return plain


def read_fully(fd: "int", length: "int", offset: "int") -> "bytes":
    """Read a number of bytes, fewer at the end of the file."""
    parts = []
    while length > 0:
        part = os.pread(fd, min(length, SEGMENT), offset)
        if not part:
            break
        parts.append(part)
        length -= len(part)
        offset += len(part)
    return b"".join(parts)


def open_source(path: "bytes") -> "int":
    """Open a regular file for reading."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OperationError("not-a-file", "not a regular file")
    return fd


def op_read(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Return a part of a file with its SHA-256, and the file's size, time and inode."""
    fd = open_source(text(request, "path"))
    try:
        data = read_fully(fd, min(number(request, "length"), MAX_PAYLOAD), number(request, "offset"))
        found = os.fstat(fd)
    finally:
        os.close(fd)
    packed, sent = squeeze(data, request.get("compress"))
    stamp = [found.st_size, found.st_mtime_ns, found.st_ino]
    return {"sha": hashlib.sha256(data).hexdigest(), "packed": packed, "size": len(data), "stamp": stamp}, sent


def op_read_many(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Return the content of several small files in one payload."""
    files: list[dict[str, object]] = []
    parts: list[bytes] = []
    for item in items(request, "files"):
        try:
            fd = open_source(text(item, "path"))
            try:
                data = read_fully(fd, min(number(item, "limit"), MAX_PAYLOAD), 0)
            finally:
                os.close(fd)
            files.append({"size": len(data)})
            parts.append(data)
        except (OSError, OperationError) as error:
            files.append(failure(error))
    data = b"".join(parts)
    packed, sent = squeeze(data, request.get("compress"))
    return {"files": files, "sha": hashlib.sha256(data).hexdigest(), "packed": packed, "size": len(data)}, sent


def hash_file(path: "bytes") -> "str":
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    fd = open_source(path)
    try:
        offset = 0
        while True:
            data = os.pread(fd, SEGMENT, offset)
            if not data:
                return digest.hexdigest()
            digest.update(data)
            offset += len(data)
    finally:
        os.close(fd)


def op_hash(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Return the SHA-256 of a file."""
    return {"sha": hash_file(text(request, "path"))}, b""


def check_parents(item: "dict[str, object]", path: "bytes", checked: "set[bytes] | None" = None) -> "None":
    """Refuse to write through a link: each part between root and path must be a directory.

    Those that a request has checked before are not checked again: a deep tree has many parts in each path.
    """
    root = text(item, "root") if item.get("root") else b""
    if not root or not path.startswith(root.rstrip(b"/") + b"/"):
        return
    checked = set() if checked is None else checked
    top, at, new = len(root.rstrip(b"/")), os.path.dirname(path), []
    while len(at) > top and at not in checked:
        new.append(at)
        at = os.path.dirname(at)
    for at in reversed(new):
        if stat.S_ISLNK(os.lstat(at).st_mode):
            raise OperationError("name-refused", decode(at) + " is a link")
        checked.add(at)


def check_target(path: "bytes") -> "None":
    """Refuse to replace anything but a regular file."""
    try:
        found = os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return
        raise
    if not stat.S_ISREG(found.st_mode):
        raise OperationError("not-a-file", "the target exists and is not a regular file")


def part_name(path: "bytes", unique: "str") -> "bytes":
    """Return the name that a file has until it is whole."""
    folder, name = os.path.split(path)
    ending = b".aws-runas-" + unique.encode("ascii") + b".part"
    return os.path.join(folder, b"." + name[: 240 - len(ending) - 6] + ending)


def set_attributes(path: "bytes", item: "dict[str, object]") -> "None":
    """Set owner, mode and time as the item says."""
    owner = item.get("owner")
    if isinstance(owner, str) and owner:
        change_owner(path, owner)
    if isinstance(item.get("mode"), int):
        os.chmod(path, number(item, "mode") & 0o1777)  # no setuid, no setgid
    if isinstance(item.get("mtime"), int):
        os.utime(path, ns=(number(item, "mtime"), number(item, "mtime")))


def change_owner(path: "bytes", owner: "str") -> "None":
    """Change the owner to USER[:GROUP], given as names or numbers."""
    import grp
    import pwd

    user, _, group = owner.partition(":")
    try:
        uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid if user else -1
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise OperationError("invalid", "there is no user or group " + owner) from None
    os.chown(path, uid, gid, follow_symlinks=False)


def write_fully(fd: "int", data: "bytes", offset: "int") -> "None":
    """Write all bytes at an offset."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def sync_directory(path: "bytes") -> "None":
    """Make a rename survive a power cut."""
    fd = os.open(os.path.dirname(path) or b".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError:
        pass  # some file systems cannot
    finally:
        os.close(fd)


def write_part(part: "bytes", content: "bytes", item: "dict[str, object]", sync: "bool") -> "None":
    """Write a small file under a temporary name. Leave nothing behind if that fails."""
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_fully(fd, content, 0)
        if sync:
            os.fsync(fd)
        set_attributes(part, item)
    except (OSError, OperationError):
        unlink_quietly(part)
        raise
    finally:
        os.close(fd)


def op_write_many(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Write several small files; each appears whole under its name."""
    data = expand(payload, request.get("packed"), number(request, "size"))
    if hashlib.sha256(data).hexdigest() != request.get("sha"):
        raise OperationError("hash-differs", "the batch arrived damaged")
    replies: list[dict[str, object]] = []
    checked: set[bytes] = set()
    written: list[tuple[bytes, bytes, int]] = []
    at = 0
    together = len(items(request, "files")) > SYNC_TOGETHER
    for item in items(request, "files"):
        size = number(item, "size")
        content, at = data[at : at + size], at + size
        try:
            path = text(item, "path")
            check_parents(item, path, checked)
            check_target(path)
            part = part_name(path, f"{os.getpid():x}-{len(replies):x}")
            write_part(part, content, item, sync=not together)
            written.append((part, path, len(replies)))
            replies.append({})
        except (OSError, OperationError) as error:
            replies.append(failure(error))
    if together:
        os.sync()  # once for the batch: a sync for each of 512 files would take longer than the transfer
    for part, path, index in written:
        try:
            os.rename(part, path)
        except OSError as error:
            replies[index] = failure(error)
            unlink_quietly(part)
    for folder in {os.path.dirname(path) for _, path, _ in written}:
        sync_directory(os.path.join(folder, b"."))
    return {"files": replies}, b""


def op_part_open(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Create or continue an unfinished file, and return the segments that it already has."""
    path, size, stamp = text(request, "path"), number(request, "size"), request.get("stamp")
    check_parents(request, path)
    check_target(path)
    part = part_name(path, str(request.get("id")))
    fd = lock_part(part)
    if fd < 0:  # another copy writes the same file: use another name
        part = part_name(path, f"{request.get('id')}-{os.getpid():x}-{int(time.time() * 1000000) & 0xFFFFFF:x}")
        fd = lock_part(part)
    locks[part] = fd
    done, changed = ({}, False) if not request.get("resume") else read_journal(part, fd, stamp, size)
    have = os.fstat(fd).st_blocks * 512
    room = os.statvfs(os.path.dirname(part) or b".")
    if size - have > room.f_bavail * room.f_frsize:
        if not have:
            drop(part)
        raise OperationError("no-space", f"{size} bytes are needed and {room.f_bavail * room.f_frsize} are free")
    if not done:
        os.ftruncate(fd, 0)
        with open(part + b".json", "wb") as journal:
            journal.write(json.dumps(stamp).encode("ascii") + b"\n")
    return {"part": decode(part), "done": sorted(done), "changed": changed}, b""


def lock_part(part: "bytes") -> "int":
    """Open a part file and lock it; return -1 if another copy has it."""
    while True:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return -1
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(part), os.fstat(fd)):
                return fd
        os.close(fd)  # the other copy ended between the two calls, and its file has another name now


def read_journal(part: "bytes", fd: "int", stamp: "object", size: "int") -> "tuple[dict[int, str], bool]":
    """Return the segments whose data matches the journal, and whether the source has changed."""
    try:
        with open(part + b".json", "rb") as journal:
            first, *lines = journal.read().splitlines()
        if json.loads(first.decode("ascii")) != stamp:
            return {}, True
    except (OSError, ValueError):
        return {}, False
    done: dict[int, str] = {}
    for line in lines:
        words = line.decode("ascii", "replace").split()
        if len(words) == 2 and words[0].isdigit() and int(words[0]) * SEGMENT < max(size, 1):
            index = int(words[0])
            length = min(SEGMENT, size - index * SEGMENT)
            data = read_fully(fd, length, index * SEGMENT)
            if len(data) == length and hashlib.sha256(data).hexdigest() == words[1]:
                done[index] = words[1]
            else:
                done.pop(index, None)
    return done, False


def op_part_write(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Write a segment and note it in the journal."""
    part, offset = text(request, "part"), number(request, "offset")
    data = expand(payload, request.get("packed"), number(request, "size"))
    digest = hashlib.sha256(data).hexdigest()
    if len(data) != number(request, "size") or digest != request.get("sha"):
        raise OperationError("hash-differs", "a segment arrived damaged")
    fd = os.open(part, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write_fully(fd, data, offset)
    finally:
        os.close(fd)
    journal = os.open(part + b".json", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(journal, b"%d %s\n" % (offset // SEGMENT, digest.encode("ascii")))
    finally:
        os.close(journal)
    return {}, b""


def op_part_finish(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Check the whole file, set its attributes and give it its name."""
    part, path, size = text(request, "part"), text(request, "path"), number(request, "size")
    check_parents(request, path)
    check_target(path)
    fd = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)
    wanted = request.get("sha")
    if wanted and hash_file(part) != wanted:
        raise OperationError("hash-differs", "the SHA-256 of the file differs from the source's")
    set_attributes(part, request)
    # From the rename on, the name of the part file belongs to the next copy; until then the lock keeps it away.
    unlink_quietly(part + b".json")
    lock = locks.pop(part, -1)
    os.rename(part, path)
    if lock >= 0:
        os.close(lock)
    sync_directory(path)
    return {}, b""


def drop(part: "bytes") -> "None":
    """Forget a part file and its journal."""
    unlink_quietly(part + b".json")
    unlink_quietly(part)
    if part in locks:
        os.close(locks.pop(part))


def unlink_quietly(name: "bytes") -> "None":
    """Remove a file, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(name)


def op_part_drop(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Remove a part file."""
    drop(text(request, "part"))
    return {}, b""


def op_release(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Unlock all part files, so that another copy may continue them."""
    while locks:
        os.close(locks.popitem()[1])
    return {}, b""


def each(
    request: "dict[str, object]", act: "Callable[[bytes, dict[str, object]], None]"
) -> "tuple[dict[str, object], bytes]":
    """Call a function for every item. A failure does not stop the others."""
    replies: list[dict[str, object]] = []
    checked: set[bytes] = set()
    for item in items(request, "files"):
        try:
            path = text(item, "path")
            check_parents(item, path, checked)
            act(path, item)
            replies.append({})
        except (OSError, OperationError) as error:
            replies.append(failure(error))
    return {"files": replies}, b""


def make_directory(path: "bytes", item: "dict[str, object]") -> "None":
    """Make a directory unless it exists. A link does not count as one."""
    try:
        os.mkdir(path)
    except OSError as error:
        if error.errno != errno.EEXIST or not stat.S_ISDIR(os.lstat(path).st_mode):
            raise


def make_link(path: "bytes", item: "dict[str, object]") -> "None":
    """Make a link, or replace one."""
    target = text(item, "target")
    if os.path.islink(path):
        if os.readlink(path) == target:
            return
        os.unlink(path)
    os.symlink(target, path)


def remove(path: "bytes", item: "dict[str, object]") -> "None":
    """Remove a file, a link or an empty directory."""
    if stat.S_ISDIR(os.lstat(path).st_mode):
        os.rmdir(path)
    else:
        os.unlink(path)


def op_mkdirs(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Make directories."""
    return each(request, make_directory)


def op_links(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Make links."""
    return each(request, make_link)


def op_remove(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Remove entries."""
    return each(request, remove)


def op_attributes(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Set owner, mode and time of directories, after everything in them is written."""
    return each(request, set_attributes)


def op_listen(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Accept connections on a port of the loopback interface; each must begin with the token."""
    token = bytes.fromhex(str(request.get("token")))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    threading.Thread(target=accept, args=(listener, token), daemon=True).start()
    return {"port": listener.getsockname()[1]}, b""


def accept(listener: "socket.socket", token: "bytes") -> "None":
    """Serve connections; three wrong tokens close the listener."""
    wrong: list[int] = []
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # shut down
            break
        threading.Thread(target=admit, args=(connection, token, wrong, listener), daemon=True).start()
    listener.close()


def admit(connection: "socket.socket", token: "bytes", wrong: "list[int]", listener: "socket.socket") -> "None":
    """Serve one connection if it sends the token."""
    given, until = b"", time.monotonic() + TOKEN_WAIT
    try:
        while len(given) < len(token) and time.monotonic() < until:
            connection.settimeout(max(until - time.monotonic(), 0.01))
            more = connection.recv(len(token) - len(given))
            if not more:
                break
            given += more
    except OSError:
        pass
    if not hmac.compare_digest(given, token):
        wrong.append(1)
        if len(wrong) == WRONG_TOKENS:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which close does not
        connection.close()
        return
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    serve(connection.makefile("rb"), connection.makefile("wb"))
    connection.close()


def failure(error: "Exception") -> "dict[str, object]":
    """Return an error as a reply."""
    if isinstance(error, OperationError):
        return {"error": error.code, "text": str(error)}
    code = errno.errorcode.get(getattr(error, "errno", None) or 0, "failed")
    known = {"ENOSPC": "no-space", "EDQUOT": "no-space"}
    return {"error": known.get(code, code), "text": getattr(error, "strerror", None) or str(error) or repr(error)}


OPERATIONS = {
    "info": op_info,
    "stat": op_stat,
    "walk": op_walk,
    "read": op_read,
    "read_many": op_read_many,
    "hash": op_hash,
    "write_many": op_write_many,
    "part_open": op_part_open,
    "part_write": op_part_write,
    "part_finish": op_part_finish,
    "part_drop": op_part_drop,
    "release": op_release,
    "mkdirs": op_mkdirs,
    "links": op_links,
    "remove": op_remove,
    "attributes": op_attributes,
    "listen": op_listen,
}


def handle(request: "dict[str, object]", payload: "bytes") -> "tuple[dict[str, object], bytes]":
    """Perform a request and return the reply. An error becomes a reply, too."""
    operation = OPERATIONS.get(str(request.get("op")))
    try:
        if operation is None:
            raise OperationError("invalid", "no such operation")
        return operation(request, payload)
    except (OSError, ValueError, OperationError) as error:
        return failure(error), b""


def serve(reader: "BinaryIO", writer: "BinaryIO") -> "None":
    """Answer requests until the input ends."""
    try:
        while True:
            words = reader.readline(64).split()
            if len(words) != 2:
                return
            header = reader.read(min(int(words[0]), MAX_HEADER))
            payload = reader.read(min(int(words[1]), MAX_PAYLOAD))
            if len(header) != int(words[0]) or len(payload) != int(words[1]):
                return
            answer, data = handle(json.loads(header.decode("ascii")), payload)
            packed = json.dumps(answer).encode("ascii")
            writer.write(b"%d %d\n" % (len(packed), len(data)) + packed + data)
            writer.flush()
    except (OSError, ValueError):
        return


if __name__ == "__main__":
    try:
        os.chdir(os.path.expanduser("~"))
    except OSError:  # users of services may have no home
        os.chdir("/")
    serve(os.fdopen(0, "rb"), os.fdopen(1, "wb"))
    os._exit(0)
