"""Credentials on disk: one private file per entry, replaced atomically, locked between processes. Errors are not fatal.

An entry's name consists of its kind and a hash of every input that affects the result, so a directory listing does not
show whose credentials it contains. docs/reference/cache.md describes the format.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from aws_runas import files
from aws_runas.aws.credentials import Credentials, checked, parse_time

VERSION = 1  # of the entry format
MAX_SIZE = 64 * 1024  # bytes; a session token has a few kilobytes
KEPT = 3 * 24 * 3600  # seconds that a file is kept after its last change; credentials last at most 36 hours
PATIENCE = 20.0  # seconds to wait for another process before the user is informed: most people type a code in less time

Warn = Callable[[str], None]
Content = TypeVar("Content")


class DiskCache:
    """The cache directory.

    Args:
        directory: created when first needed.
        warn: called once with the reason why the cache is not used.
    """

    def __init__(self, directory: Path, warn: Warn) -> None:
        self.directory = directory
        self._warn = warn
        self._told: set[str] = set()
        self._state: bool | None = None  # None: not checked yet
        self._swept = False

    def read(self, name: str) -> Credentials | None:
        """Return the credentials in an entry; None if it is missing, damaged, or accessible to other users."""
        return self.load(name, decode)

    def load(self, name: str, decoder: Callable[[bytes], Content]) -> Content | None:
        """Return the content of an entry of any kind; None as in `read`.

        Args:
            decoder: reads the content; raises ValueError if it is damaged.
        """
        try:
            with self._open(create=False) as directory:
                return decoder(read_private(directory, name))
        except OSError:  # usually missing; problems with the directory are reported on the next write
            return None
        except ValueError as error:
            if name not in self._told:
                self._told.add(name)
                self._warn(f"cache entry {self.directory / name} is not used: {error}")
            return None

    def write(self, name: str, credentials: Credentials) -> None:
        """Write credentials to the cache. If that fails, warn and continue.

        Args:
            name: of the entry.
            credentials: to keep.
        """
        self.store(name, encode(credentials))

    def store(self, name: str, content: bytes) -> None:
        """Write an entry of any kind to the cache. If that fails, warn and continue.

        Args:
            name: of the entry.
            content: of the entry.
        """
        if not self._usable():
            return
        try:
            with self._open() as directory:
                directory.write(name, content)
                self._prune(directory)
        except OSError as error:
            self._disable(f"cannot write to the cache {self.directory}: {_reason(error)}")

    def remove(self, name: str) -> None:
        """Remove an entry; ignore an entry that is missing or cannot be removed."""
        with contextlib.suppress(OSError), self._open(create=False) as directory:
            directory.remove(name)

    def remove_entries(self, *names: str) -> None:
        """Remove entries, so that their credentials are fetched again.

        Args:
            names: of entries; a name that ends in ``-`` matches every entry of a kind.

        Raises:
            OSError: the cache cannot be changed.
        """
        try:
            opened = self._open(create=False)
        except FileNotFoundError:
            return
        kinds = tuple(name for name in names if name.endswith("-"))
        with opened as directory:
            for name, _ in list(directory.ages(0.0)):
                if name in names or (kinds and name.startswith(kinds) and name.endswith(".json")):
                    directory.remove(name)

    def _open(self, *, create: bool = True) -> files.Directory:
        directory = files.open_private_directory(self.directory, create=create)
        if not self._swept:
            self._swept = True
            directory.remove_leftovers(time.time())
        return directory

    def _prune(self, directory: files.Directory) -> None:
        """Remove expired files, so that the directory does not grow forever."""
        for name, age in directory.ages(time.time()):
            if age > KEPT and (name.startswith("fast-") or name.endswith((".json", ".json.lock"))):
                directory.remove(name)

    @contextlib.contextmanager
    def lock(self, name: str, unless: Callable[[], bool]) -> Iterator[None]:
        """Hold an entry's lock during a fetch; if locks do not work, warn and continue without one.

        Args:
            name: of the entry.
            unless: called now and then while another process holds the lock; if it returns True, the lock is no longer
                needed. So many waiting processes do not have to take the lock one after another.
        """
        with contextlib.ExitStack() as stack:
            if self._usable():
                try:
                    directory = stack.enter_context(self._open())
                    self._wait(stack, directory, f"{name}.lock", unless)
                except (OSError, NotImplementedError) as error:
                    self._disable(f"cannot lock the cache {self.directory}: {_reason(error)}")
            yield

    def _wait(
        self, stack: contextlib.ExitStack, directory: files.Directory, name: str, unless: Callable[[], bool]
    ) -> None:
        path = self.directory / name
        try:
            stack.enter_context(files.lock(path, timeout=PATIENCE, unless=unless, within=directory))
        except TimeoutError:
            self._warn("another aws-runas is fetching these credentials; waiting for it")
            stack.enter_context(files.lock(path, within=directory))

    def _usable(self) -> bool:
        if self._state is None:
            self._state = True
            try:
                with self._open() as directory:
                    if not os.access(directory.at("."), os.W_OK | os.X_OK, dir_fd=directory.descriptor):
                        raise PermissionError(errno.EACCES, "it is not writable")
            except OSError as error:
                self._disable(f"cannot use the cache {self.directory}: {_reason(error)}")
        return self._state

    def _disable(self, message: str) -> None:
        if self._state is not False:
            self._warn(f"{message}; continuing without it")
        self._state = False


def cache_directory(environ: Mapping[str, str], config_path: Path, home: Path) -> Path:
    """Return the cache directory: RUNAS_CACHE_DIR, else ``aws-runas/cache`` in the directory of the config file.

    If the config file is a device or a pipe, its directory is not used; the cache is then where it would be without
    AWS_CONFIG_FILE.

    Args:
        environ: the variables.
        config_path: of the config file.
        home: contains ``.aws``.
    """
    text = environ.get("RUNAS_CACHE_DIR")
    if text:
        return Path(os.path.expanduser(text))
    placeless = str(config_path).startswith(("/dev/", "/proc/"))
    return (home / ".aws" if placeless else config_path.parent) / "aws-runas" / "cache"


def entry_name(kind: str, inputs: Mapping[str, object]) -> str:
    """Return the file name of an entry.

    Args:
        kind: ``session``, ``role``, ``sso``...
        inputs: every value that affects the result; hashed, so that secrets among them stay secret.
    """
    text = json.dumps([VERSION, kind, inputs], sort_keys=True, separators=(",", ":"), default=str)
    return f"{kind}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:40]}.json"


def write_values(values: Mapping[str, object]) -> bytes:
    """Return the content of an entry for arbitrary values.

    Args:
        values: JSON values; a datetime is written as text that `parse_time` reads.
    """
    return json.dumps({"Version": VERSION, **values}, indent=1, default=_text).encode()


def read_values(content: bytes) -> dict[str, object]:
    """Return the values in an entry.

    Args:
        content: from `write_values`, or arbitrary bytes.

    Raises:
        ValueError: the content is damaged; the message shows none of it.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("Version") != VERSION:
        raise ValueError("it is damaged")
    return found


def encode(credentials: Credentials) -> bytes:
    """Return the content of an entry.

    Args:
        credentials: to keep.
    """
    return write_values(
        {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": credentials.expiration,
            "Issued": credentials.issued,
        }
    )


def decode(content: bytes) -> Credentials:
    """Read the content of an entry.

    Args:
        content: from `encode`, or arbitrary bytes.

    Raises:
        ValueError: the content is damaged; the message shows none of it.
    """
    found = read_values(content)
    key_id, secret, token = (found.get(key) for key in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    if not token:
        raise ValueError("it has no session token")
    expiration, issued = parse_time(found.get("Expiration")), parse_time(found.get("Issued"))
    return checked(key_id, secret, token, expiration=expiration, now=issued.timestamp())


def read_private(directory: files.Directory, name: str) -> bytes:
    """Read a file that only this user may read.

    Args:
        directory: held open by the caller.
        name: of the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: other users own or can read the file, it is not a plain file, or it is too large.
    """
    descriptor = directory.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SIZE:
            raise ValueError("it is not a plain file, or it is too large")
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & files.OPEN_TO_OTHERS):
            raise ValueError("other users own it or can read it")
        return stream.read()


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:]
